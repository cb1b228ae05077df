package wire

// Portgroup is some NICs of a node that work as one, as the API shows it. "" and zero stand for null.
type Portgroup struct {
	UUID                     string         `json:"uuid"`
	NodeUUID                 string         `json:"node_uuid"`
	Address                  string         `json:"address"`
	Name                     string         `json:"name"`
	Extra                    map[string]any `json:"extra"`
	InternalInfo             map[string]any `json:"internal_info"`
	StandalonePortsSupported bool           `json:"standalone_ports_supported"`
	Mode                     string         `json:"mode"`
	Properties               map[string]any `json:"properties"`
	PhysicalNetwork          string         `json:"physical_network"`
	Category                 string         `json:"category"`
	DynamicPortgroup         bool           `json:"dynamic_portgroup"`
	CreatedAt                Time           `json:"created_at"`
	UpdatedAt                Time           `json:"updated_at"`
	Links                    []Link         `json:"links"`
	Ports                    []Link         `json:"ports"`
}

// PortgroupFields is every key of a port group. Source: rest-api reference §5.
var PortgroupFields = []Field[Portgroup]{
	{Name: "uuid", Min: 23, Type: UUID, Flags: Create | Basic, Value: func(g *Portgroup) any { return &g.UUID }},
	{Name: "node_uuid", Min: 23, Type: UUID, Flags: Create | Patch, Value: func(g *Portgroup) any { return &g.NodeUUID }},
	{Name: "address", Min: 23, Type: AddressOrNull, Flags: Create | Patch | Basic, Value: func(g *Portgroup) any { return &g.Address }},
	{Name: "name", Min: 23, Flags: Create | Patch | Basic, Value: func(g *Portgroup) any { return &g.Name }},
	{Name: "extra", Min: 23, Type: Object, Flags: Create | Patch | Unsorted, Value: func(g *Portgroup) any { return &g.Extra }},
	{Name: "internal_info", Min: 23, Type: Object, Flags: Unsorted, Value: func(g *Portgroup) any { return &g.InternalInfo }},
	{Name: "standalone_ports_supported", Min: 23, Type: Bool, Flags: Create | Patch, Value: func(g *Portgroup) any { return g.StandalonePortsSupported }},
	{Name: "mode", Min: 26, Flags: Create | Patch, Value: func(g *Portgroup) any { return &g.Mode }},
	{Name: "properties", Min: 26, Type: Object, Flags: Create | Patch | Unsorted, Value: func(g *Portgroup) any { return &g.Properties }},
	{Name: "physical_network", Min: 102, Flags: Create | Patch, Max: 64, Value: func(g *Portgroup) any { return &g.PhysicalNetwork }},
	{Name: "category", Min: 103, Flags: Create | Patch, Max: 80, Value: func(g *Portgroup) any { return &g.Category }},
	{Name: "dynamic_portgroup", Min: 111, Type: Bool, Value: func(g *Portgroup) any { return g.DynamicPortgroup }},
	{Name: "created_at", Min: 23, Flags: Always, Value: func(g *Portgroup) any { return g.CreatedAt }},
	{Name: "updated_at", Min: 23, Flags: Always, Value: func(g *Portgroup) any { return g.UpdatedAt }},
	{Name: "links", Min: 23, Flags: Always | Basic | Unsorted, Value: func(g *Portgroup) any { return g.Links }},
	{Name: "ports", Min: 23, Flags: Extra | Unsorted, Value: func(g *Portgroup) any { return g.Ports }},
}

// MarshalJSON renders the newest full form.
func (g Portgroup) MarshalJSON() ([]byte, error) {
	return Full(PortgroupFields, MaxMinor).Append(nil, &g), nil
}
