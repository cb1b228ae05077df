package wire

// InspectionRule is an inspection rule as the API shows it. Of a sensitive one the conditions and actions are null.
type InspectionRule struct {
	UUID        string `json:"uuid"`
	Description string `json:"description"`
	Priority    int    `json:"priority"`
	Phase       string `json:"phase"`
	Sensitive   bool   `json:"sensitive"`
	Conditions  any    `json:"conditions"`
	Actions     any    `json:"actions"`
	CreatedAt   Time   `json:"created_at"`
	UpdatedAt   Time   `json:"updated_at"`
	Links       []Link `json:"links"`
}

// InspectionRuleFields is every key of an inspection rule. Source: rest-api reference §12.
var InspectionRuleFields = []Field[InspectionRule]{
	{Name: "uuid", Min: 96, Type: UUID, Flags: Create | Basic, Value: func(r *InspectionRule) any { return &r.UUID }},
	{Name: "description", Min: 96, Flags: Create | Patch | Basic, Value: func(r *InspectionRule) any { return &r.Description }},
	{Name: "priority", Min: 96, Type: Int, Flags: Create | Patch | Basic, Value: func(r *InspectionRule) any { return r.Priority }},
	{Name: "phase", Min: 96, Max: 16, Flags: Create | Patch | Basic, Value: func(r *InspectionRule) any { return &r.Phase }},
	{Name: "sensitive", Min: 96, Type: Bool, Flags: Create | Patch, Value: func(r *InspectionRule) any { return r.Sensitive }},
	{Name: "conditions", Min: 96, Type: Array, Flags: Create | Patch | Unsorted, Value: func(r *InspectionRule) any { return r.Conditions }},
	{Name: "actions", Min: 96, Type: Array, Flags: Create | Patch | Unsorted, Value: func(r *InspectionRule) any { return r.Actions }},
	{Name: "created_at", Min: 96, Flags: Always, Value: func(r *InspectionRule) any { return r.CreatedAt }},
	{Name: "updated_at", Min: 96, Flags: Always, Value: func(r *InspectionRule) any { return r.UpdatedAt }},
	{Name: "links", Min: 96, Flags: Always | Basic | Unsorted, Value: func(r *InspectionRule) any { return r.Links }},
}

// MarshalJSON renders the newest full form.
func (r InspectionRule) MarshalJSON() ([]byte, error) {
	return Full(InspectionRuleFields, MaxMinor).Append(nil, &r), nil
}
