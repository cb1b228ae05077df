package conductor

import (
	"cmp"
	"encoding/json"
	"net/netip"
	"slices"
	"strings"

	"ingot/internal/agentapi"
)

// netLink and netNetwork are what of network_data is told to scripts. Source: OpenStack's network_data.json.
type netLink struct {
	ID  string `json:"id"`
	MAC string `json:"ethernet_mac_address"`
}

type netNetwork struct {
	ID      string `json:"network_id"`
	Link    string `json:"link"`
	Address string `json:"ip_address"`
	Mask    string `json:"netmask"`
	Gateway string `json:"gateway"`
	Routes  []struct {
		Network string `json:"network"`
		Gateway string `json:"gateway"`
	} `json:"routes"`
}

// addressed gives NICs what the instance's network data say of them. What is no fixed address of a NIC says nothing.
func addressed(nics []agentapi.OSNIC, raw json.RawMessage) {
	var data struct {
		Links    []netLink    `json:"links"`
		Networks []netNetwork `json:"networks"`
	}
	if json.Unmarshal(raw, &data) != nil { // a user's; what is of another shape says nothing
		return
	}
	mac := map[string]string{}
	for _, l := range data.Links {
		mac[l.ID] = l.MAC
	}
	for _, w := range data.Networks {
		at := slices.IndexFunc(nics, func(n agentapi.OSNIC) bool { return mac[w.Link] != "" && strings.EqualFold(n.MAC, mac[w.Link]) })
		if at >= 0 {
			w.tell(&nics[at])
		}
	}
}

// tell notes the first network of each family.
func (w netNetwork) tell(nic *agentapi.OSNIC) {
	text, bits, _ := strings.Cut(w.Address, "/")
	a, err := netip.ParseAddr(text)
	if err != nil {
		return
	}
	if nic.Network == nil {
		nic.Network = &agentapi.OSNetwork{UUID: w.ID}
	}
	nic.IP = cmp.Or(nic.IP, a.String())
	gateway, subnet := w.Gateway, subnetOf(a, cmp.Or(bits, w.Mask))
	for _, route := range w.Routes {
		if route.Network == "0.0.0.0" || route.Network == "::" || strings.HasSuffix(route.Network, "/0") {
			gateway = cmp.Or(gateway, route.Gateway)
		}
	}
	if a.Is4() {
		nic.Network.Family, nic.Network.Subnet, nic.Network.Gateway = "4", cmp.Or(nic.Network.Subnet, subnet), cmp.Or(nic.Network.Gateway, gateway)
		return
	}
	nic.Network.Family = cmp.Or(nic.Network.Family, "6")
	nic.Network.Subnet6, nic.Network.Gateway6 = cmp.Or(nic.Network.Subnet6, subnet), cmp.Or(nic.Network.Gateway6, gateway)
}

// subnetOf is the subnet of an address, "" where the mask says none. mask is bits, or as an address.
func subnetOf(a netip.Addr, mask string) string {
	if p, err := netip.ParsePrefix(a.String() + "/" + mask); err == nil {
		return p.Masked().String()
	}
	m, err := netip.ParseAddr(mask)
	if err != nil || m.BitLen() != a.BitLen() {
		return ""
	}
	bits := 0
	for _, b := range m.AsSlice() {
		for ; b&0x80 != 0; b <<= 1 {
			bits++
		}
		if b != 0 || bits%8 != 0 {
			break
		}
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return ""
	}
	return p.String()
}
