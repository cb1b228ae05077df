package wire

// Allocation is a wish for a node, and the node that fulfils it, as the API shows it.
type Allocation struct {
	UUID           string         `json:"uuid"`
	Name           string         `json:"name"`
	NodeUUID       string         `json:"node_uuid"`
	State          string         `json:"state"`
	LastError      string         `json:"last_error"`
	Owner          string         `json:"owner"`
	ResourceClass  string         `json:"resource_class"`
	Traits         []string       `json:"traits"`
	CandidateNodes []string       `json:"candidate_nodes"`
	Extra          map[string]any `json:"extra"`
	CreatedAt      Time           `json:"created_at"`
	UpdatedAt      Time           `json:"updated_at"`
	Links          []Link         `json:"links"`
}

// AllocationFields is every key of an allocation; lists show all. The key "node" of a new one is not here: it is never shown.
// Source: rest-api reference §9.
var AllocationFields = []Field[Allocation]{
	{Name: "uuid", Min: 52, Type: UUID, Flags: Create | Basic, Value: func(a *Allocation) any { return &a.UUID }},
	{Name: "name", Min: 52, Flags: Create | Patch | Basic, Value: func(a *Allocation) any { return &a.Name }},
	{Name: "node_uuid", Min: 52, Flags: Basic | Unsorted, Value: func(a *Allocation) any { return &a.NodeUUID }},
	{Name: "state", Min: 52, Flags: Basic, Value: func(a *Allocation) any { return &a.State }},
	{Name: "last_error", Min: 52, Flags: Basic, Value: func(a *Allocation) any { return &a.LastError }},
	{Name: "owner", Min: 60, Flags: Create | Basic, Value: func(a *Allocation) any { return &a.Owner }},
	{Name: "resource_class", Min: 52, Flags: Create | Basic, Max: 80, Value: func(a *Allocation) any { return &a.ResourceClass }},
	{Name: "traits", Min: 52, Type: Array, Flags: Create | Basic | Unsorted, Value: func(a *Allocation) any { return a.Traits }},
	{Name: "candidate_nodes", Min: 52, Type: Array, Flags: Create | Basic | Unsorted, Value: func(a *Allocation) any { return a.CandidateNodes }},
	{Name: "extra", Min: 52, Type: Object, Flags: Create | Patch | Basic | Unsorted, Value: func(a *Allocation) any { return &a.Extra }},
	{Name: "created_at", Min: 52, Flags: Always | Basic, Value: func(a *Allocation) any { return a.CreatedAt }},
	{Name: "updated_at", Min: 52, Flags: Always | Basic, Value: func(a *Allocation) any { return a.UpdatedAt }},
	{Name: "links", Min: 52, Flags: Always | Basic | Unsorted, Value: func(a *Allocation) any { return a.Links }},
}

// MarshalJSON renders the newest full form.
func (a Allocation) MarshalJSON() ([]byte, error) {
	return Full(AllocationFields, MaxMinor).Append(nil, &a), nil
}
