package metal

import "slices"

// NetworkRole is what a machine's NICs are on a network for.
type NetworkRole string

// The roles. Source: lifecycle reference §27.
const (
	ProvisioningNetwork NetworkRole = "provisioning"
	CleaningNetwork     NetworkRole = "cleaning"
	RescuingNetwork     NetworkRole = "rescuing"
	InspectionNetwork   NetworkRole = "inspection"
	ServicingNetwork    NetworkRole = "servicing"
	TenantNetwork       NetworkRole = "tenant" // where the VIFs of the node's user are
)

// NetworkRoles is every role, those with a network of the operator's first.
var NetworkRoles = []NetworkRole{ProvisioningNetwork, CleaningNetwork, RescuingNetwork, InspectionNetwork, ServicingNetwork, TenantNetwork}

// VIFKey is where a port or port group keeps, in internal_info, its attachment to the network of a role: the UUID of the
// port in the network service. Source: lifecycle reference §27.
func (r NetworkRole) VIFKey() string { return string(r) + "_vif_port_id" }

// Option is the name of the option that names the operator's network of a role, in driver_info and in the configuration;
// "" for the tenant's.
func (r NetworkRole) Option() string {
	if r == TenantNetwork {
		return ""
	}
	return string(r) + "_network"
}

// Wiring is a node's NICs as a network interface sees them. They are copies: what is to be kept of them is given back as
// Notes.
type Wiring struct {
	Ports  []*Port
	Groups []*Portgroup
}

// Notes are what a network interface remembers in internal_info of ports and port groups: by their UUID the keys to be
// set; "" takes a key away. Other keys stay.
type Notes map[string]map[string]string

// Note adds to the notes of one port or port group.
func (n Notes) Note(uuid, key, value string) {
	if n[uuid] == nil {
		n[uuid] = map[string]string{}
	}
	n[uuid][key] = value
}

// Noted is an internal_info with its notes; nil notes leave it as it is. The given map is not changed.
func Noted(info map[string]any, notes map[string]string) map[string]any {
	out := map[string]any{}
	for k, v := range info {
		out[k] = v
	}
	for k, v := range notes {
		if v == "" {
			delete(out, k)
			continue
		}
		out[k] = v
	}
	return out
}

// On tells whether a port or port group notes that it is on the network of a role.
func (w Wiring) On(role NetworkRole) bool {
	on := func(info map[string]any) bool { v, _ := info[role.VIFKey()].(string); return v != "" }
	return slices.ContainsFunc(w.Ports, func(p *Port) bool { return on(p.InternalInfo) }) ||
		slices.ContainsFunc(w.Groups, func(g *Portgroup) bool { return on(g.InternalInfo) })
}

// Note writes notes into the copies.
func (w Wiring) Note(notes Notes) {
	for _, p := range w.Ports {
		if own := notes[p.UUID]; own != nil {
			p.InternalInfo = Noted(p.InternalInfo, own)
		}
	}
	for _, g := range w.Groups {
		if own := notes[g.UUID]; own != nil {
			g.InternalInfo = Noted(g.InternalInfo, own)
		}
	}
}

// Separates tells whether a network interface keeps the machines of one user away from those of another. Flat ones share
// one network, and those of noop stay where they are cabled to.
func Separates(network string) bool { return network != "noop" && network != "flat" }
