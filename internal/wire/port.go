package wire

// Port is one NIC of a node as the API shows it. "" and zero stand for null.
type Port struct {
	UUID                         string         `json:"uuid"`
	Address                      string         `json:"address"`
	NodeUUID                     string         `json:"node_uuid"`
	Name                         string         `json:"name"`
	Extra                        map[string]any `json:"extra"`
	InternalInfo                 map[string]any `json:"internal_info"`
	LocalLinkConnection          map[string]any `json:"local_link_connection"`
	PXEEnabled                   bool           `json:"pxe_enabled"`
	PortgroupUUID                string         `json:"portgroup_uuid"`
	PhysicalNetwork              string         `json:"physical_network"`
	IsSmartNIC                   bool           `json:"is_smartnic"`
	Description                  string         `json:"description"`
	Vendor                       string         `json:"vendor"`
	Category                     string         `json:"category"`
	AvailableForDynamicPortgroup bool           `json:"available_for_dynamic_portgroup"`
	CreatedAt                    Time           `json:"created_at"`
	UpdatedAt                    Time           `json:"updated_at"`
	Links                        []Link         `json:"links"`
}

// PortFields is every key of a port. Source: rest-api reference §4.
var PortFields = []Field[Port]{
	{Name: "uuid", Min: 1, Type: UUID, Flags: Create | Basic, Value: func(p *Port) any { return &p.UUID }},
	{Name: "address", Min: 1, Type: Address, Flags: Create | Patch | Basic, Value: func(p *Port) any { return &p.Address }},
	{Name: "node_uuid", Min: 1, Type: UUID, Flags: Create | Patch, Value: func(p *Port) any { return &p.NodeUUID }},
	{Name: "name", Min: 88, Flags: Create | Patch, Value: func(p *Port) any { return &p.Name }},
	{Name: "extra", Min: 1, Type: Object, Flags: Create | Patch | Unsorted, Value: func(p *Port) any { return &p.Extra }},
	{Name: "internal_info", Min: 18, Type: Object, Flags: Unsorted, Value: func(p *Port) any { return &p.InternalInfo }},
	{Name: "local_link_connection", Min: 19, Type: Object, Flags: Create | Patch | Unsorted, Value: func(p *Port) any { return &p.LocalLinkConnection }},
	{Name: "pxe_enabled", Min: 19, Type: Bool, Flags: Create | Patch, Value: func(p *Port) any { return p.PXEEnabled }},
	{Name: "portgroup_uuid", Min: 24, Type: UUID, Flags: Create | Patch, Value: func(p *Port) any { return &p.PortgroupUUID }},
	{Name: "physical_network", Min: 34, Flags: Create | Patch, Max: 64, Value: func(p *Port) any { return &p.PhysicalNetwork }},
	{Name: "is_smartnic", Min: 53, Type: Bool, Flags: Create | Patch, Value: func(p *Port) any { return p.IsSmartNIC }},
	{Name: "description", Min: 97, Flags: Create | Patch, Value: func(p *Port) any { return &p.Description }},
	{Name: "vendor", Min: 100, Flags: Create | Patch, Max: 32, Value: func(p *Port) any { return &p.Vendor }},
	{Name: "category", Min: 101, Flags: Create | Patch, Max: 80, Value: func(p *Port) any { return &p.Category }},
	{Name: "available_for_dynamic_portgroup", Min: 111, Type: Bool, Flags: Create | Patch, Value: func(p *Port) any { return p.AvailableForDynamicPortgroup }},
	{Name: "created_at", Min: 1, Flags: Always, Value: func(p *Port) any { return p.CreatedAt }},
	{Name: "updated_at", Min: 1, Flags: Always, Value: func(p *Port) any { return p.UpdatedAt }},
	{Name: "links", Min: 1, Flags: Always | Basic | Unsorted, Value: func(p *Port) any { return p.Links }},
}

// HasVTEP tells whether a version has the OVN VTEP form of local_link_connection.
func HasVTEP(minor int) bool { return minor >= SinceVTEP && minor < SinceNoVTEP }

// At hides the OVN VTEP form of local_link_connection from versions that do not have it: it exists from
// 1.90 to 1.104 only.
func (p *Port) At(minor int) {
	if HasVTEP(minor) {
		return
	}
	for _, k := range []string{"vtep-logical-switch", "vtep-physical-switch"} {
		if _, ok := p.LocalLinkConnection[k]; ok {
			p.LocalLinkConnection = nil
			return
		}
	}
}

// MarshalJSON renders the newest full form.
func (p Port) MarshalJSON() ([]byte, error) { return Full(PortFields, MaxMinor).Append(nil, &p), nil }
