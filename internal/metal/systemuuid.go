package metal

import (
	"encoding/hex"
	"strings"
)

// SystemUUIDProperty is the node's property with the UUID of its machine's SMBIOS. A machine that asks for a boot with
// another one gets nothing. It is noted when a node is verified and the BMC tells it; who writes "none" there switches
// the comparison off.
const SystemUUIDProperty = "system_uuid"

// SystemUUID is a UUID that tells machines apart, in lower case; "" for anything else. Boards without one have all zeros
// or all ones.
func SystemUUID(text string) string {
	text = strings.ToLower(strings.TrimSpace(text))
	words := strings.Split(text, "-")
	if len(text) != 36 || len(words) != 5 || len(words[0]) != 8 || len(words[1]) != 4 || len(words[2]) != 4 || len(words[3]) != 4 {
		return ""
	}
	digits := strings.Join(words, "")
	if _, err := hex.DecodeString(digits); err != nil || strings.Trim(digits, "0") == "" || strings.Trim(digits, "f") == "" {
		return ""
	}
	return text
}
