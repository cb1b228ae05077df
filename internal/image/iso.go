package image

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Bounds of ISO 9660. Source: ECMA-119 6.7, 8.
const (
	isoSector      = 2048
	isoFirst       = 16 // sector of the first volume descriptor
	maxDescriptors = 64
)

// checkISO judges an ISO 9660 or UDF medium by its volume descriptors. Its file system is not read: it is written as it is.
func checkISO(v *view) error {
	primary := false
	for i := range int64(maxDescriptors) {
		b, err := v.bytes((isoFirst+i)*isoSector, isoSector)
		if err != nil {
			return fmt.Errorf("its volume descriptors do not end: %w", err)
		}
		switch id := string(b[1:6]); {
		case id == "BEA01", id == "NSR02", id == "NSR03", id == "TEA01", id == "BOOT2":
			if id == "TEA01" {
				return nil
			}
			continue
		case id != "CD001":
			return fmt.Errorf("its volume descriptor %d is damaged", i)
		case b[6] != 1 && b[6] != 2:
			return fmt.Errorf("its volume descriptor %d has the version %d, which is not known", i, b[6])
		}
		switch kind := b[0]; {
		case kind == 1:
			if err := checkISOVolume(v, b); err != nil {
				return err
			}
			primary = true
		case kind == 255 && !primary:
			return errors.New("it has no primary volume descriptor")
		case kind == 255:
			return nil
		case kind > 3:
			return fmt.Errorf("its volume descriptor %d is of a kind that is not known (%d)", i, kind)
		}
	}
	return fmt.Errorf("it has over %d volume descriptors", maxDescriptors)
}

// checkISOVolume compares what a primary volume descriptor says twice, and with the file.
func checkISOVolume(v *view, b []byte) error {
	le, be := binary.LittleEndian, binary.BigEndian
	sectors, block := uint64(le.Uint32(b[80:])), le.Uint16(b[128:])
	root := b[156:190]
	switch {
	case le.Uint32(b[80:]) != be.Uint32(b[84:]) || block != be.Uint16(b[130:]):
		return errors.New("its primary volume descriptor contradicts itself")
	case block != isoSector:
		return fmt.Errorf("its blocks claim %d bytes", block)
	case sectors <= isoFirst || !v.holds(0, sectors*isoSector):
		return fmt.Errorf("it claims %d sectors, more than the file has", sectors)
	case root[0] != 34 || le.Uint32(root[2:]) != be.Uint32(root[6:]) || le.Uint32(root[10:]) != be.Uint32(root[14:]):
		return errors.New("its root directory is damaged")
	case uint64(le.Uint32(root[2:])) >= sectors || uint64(le.Uint32(root[10:])) > sectors*isoSector:
		return errors.New("its root directory is past its end")
	}
	return nil
}
