package image

import (
	"encoding/binary"
	"fmt"
)

// GUID is a GUID as a GPT stores it: the first three fields little-endian (UEFI 2.10, appendix A).
type GUID [16]byte

// Partition types this system looks at or makes. Sources: UEFI 2.10 table 5.7; the Discoverable
// Partitions Specification.
var (
	TypeESP       = MustGUID("c12a7328-f81f-11d2-ba4b-00a0c93ec93b")
	TypeLinuxData = MustGUID("0fc63daf-8483-4772-8e79-3d69d8477de4")
	TypeLinuxRoot = MustGUID("4f68bce3-e8cd-4db1-96e7-fbcaf984b709") // x86-64
	TypeLinuxSwap = MustGUID("0657fd6d-a4ab-43c4-84e5-0933c84b4f4f")
)

// String gives the usual text form in lower case, as /dev/disk/by-partuuid has it.
func (g GUID) String() string {
	return fmt.Sprintf("%08x-%04x-%04x-%x-%x", binary.LittleEndian.Uint32(g[0:]), binary.LittleEndian.Uint16(g[4:]),
		binary.LittleEndian.Uint16(g[6:]), g[8:10], g[10:16])
}

// MustGUID parses the text form of a constant and panics on anything else.
func MustGUID(s string) GUID {
	var (
		a    uint32
		b, c uint16
		d, e []byte
	)
	if n, err := fmt.Sscanf(s, "%08x-%04x-%04x-%4x-%12x", &a, &b, &c, &d, &e); err != nil || n != 5 {
		panic("image: not a GUID: " + s)
	}
	var g GUID
	binary.LittleEndian.PutUint32(g[0:], a)
	binary.LittleEndian.PutUint16(g[4:], b)
	binary.LittleEndian.PutUint16(g[6:], c)
	copy(g[8:10], d)
	copy(g[10:16], e)
	return g
}
