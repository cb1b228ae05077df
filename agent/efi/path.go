package efi

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/google/uuid"
)

// maxNodes bounds a device path; real ones have ten.
const maxNodes = 64

// PathText words a device path as efibootmgr and the specification do, one word a node and "/" between: what
// operators' patterns are made for. Nodes of rare kinds are worded by their numbers. Source: UEFI specification
// 2.10, §10.6.
func PathText(path []byte) string {
	var words []string
	for len(path) >= 4 && len(words) < maxNodes {
		length := int(binary.LittleEndian.Uint16(path[2:]))
		if length < 4 || length > len(path) {
			words = append(words, "damaged")
			break
		}
		words = append(words, nodeText(path[0], path[1], path[4:length]))
		path = path[length:]
	}
	return strings.Join(words, "/")
}

// nodeText words one node by its type and subtype.
func nodeText(kind, sub byte, b []byte) string {
	switch {
	case kind == 1 && sub == 1 && len(b) == 2:
		return fmt.Sprintf("Pci(0x%x,0x%x)", b[1], b[0])
	case kind == 2 && sub == 1 && len(b) == 8:
		return fmt.Sprintf("PciRoot(0x%x)", binary.LittleEndian.Uint32(b[4:]))
	case kind == 3 && sub == 18 && len(b) == 6:
		return fmt.Sprintf("Sata(%d,%d,%d)", binary.LittleEndian.Uint16(b), binary.LittleEndian.Uint16(b[2:]), binary.LittleEndian.Uint16(b[4:]))
	case kind == 3 && sub == 11 && len(b) >= 6:
		return fmt.Sprintf("MAC(%x)", b[:6])
	case kind == 4 && sub == 1 && len(b) == 38:
		return diskText(b)
	case kind == 4 && sub == 2 && len(b) == 20:
		return fmt.Sprintf("CDROM(%d,0x%x,0x%x)", binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint64(b[4:]), binary.LittleEndian.Uint64(b[12:]))
	case kind == 4 && sub == 4:
		return "File(" + strings.TrimRight(fromUTF16(b), "\x00") + ")"
	case kind == 4 && (sub == 6 || sub == 7) && len(b) == 16:
		return map[byte]string{6: "FvFile", 7: "FvVol"}[sub] + "(" + guidText(b) + ")"
	}
	return fmt.Sprintf("Path(%d,%d)", kind, sub)
}

// diskText words a hard drive node.
func diskText(b []byte) string {
	number, start, size := binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint64(b[4:]), binary.LittleEndian.Uint64(b[12:])
	if b[36] == 2 {
		return fmt.Sprintf("HD(%d,GPT,%s,0x%x,0x%x)", number, guidText(b[20:36]), start, size)
	}
	return fmt.Sprintf("HD(%d,MBR,0x%x,0x%x,0x%x)", number, binary.LittleEndian.Uint32(b[20:]), start, size)
}

// guidText turns the mixed order of a GUID in memory into the order of its text.
func guidText(b []byte) string {
	return uuid.UUID{b[3], b[2], b[1], b[0], b[5], b[4], b[7], b[6], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]}.String()
}
