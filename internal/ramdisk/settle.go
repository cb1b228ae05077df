package ramdisk

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

// isoBlock is the size of a logical block of an ISO, in bytes. Source of all offsets here: ECMA-119, and
// the Rock Ridge Interchange Protocol 1.12 for the fields of a record's system use area.
const isoBlock = 2048

// Ends that keep a damaged ISO from being walked for ever.
const (
	maxDirs  = 64
	maxBytes = 1 << 20
)

var errISO = errors.New("not an ISO as it was just written")

// settle makes a freshly written ISO independent of when, by whom and from which files it was made: the
// library takes times, owners and modes from the disk and the clock, and a file's change time cannot be
// set from outside.
func settle(f *os.File) error {
	pvd := make([]byte, isoBlock)
	if _, err := f.ReadAt(pvd, 16*isoBlock); err != nil {
		return err
	}
	if pvd[0] != 1 || string(pvd[1:6]) != "CD001" {
		return errISO
	}
	// Creation, modification, expiration, effective: 16 digits and a time zone. The last two are not known.
	long := append([]byte(epoch.Format("20060102150405")+"00"), 0)
	unknown := append([]byte("0000000000000000"), 0)
	copy(pvd[813:], long)
	copy(pvd[830:], long)
	copy(pvd[847:], unknown)
	copy(pvd[864:], unknown)
	// Identifiers end in spaces, not in zeroes: who compares the label would not find it.
	for _, field := range [][]byte{pvd[8:72], pvd[190:813]} {
		copy(field, bytes.ReplaceAll(field, []byte{0}, []byte{' '}))
	}
	root := pvd[156:190]
	settleDate(root[18:25])
	if _, err := f.WriteAt(pvd, 16*isoBlock); err != nil {
		return err
	}
	s := settler{f: f}
	return s.dir(binary.LittleEndian.Uint32(root[2:]), binary.LittleEndian.Uint32(root[10:]))
}

type settler struct {
	f    *os.File
	dirs int
}

// dir settles the records of one directory and of those below it.
func (s *settler) dir(block, size uint32) error {
	if s.dirs++; s.dirs > maxDirs || size > maxBytes {
		return errISO
	}
	b := make([]byte, size)
	at := int64(block) * isoBlock
	if _, err := s.f.ReadAt(b, at); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	for i := 0; i < len(b); {
		n := int(b[i])
		if n == 0 { // the rest of the block is empty
			i = (i/isoBlock + 1) * isoBlock
			continue
		}
		if n < 34 || i+n > len(b) {
			return errISO
		}
		if err := s.record(b[i : i+n]); err != nil {
			return err
		}
		i += n
	}
	_, err := s.f.WriteAt(b, at)
	return err
}

// record settles one directory record, in memory, and walks into the directory it describes.
func (s *settler) record(r []byte) error {
	settleDate(r[18:25])
	isDir := r[25]&2 != 0
	nameLen := int(r[32])
	use := 33 + nameLen + (nameLen+1)%2
	if use > len(r) {
		return errISO
	}
	if err := s.systemUse(r[use:], isDir, binary.LittleEndian.Uint32(r[2:])); err != nil {
		return err
	}
	self := nameLen == 1 && r[33] <= 1 // the directory itself, or its parent
	if !isDir || self {
		return nil
	}
	return s.dir(binary.LittleEndian.Uint32(r[2:]), binary.LittleEndian.Uint32(r[10:]))
}

// systemUse settles the Rock Ridge fields: times, owner, mode.
func (s *settler) systemUse(b []byte, isDir bool, serial uint32) error {
	for len(b) >= 4 {
		n := int(b[2])
		if b[0] == 0 {
			return nil
		}
		if n < 4 || n > len(b) {
			return errISO
		}
		field := b[:n]
		switch string(field[:2]) {
		case "TF":
			if field[4]&0x80 != 0 || (n-5)%7 != 0 {
				return fmt.Errorf("%w: long times", errISO)
			}
			for i := 5; i < n; i += 7 {
				settleDate(field[i : i+7])
			}
		case "PX":
			settlePX(field, isDir, serial)
		case "CE":
			if err := s.continued(field, isDir, serial); err != nil {
				return err
			}
		case "ST":
			return nil
		}
		b = b[n:]
	}
	return nil
}

// continued settles the fields that did not fit the record.
func (s *settler) continued(ce []byte, isDir bool, serial uint32) error {
	if len(ce) < 28 {
		return errISO
	}
	at := int64(binary.LittleEndian.Uint32(ce[4:]))*isoBlock + int64(binary.LittleEndian.Uint32(ce[12:]))
	n := binary.LittleEndian.Uint32(ce[20:])
	if n > isoBlock {
		return errISO
	}
	b := make([]byte, n)
	if _, err := s.f.ReadAt(b, at); err != nil {
		return err
	}
	if err := s.systemUse(b, isDir, serial); err != nil {
		return err
	}
	_, err := s.f.WriteAt(b, at)
	return err
}

// settlePX: mode, links, user, group and serial number, each in both byte orders.
func settlePX(px []byte, isDir bool, serial uint32) {
	mode, links := uint32(0o100444), uint32(1)
	if isDir {
		mode, links = 0o040555, 2
	}
	for i, v := range []uint32{mode, links, 0, 0, serial} {
		if o := 4 + 8*i; o+8 <= len(px) {
			binary.LittleEndian.PutUint32(px[o:], v)
			binary.BigEndian.PutUint32(px[o+4:], v)
		}
	}
}

// settleDate: years since 1900, month, day, hour, minute, second, quarters of an hour from Greenwich.
func settleDate(b []byte) {
	copy(b, []byte{byte(epoch.Year() - 1900), byte(epoch.Month()), byte(epoch.Day()), 0, 0, 0, 0})
}
