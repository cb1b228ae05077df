package wire

// Chassis is what nodes are built into, as the API shows it. Nodes is a list that holds the pair of links, as
// upstream has it.
type Chassis struct {
	UUID        string         `json:"uuid"`
	Description string         `json:"description"`
	Extra       map[string]any `json:"extra"`
	CreatedAt   Time           `json:"created_at"`
	UpdatedAt   Time           `json:"updated_at"`
	Links       []Link         `json:"links"`
	Nodes       [][]Link       `json:"nodes"`
}

// ChassisFields is every key of a chassis. Source: rest-api reference §6.
var ChassisFields = []Field[Chassis]{
	{Name: "uuid", Min: 1, Type: UUID, Flags: Create | Patch | Basic, Value: func(c *Chassis) any { return &c.UUID }},
	{Name: "description", Min: 1, Flags: Create | Patch | Basic, Value: func(c *Chassis) any { return &c.Description }},
	{Name: "extra", Min: 1, Type: Object, Flags: Create | Patch | Unsorted, Value: func(c *Chassis) any { return &c.Extra }},
	{Name: "created_at", Min: 1, Flags: Always, Value: func(c *Chassis) any { return c.CreatedAt }},
	{Name: "updated_at", Min: 1, Flags: Always, Value: func(c *Chassis) any { return c.UpdatedAt }},
	{Name: "links", Min: 1, Flags: Always | Basic | Unsorted, Value: func(c *Chassis) any { return c.Links }},
	{Name: "nodes", Min: 1, Flags: Extra | Unsorted, Value: func(c *Chassis) any { return c.Nodes }},
}

// MarshalJSON renders the newest full form.
func (c Chassis) MarshalJSON() ([]byte, error) {
	return Full(ChassisFields, MaxMinor).Append(nil, &c), nil
}
