package agentapi

import (
	"encoding/json"
	"errors"
	"net"
	"strings"

	"ingot/internal/fault"
)

// MaxReport bounds the body of POST /v1/continue_inspection, bytes. Source: Ironic's limit.
const MaxReport = 16 << 20

// maxParts bounds how many NICs, and how many disks, a machine may tell of.
const maxParts = 4096

// Report is the body of POST /v1/continue_inspection: what a machine tells of itself without being asked.
type Report struct {
	Inventory json.RawMessage            // an object, as it came
	Plugins   map[string]json.RawMessage // what came beside it, without the logs
	Error     string                     // what the agent could not find out, "" for nothing
}

// ParseReport reads a report. A machine is a stranger: errors are fault.Invalid.
func ParseReport(body []byte) (Report, Inventory, error) {
	var r Report
	if err := json.Unmarshal(body, &r.Plugins); err != nil || r.Plugins == nil {
		return r, Inventory{}, fault.Wrap(fault.Invalid, err, "The inspection data must be a JSON object.")
	}
	r.Inventory = r.Plugins["inventory"]
	if text := r.Plugins["error"]; text != nil {
		_ = json.Unmarshal(text, &r.Error) // null, or a text
	}
	delete(r.Plugins, "inventory")
	delete(r.Plugins, "logs")
	inv, err := ParseInventory(r.Inventory)
	return r, inv, err
}

// ParseInventory reads an inventory: at least one NIC, and what else can be understood. Values of a kind that
// is not expected count as absent; addresses come out in lower case. Errors are fault.Invalid.
func ParseInventory(raw []byte) (Inventory, error) {
	var inv Inventory
	var odd *json.UnmarshalTypeError
	if err := json.Unmarshal(raw, &inv); err != nil && !errors.As(err, &odd) {
		return inv, fault.Wrap(fault.Invalid, err, "The inventory is not a JSON object.")
	}
	if len(inv.Interfaces) == 0 {
		return inv, fault.New(fault.Invalid, "The inventory has no interfaces: at least one is needed.")
	}
	if len(inv.Interfaces) > maxParts || len(inv.Disks) > maxParts {
		return inv, fault.New(fault.Invalid, "The inventory has more than %d interfaces or disks.", maxParts)
	}
	for i := range inv.Interfaces {
		nic := &inv.Interfaces[i]
		if nic.MACAddress == "" {
			return inv, fault.New(fault.Invalid, "An interface of the inventory has no mac_address.")
		}
		if mac, ok := MAC(nic.MACAddress); ok {
			nic.MACAddress = mac
		}
	}
	return inv, nil
}

// MAC gives the usual form of the address of an Ethernet NIC: six bytes, lower case, colons. PXELINUX's form
// with a leading "01-" is understood. A zero or multicast address is no NIC's.
func MAC(s string) (string, bool) {
	s = strings.TrimSpace(s)
	if len(s) == 20 && strings.HasPrefix(s, "01-") {
		s = s[3:]
	}
	hw, err := net.ParseMAC(s)
	if err != nil || len(hw) != 6 || hw[0]&1 == 1 || hw.String() == "00:00:00:00:00:00" {
		return "", false
	}
	return hw.String(), true
}
