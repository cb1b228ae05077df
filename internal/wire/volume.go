package wire

// VolumeConnector is how a node identifies itself to remote storage, as the API shows it.
type VolumeConnector struct {
	UUID        string         `json:"uuid"`
	NodeUUID    string         `json:"node_uuid"`
	Type        string         `json:"type"`
	ConnectorID string         `json:"connector_id"`
	Extra       map[string]any `json:"extra"`
	CreatedAt   Time           `json:"created_at"`
	UpdatedAt   Time           `json:"updated_at"`
	Links       []Link         `json:"links"`
}

// VolumeConnectorFields is every key of a volume connector. Source: rest-api reference §13.
var VolumeConnectorFields = []Field[VolumeConnector]{
	{Name: "uuid", Min: 32, Type: UUID, Flags: Create | Basic, Value: func(v *VolumeConnector) any { return &v.UUID }},
	{Name: "node_uuid", Min: 32, Type: UUID, Flags: Create | Patch | Basic, Value: func(v *VolumeConnector) any { return &v.NodeUUID }},
	{Name: "type", Min: 32, Type: NonEmpty, Flags: Create | Patch | Basic, Value: func(v *VolumeConnector) any { return &v.Type }},
	{Name: "connector_id", Min: 32, Type: NonEmpty, Flags: Create | Patch | Basic, Value: func(v *VolumeConnector) any { return &v.ConnectorID }},
	{Name: "extra", Min: 32, Type: Object, Flags: Create | Patch | Unsorted, Value: func(v *VolumeConnector) any { return &v.Extra }},
	{Name: "created_at", Min: 32, Flags: Always, Value: func(v *VolumeConnector) any { return v.CreatedAt }},
	{Name: "updated_at", Min: 32, Flags: Always, Value: func(v *VolumeConnector) any { return v.UpdatedAt }},
	{Name: "links", Min: 32, Flags: Always | Basic | Unsorted, Value: func(v *VolumeConnector) any { return v.Links }},
}

// MarshalJSON renders the newest full form.
func (v VolumeConnector) MarshalJSON() ([]byte, error) {
	return Full(VolumeConnectorFields, MaxMinor).Append(nil, &v), nil
}

// VolumeTarget is a remote disk of a node, as the API shows it.
type VolumeTarget struct {
	UUID       string         `json:"uuid"`
	NodeUUID   string         `json:"node_uuid"`
	VolumeType string         `json:"volume_type"`
	BootIndex  int            `json:"boot_index"`
	VolumeID   string         `json:"volume_id"`
	Properties map[string]any `json:"properties"`
	Extra      map[string]any `json:"extra"`
	CreatedAt  Time           `json:"created_at"`
	UpdatedAt  Time           `json:"updated_at"`
	Links      []Link         `json:"links"`
}

// VolumeTargetFields is every key of a volume target. Source: rest-api reference §13.
var VolumeTargetFields = []Field[VolumeTarget]{
	{Name: "uuid", Min: 32, Type: UUID, Flags: Create | Basic, Value: func(v *VolumeTarget) any { return &v.UUID }},
	{Name: "node_uuid", Min: 32, Type: UUID, Flags: Create | Patch | Basic, Value: func(v *VolumeTarget) any { return &v.NodeUUID }},
	{Name: "volume_type", Min: 32, Type: NonEmpty, Flags: Create | Patch | Basic, Value: func(v *VolumeTarget) any { return &v.VolumeType }},
	{Name: "boot_index", Min: 32, Type: Int, Flags: Create | Patch | Basic, Value: func(v *VolumeTarget) any { return v.BootIndex }},
	{Name: "volume_id", Min: 32, Type: NonEmpty, Flags: Create | Patch | Basic, Value: func(v *VolumeTarget) any { return &v.VolumeID }},
	{Name: "properties", Min: 32, Type: Object, Flags: Create | Patch | Unsorted, Value: func(v *VolumeTarget) any { return &v.Properties }},
	{Name: "extra", Min: 32, Type: Object, Flags: Create | Patch | Unsorted, Value: func(v *VolumeTarget) any { return &v.Extra }},
	{Name: "created_at", Min: 32, Flags: Always, Value: func(v *VolumeTarget) any { return v.CreatedAt }},
	{Name: "updated_at", Min: 32, Flags: Always, Value: func(v *VolumeTarget) any { return v.UpdatedAt }},
	{Name: "links", Min: 32, Flags: Always | Basic | Unsorted, Value: func(v *VolumeTarget) any { return v.Links }},
}

// MarshalJSON renders the newest full form.
func (v VolumeTarget) MarshalJSON() ([]byte, error) {
	return Full(VolumeTargetFields, MaxMinor).Append(nil, &v), nil
}
