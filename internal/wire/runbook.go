package wire

// Runbook is a list of steps under a name, as the API shows it.
type Runbook struct {
	UUID           string         `json:"uuid"`
	Name           string         `json:"name"`
	Description    string         `json:"description"`
	Steps          []any          `json:"steps"`
	DisableRamdisk bool           `json:"disable_ramdisk"`
	Extra          map[string]any `json:"extra"`
	Public         bool           `json:"public"`
	Owner          string         `json:"owner"`
	Traits         []string       `json:"traits"`
	CreatedAt      Time           `json:"created_at"`
	UpdatedAt      Time           `json:"updated_at"`
	Links          []Link         `json:"links"`
}

// RunbookFields is every key of a runbook. Source: rest-api reference §11.
var RunbookFields = []Field[Runbook]{
	{Name: "uuid", Min: 92, Type: UUID, Flags: Create | Basic, Value: func(r *Runbook) any { return &r.UUID }},
	{Name: "name", Min: 92, Type: NonEmpty, Flags: Create | Patch | Basic, Value: func(r *Runbook) any { return &r.Name }},
	{Name: "description", Min: 112, Flags: Create | Patch, Value: func(r *Runbook) any { return &r.Description }},
	{Name: "steps", Min: 92, Type: Array, Flags: Create | Patch | Unsorted, Value: func(r *Runbook) any { return r.Steps }},
	{Name: "disable_ramdisk", Min: 92, Type: Bool, Flags: Create | Patch, Value: func(r *Runbook) any { return r.DisableRamdisk }},
	{Name: "extra", Min: 92, Type: Object, Flags: Create | Patch | Unsorted, Value: func(r *Runbook) any { return &r.Extra }},
	{Name: "public", Min: 92, Type: Bool, Flags: Create | Patch, Value: func(r *Runbook) any { return r.Public }},
	{Name: "owner", Min: 92, Flags: Create | Patch, Value: func(r *Runbook) any { return &r.Owner }},
	{Name: "traits", Min: 112, Flags: Unsorted, Value: func(r *Runbook) any { return r.Traits }},
	{Name: "created_at", Min: 92, Flags: Always, Value: func(r *Runbook) any { return r.CreatedAt }},
	{Name: "updated_at", Min: 92, Flags: Always, Value: func(r *Runbook) any { return r.UpdatedAt }},
	{Name: "links", Min: 92, Flags: Always | Basic | Unsorted, Value: func(r *Runbook) any { return r.Links }},
}

// MarshalJSON renders the newest full form.
func (r Runbook) MarshalJSON() ([]byte, error) {
	return Full(RunbookFields, MaxMinor).Append(nil, &r), nil
}
