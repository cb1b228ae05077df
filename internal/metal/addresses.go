package metal

import "net/netip"

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
