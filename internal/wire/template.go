package wire

// DeployTemplate is a deploy template as the API shows it.
type DeployTemplate struct {
	UUID      string         `json:"uuid"`
	Name      string         `json:"name"`
	Steps     []any          `json:"steps"`
	Extra     map[string]any `json:"extra"`
	CreatedAt Time           `json:"created_at"`
	UpdatedAt Time           `json:"updated_at"`
	Links     []Link         `json:"links"`
}

// DeployTemplateFields is every key of a deploy template. Source: rest-api reference §10.
var DeployTemplateFields = []Field[DeployTemplate]{
	{Name: "uuid", Min: 55, Type: UUID, Flags: Create | Basic, Value: func(d *DeployTemplate) any { return &d.UUID }},
	{Name: "name", Min: 55, Type: NonEmpty, Flags: Create | Patch | Basic, Value: func(d *DeployTemplate) any { return &d.Name }},
	{Name: "steps", Min: 55, Type: Array, Flags: Create | Patch | Unsorted, Value: func(d *DeployTemplate) any { return d.Steps }},
	{Name: "extra", Min: 55, Type: Object, Flags: Create | Patch | Unsorted, Value: func(d *DeployTemplate) any { return &d.Extra }},
	{Name: "created_at", Min: 55, Flags: Always, Value: func(d *DeployTemplate) any { return d.CreatedAt }},
	{Name: "updated_at", Min: 55, Flags: Always, Value: func(d *DeployTemplate) any { return d.UpdatedAt }},
	{Name: "links", Min: 55, Flags: Always | Basic | Unsorted, Value: func(d *DeployTemplate) any { return d.Links }},
}

// MarshalJSON renders the newest full form.
func (d DeployTemplate) MarshalJSON() ([]byte, error) {
	return Full(DeployTemplateFields, MaxMinor).Append(nil, &d), nil
}
