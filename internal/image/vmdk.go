package image

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Bounds and constants of VMDK. Source: VMware's Virtual Disk Format 5.0, images reference §5.
const (
	vmdkSector     = 512
	maxDescriptor  = 1<<20 - 1
	maxVMDKTables  = 64 << 20 // grain directory and tables of a disk of 8 TiB
	vmdkGTEs       = 512
	vmdkAtEnd      = ^uint64(0) // the directory is behind the data, and a footer says where
	vmdkMarkFooter = 3
	vmdkMarkEnd    = 0

	vmdkNewline    = 1 << 0
	vmdkRedundant  = 1 << 1
	vmdkZeroGrain  = 1 << 2
	vmdkCompressed = 1 << 16
	vmdkMarkers    = 1 << 17
)

// vmdkHeader is what a sparse extent says of itself. Offsets and sizes are sectors.
type vmdkHeader struct {
	version, flags               uint32
	capacity, grain              uint64
	descriptor, descriptorLength uint64
	gtes                         uint32
	directory                    uint64
	compression                  uint16
}

// checkVMDK judges a VMware disk: a sparse extent with its descriptor inside, or a descriptor alone, whose data is elsewhere.
func checkVMDK(v *view) error {
	first, err := v.bytes(0, int(min(v.size, vmdkSector)))
	if err != nil {
		return err
	}
	switch {
	case bytes.HasPrefix(first, []byte("COWD")):
		return errors.New("it is a sparse disk of an ESX host (COWD), which is never read")
	case !bytes.HasPrefix(first, []byte("KDMV")):
		return checkVMDKText(v)
	}
	h, err := parseVMDKHeader(first)
	if err != nil {
		return err
	}
	if err := h.check(v); err != nil {
		return err
	}
	text, err := v.bytes(int64(h.descriptor)*vmdkSector, int(h.descriptorLength)*vmdkSector)
	if err != nil {
		return err
	}
	if err := checkVMDKDescriptor(text, h.capacity); err != nil {
		return err
	}
	return h.checkFooter(v, first)
}

func checkVMDKText(v *view) error {
	if v.size > maxDescriptor {
		return errors.New("its descriptor is over 1 MiB")
	}
	text, err := v.bytes(0, int(v.size))
	if err == nil {
		err = checkVMDKDescriptor(text, 0)
	}
	if err != nil {
		return err
	}
	return errors.New("it is a descriptor alone: its data is in other files")
}

func parseVMDKHeader(b []byte) (vmdkHeader, error) {
	if len(b) < vmdkSector || string(b[:4]) != "KDMV" {
		return vmdkHeader{}, errors.New("its header is cut short")
	}
	le := binary.LittleEndian
	h := vmdkHeader{version: le.Uint32(b[4:]), flags: le.Uint32(b[8:]), capacity: le.Uint64(b[12:]), grain: le.Uint64(b[20:]),
		descriptor: le.Uint64(b[28:]), descriptorLength: le.Uint64(b[36:]), gtes: le.Uint32(b[44:]), directory: le.Uint64(b[56:]),
		compression: le.Uint16(b[77:])}
	switch {
	case h.version < 1 || h.version > 3:
		return h, fmt.Errorf("its version %d is not known", h.version)
	case h.flags&^(vmdkNewline|vmdkRedundant|vmdkZeroGrain|vmdkCompressed|vmdkMarkers) != 0:
		return h, fmt.Errorf("it needs features that are not known here (flags %#x)", h.flags)
	case h.flags&vmdkNewline != 0 && string(b[73:77]) != "\n \r\n":
		return h, errors.New("it was damaged by a transfer as text")
	case h.compression > 1:
		return h, fmt.Errorf("it is compressed in a way that is not known here (%d)", h.compression)
	}
	return h, nil
}

// check sees that what the header claims can be.
func (h vmdkHeader) check(v *view) error {
	switch {
	case h.descriptor != 1:
		return fmt.Errorf("its descriptor is at sector %d, not at 1", h.descriptor)
	case h.descriptorLength == 0 || h.descriptorLength > maxDescriptor/vmdkSector:
		return fmt.Errorf("its descriptor claims %d sectors", h.descriptorLength)
	case h.grain < 8 || h.grain > 4096 || h.grain&(h.grain-1) != 0:
		return fmt.Errorf("its grains claim %d sectors", h.grain)
	case h.gtes != vmdkGTEs:
		return fmt.Errorf("its tables claim %d entries", h.gtes)
	case h.capacity == 0 || h.capacity > 1<<50:
		return fmt.Errorf("it claims a disk of %d sectors", h.capacity)
	}
	grains := (h.capacity + h.grain - 1) / h.grain
	if grains*4 > maxVMDKTables {
		return fmt.Errorf("its tables are too large: %d bytes for a disk of %d sectors", grains*4, h.capacity)
	}
	if h.directory == vmdkAtEnd {
		return nil
	}
	tables := (grains + vmdkGTEs - 1) / vmdkGTEs
	if h.directory > 1<<50 || !v.holds(h.directory*vmdkSector, tables*4) {
		return fmt.Errorf("its directory is at sector %d, past the end of the file", h.directory)
	}
	return nil
}

