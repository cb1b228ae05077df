package image

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// checkLUKS judges an encrypted volume: it is always refused, as nothing here has its key. Source: LUKS on-disk format 1.2.3
// and 2.
func checkLUKS(v *view) error {
	b, err := v.bytes(0, 208)
	if err != nil {
		return err
	}
	be := binary.BigEndian
	switch version := be.Uint16(b[6:]); version {
	case 1:
		if payload := uint64(be.Uint32(b[104:])) * 512; !v.holds(payload, 1) {
			return fmt.Errorf("it is encrypted (version 1), and its data is at byte %d, past the end of the file", payload)
		}
		return errors.New("it is encrypted (version 1)")
	case 2:
		if length := be.Uint64(b[8:]); length < 0x4000 || length > 4<<20 {
			return fmt.Errorf("it is encrypted (version 2), and claims a header of %d bytes", length)
		}
		return errors.New("it is encrypted (version 2)")
	default:
		return fmt.Errorf("it is encrypted, in a version that is not known (%d)", version)
	}
}
