package metal

import (
	"net/netip"
	"strings"

	"ingot/internal/fault"
)

// AgentAddress is the key of driver_info for the address at which the agent of a machine's ramdisk is, where the operator
// gives each machine its own.
const AgentAddress = "agent_address"

// StaticAddresses are the addresses that a network_data has a machine take, in its order. What cannot be read as an address is
// left out.
func StaticAddresses(data map[string]any) []netip.Addr {
	var out []netip.Addr
	networks, _ := data["networks"].([]any)
	for _, one := range networks {
		network, _ := one.(map[string]any)
		text, _ := network["ip_address"].(string)
		if p, err := netip.ParsePrefix(text); err == nil {
			out = append(out, p.Addr())
		} else if a, err := netip.ParseAddr(text); err == nil {
			out = append(out, a)
		}
	}
	return out
}

// PollOnlyKey is the key of driver_info that says whether the agent of a machine is only polled, whatever the server is
// configured to.
const PollOnlyKey = "poll_only"

// PollOnly tells whether the agent of a node calls nobody and is asked instead; byDefault is for nodes that say nothing. A
// value that cannot be read is an error.
func PollOnly(n *Node, byDefault bool) (bool, error) {
	switch v := n.DriverInfo.Expose()[PollOnlyKey].(type) {
	case bool:
		return v, nil
	case string:
		switch strings.ToLower(strings.TrimSpace(v)) {
		case "true", "yes", "on", "1":
			return true, nil
		case "false", "no", "off", "0":
			return false, nil
		}
	case nil:
		return byDefault, nil
	}
	return byDefault, fault.New(fault.Invalid, "driver_info %s must be true or false", PollOnlyKey)
}