// checkFooter compares the copy of the header that a stream-optimised file ends with: readers believe the copy.
func (h vmdkHeader) checkFooter(v *view, head []byte) error {
	if h.directory != vmdkAtEnd {
		return nil
	}
	if v.cut {
		return errUnseen
	}
	if v.size < 4*vmdkSector {
		return errors.New("its footer is missing")
	}
	end, err := v.bytes(v.size-3*vmdkSector, 3*vmdkSector)
	if err != nil {
		return err
	}
	mark, footer, last := end[:vmdkSector], end[vmdkSector:2*vmdkSector], end[2*vmdkSector:]
	if !isMarker(mark, 1, vmdkMarkFooter) || !isMarker(last, 0, vmdkMarkEnd) {
		return errors.New("the markers around its footer are wrong")
	}
	f, err := parseVMDKHeader(footer)
	if err != nil {
		return fmt.Errorf("its footer: %w", err)
	}
	if f.directory == vmdkAtEnd {
		return errors.New("its footer points to another footer")
	}
	same := bytes.Clone(footer)
	copy(same[56:64], head[56:64])
	if !bytes.Equal(same, head) {
		return errors.New("its footer contradicts its header")
	}
	return f.check(v)
}

// isMarker tells a marker sector that carries nothing but what it is.
func isMarker(b []byte, value uint64, kind uint32) bool {
	le := binary.LittleEndian
	return le.Uint64(b) == value && le.Uint32(b[8:]) == 0 && le.Uint32(b[12:]) == kind && len(bytes.Trim(b[16:], "\x00")) == 0
}

// vmdkKnown are the keys a descriptor may have; those of the disk database, ddb.…, besides.
var vmdkKnown = []string{"version", "encoding", "cid", "parentcid", "isnativesnapshot", "createtype", "parentfilenamehint"}

// vmdkDescriptor is what was read of a descriptor.
type vmdkDescriptor struct {
	kind    string
	extents int
	sectors uint64
}

// checkVMDKDescriptor judges the text that says what the disk is made of. sectors is what the header says of its size; 0 for not
// known. Everything that is not understood is refused: a reader that understands it may open other files.
func checkVMDKDescriptor(text []byte, sectors uint64) error {
	text = bytes.TrimRight(text, "\x00")
	if i := bytes.IndexFunc(text, func(r rune) bool { return r > 126 || r < 32 && r != '\n' && r != '\r' && r != '\t' }); i >= 0 {
		return fmt.Errorf("its descriptor is not plain text: byte %d of it", i)
	}
	var d vmdkDescriptor
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if err := d.line(line); err != nil {
			return err
		}
	}
	switch d.kind {
	case "monolithicSparse", "streamOptimized":
	case "":
		return errors.New("its descriptor does not say what kind of disk it is (createType)")
	default:
		return fmt.Errorf("it is of the kind %.40q, whose data is in other files or devices", d.kind)
	}
	switch {
	case d.extents == 0:
		return errors.New("its descriptor names no extent")
	case d.extents > 1:
		return fmt.Errorf("its descriptor names %d extents, which are in other files", d.extents)
	case sectors != 0 && d.sectors != sectors:
		return fmt.Errorf("its descriptor claims %d sectors, its header %d", d.sectors, sectors)
	}
	return nil
}

func (d *vmdkDescriptor) line(line string) error {
	first, _, _ := strings.Cut(line, " ")
	if slices.Contains([]string{"RW", "RDONLY", "NOACCESS"}, first) {
		return d.extent(line)
	}
	key, value, ok := strings.Cut(line, "=")
	key, value = strings.ToLower(strings.TrimSpace(key)), strings.Trim(strings.TrimSpace(value), `"`)
	switch {
	case ok && (key == "encryption.keysafe" || key == "encryption.data" || strings.HasPrefix(key, "encryption")):
		return errors.New("it is encrypted")
	case !ok || !slices.Contains(vmdkKnown, key) && !strings.HasPrefix(key, "ddb."):
		return fmt.Errorf("its descriptor has a line that is not known here: %.60q", line)
	case key == "parentfilenamehint" && value != "":
		return fmt.Errorf("it needs a second file, its parent %.80q", value)
	case key == "parentcid" && !strings.EqualFold(value, "ffffffff"):
		return errors.New("it needs a second file, its parent")
	case key == "createtype" && d.kind != "" && d.kind != value:
		return errors.New("its descriptor says twice what kind of disk it is")
	case key == "createtype":
		d.kind = value
	}
	return nil
}

// extent reads a line such as: RW 4192256 SPARSE "disk.vmdk"
func (d *vmdkDescriptor) extent(line string) error {
	spec, name, ok := strings.Cut(line, `"`)
	name, after, closed := strings.Cut(name, `"`)
	fields := strings.Fields(spec)
	if !ok || !closed || len(fields) != 3 {
		return fmt.Errorf("its descriptor has an extent that is not known here: %.60q", line)
	}
	sectors, err := strconv.ParseUint(fields[1], 10, 50)
	switch {
	case err != nil:
		return fmt.Errorf("its descriptor claims an extent of %.40q sectors", fields[1])
	case fields[2] != "SPARSE":
		return fmt.Errorf("its extent %.80q is of the type %.40q, whose data is in another file or device", name, fields[2])
	case strings.ContainsAny(name, `/\:`) || name == "" || name == "." || name == "..":
		return fmt.Errorf("its extent is the path %.80q", name)
	case strings.TrimSpace(after) != "":
		return fmt.Errorf("its descriptor has an extent that is not known here: %.60q", line)
	}
	d.extents++
	d.sectors += sectors
	return nil
}
