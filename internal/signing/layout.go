package signing

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"slices"

	"ingot/internal/fault"
)

// MaxSize bounds a file: a kernel with its initramfs in it may have a few hundred MiB.
const MaxSize = 1 << 30

const (
	maxSections = 96 // of a PE file, as Windows has it
	maxCerts    = 16 // signatures of one file
	certHeader  = 8
	certPadding = 8 // signatures begin and end at multiples of this
)

// Image is a PE file that was taken apart.
type Image struct {
	raw      []byte
	checksum int // place of the optional header's checksum, which no hash covers
	certDir  int // place of the directory entry of the signatures, which no hash covers
	end      int // of what is hashed: where the signatures begin, or the file ends
	entries  int // in the table of signatures
	certs    [][]byte
}

// Parse takes a PE file apart. It keeps raw and changes nothing in it. Errors are fault.Invalid, and say what is wrong.
func Parse(raw []byte) (*Image, error) {
	if len(raw) > MaxSize {
		return nil, fault.New(fault.TooLarge, "the file is larger than 1 GiB: no boot loader or kernel is")
	}
	i := &Image{raw: raw}
	headers, sections, err := i.readHeaders()
	if err != nil {
		return nil, err
	}
	if err := i.readCerts(); err != nil {
		return nil, err
	}
	return i, i.checkSections(headers, sections)
}

// section is where one lies in the file.
type section struct{ at, size int }

func wrong(format string, args ...any) error { return fault.New(fault.Invalid, format, args...) }

// readHeaders finds the places that matter. It gives the size of all headers, and the sections that have bytes in the file.
func (i *Image) readHeaders() (headers int, sections []section, err error) {
	le, b := binary.LittleEndian, i.raw
	if len(b) < 0x40 || b[0] != 'M' || b[1] != 'Z' {
		return 0, nil, wrong("the file is no EFI program: it does not begin as a PE file does")
	}
	pe := int64(le.Uint32(b[0x3c:]))
	if pe < 0x40 || pe+24 > int64(len(b)) || !bytes.Equal(b[pe:pe+4], []byte("PE\x00\x00")) {
		return 0, nil, wrong("the file is no EFI program: it has no PE header")
	}
	opt := int(pe) + 24
	count, optSize := int(le.Uint16(b[pe+6:])), int(le.Uint16(b[pe+20:]))
	if opt+optSize > len(b) || optSize < 2 {
		return 0, nil, wrong("the PE file ends in its optional header")
	}
	var dirs int // where the data directories begin
	switch le.Uint16(b[opt:]) {
	case 0x10b:
		dirs = opt + 96
	case 0x20b:
		dirs = opt + 112
	default:
		return 0, nil, wrong("the PE file is of a kind that no firmware starts")
	}
	if dirs+5*8 > opt+optSize || le.Uint32(b[dirs-4:]) < 5 {
		return 0, nil, wrong("the PE file has no place for a signature in its header")
	}
	i.checksum, i.certDir = opt+64, dirs+4*8
	headers = int(le.Uint32(b[opt+60:]))
	table := opt + optSize
	if count > maxSections || table+40*count > headers || headers > len(b) {
		return 0, nil, wrong("the PE file's sections do not fit in its headers")
	}
	for n := range count {
		at := table + 40*n
		if s := (section{at: int(le.Uint32(b[at+20:])), size: int(le.Uint32(b[at+16:]))}); s.size > 0 {
			sections = append(sections, s)
		}
	}
	slices.SortFunc(sections, func(a, b section) int { return cmp.Compare(a.at, b.at) })
	return headers, sections, nil
}

// readCerts takes the table of signatures apart, which must be the end of the file.
func (i *Image) readCerts() error {
	le := binary.LittleEndian
	at, size := int64(le.Uint32(i.raw[i.certDir:])), int64(le.Uint32(i.raw[i.certDir+4:]))
	i.end = len(i.raw)
	if size == 0 {
		return nil
	}
	if at%certPadding != 0 || at < int64(i.certDir)+8 || at+size != int64(len(i.raw)) {
		return wrong("the PE file's signatures are not at its end")
	}
	i.end = int(at)
	for rest := i.raw[at:]; len(rest) > 0; {
		if i.entries++; len(rest) < certHeader || i.entries > maxCerts {
			return wrong("the PE file's table of signatures is damaged")
		}
		n := int64(le.Uint32(rest))
		if n < certHeader || n > int64(len(rest)) {
			return wrong("a signature of the PE file is larger than its table")
		}
		if le.Uint16(rest[6:]) == signedData {
			i.certs = append(i.certs, rest[certHeader:n])
		}
		rest = rest[min(int64(len(rest)), (n+certPadding-1)/certPadding*certPadding):]
	}
	return nil
}

// checkSections sees that headers and sections follow each other without a hole: what lies in one would be hashed by nobody, or by
// some firmware and not by another.
func (i *Image) checkSections(headers int, sections []section) error {
	at := headers
	for _, s := range sections {
		if s.at < at {
			return wrong("the PE file's sections overlap")
		}
		if s.at > at {
			return wrong("the PE file has %d bytes between its sections that a signature would not cover: link it without holes", s.at-at)
		}
		if at = s.at + s.size; at > i.end {
			return wrong("the PE file ends in one of its sections")
		}
	}
	return nil
}

// padded is how long the hashed part is with the zeros that signing puts behind it.
func (i *Image) padded() int { return (i.end + certPadding - 1) / certPadding * certPadding }

// hashed gives the parts of the file that a signature covers, in order.
func (i *Image) hashed() [][]byte {
	return [][]byte{i.raw[:i.checksum], i.raw[i.checksum+4 : i.certDir], i.raw[i.certDir+8 : i.end], make([]byte, i.padded()-i.end)}
}

// Digest is the SHA-256 of what a signature covers, by which a firmware may also know a file (db, dbx).
func (i *Image) Digest() [sha256.Size]byte {
	h := sha256.New()
	for _, part := range i.hashed() {
		h.Write(part)
	}
	return [sha256.Size]byte(h.Sum(nil))
}
