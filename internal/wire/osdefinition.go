package wire

// OSDefinition is an OS definition as the API shows it. Values of private parameters are masked.
type OSDefinition struct {
	UUID                     string         `json:"uuid"`
	Name                     string         `json:"name"`
	Description              string         `json:"description"`
	Digest                   string         `json:"digest"`
	Size                     int            `json:"size"`
	APIVersion               int            `json:"api_version"`
	Variants                 []string       `json:"variants"`
	Parameters               []any          `json:"parameters"` // {"name", "description"}
	Scripts                  []string       `json:"scripts"`
	Trusted                  bool           `json:"trusted"`
	TrustedBy                string         `json:"trusted_by"`
	TrustedAt                Time           `json:"trusted_at"`
	TrustHistory             []any          `json:"trust_history"` // {"at", "who", "digest", "trusted", "request"}
	Hidden                   bool           `json:"hidden"`
	Blacklisted              bool           `json:"blacklisted"`
	OSParameters             map[string]any `json:"os_parameters"`
	OSParametersPrivate      map[string]any `json:"os_parameters_private"`
	VariantParameters        map[string]any `json:"variant_parameters"`
	VariantParametersPrivate map[string]any `json:"variant_parameters_private"`
	CreatedAt                Time           `json:"created_at"`
	UpdatedAt                Time           `json:"updated_at"`
	Links                    []Link         `json:"links"`
}

// OSDefinitionFields is every key of an OS definition. The resource is ours: microversions do not change it.
var OSDefinitionFields = []Field[OSDefinition]{
	{Name: "uuid", Type: UUID, Flags: Create | Basic, Value: func(d *OSDefinition) any { return &d.UUID }},
	{Name: "name", Type: NonEmpty, Flags: Create | Basic, Value: func(d *OSDefinition) any { return &d.Name }},
	{Name: "description", Flags: Create | Patch, Value: func(d *OSDefinition) any { return &d.Description }},
	{Name: "digest", Flags: Basic, Value: func(d *OSDefinition) any { return &d.Digest }},
	{Name: "size", Type: Int, Value: func(d *OSDefinition) any { return d.Size }},
	{Name: "api_version", Type: Int, Flags: Unsorted, Value: func(d *OSDefinition) any { return d.APIVersion }},
	{Name: "variants", Type: Array, Flags: Basic | Unsorted, Value: func(d *OSDefinition) any { return &d.Variants }},
	{Name: "parameters", Type: Array, Flags: Unsorted, Value: func(d *OSDefinition) any { return d.Parameters }},
	{Name: "scripts", Type: Array, Flags: Unsorted, Value: func(d *OSDefinition) any { return &d.Scripts }},
	{Name: "trusted", Type: Bool, Flags: Basic | Unsorted, Value: func(d *OSDefinition) any { return d.Trusted }},
	{Name: "trusted_by", Value: func(d *OSDefinition) any { return &d.TrustedBy }},
	{Name: "trusted_at", Value: func(d *OSDefinition) any { return d.TrustedAt }},
	{Name: "trust_history", Type: Array, Flags: Unsorted, Value: func(d *OSDefinition) any { return d.TrustHistory }},
	{Name: "hidden", Type: Bool, Flags: Create | Patch | Basic, Value: func(d *OSDefinition) any { return d.Hidden }},
	{Name: "blacklisted", Type: Bool, Flags: Create | Patch | Basic, Value: func(d *OSDefinition) any { return d.Blacklisted }},
	{Name: "os_parameters", Type: Object, Flags: Create | Patch | Unsorted, Value: func(d *OSDefinition) any { return &d.OSParameters }},
	{Name: "os_parameters_private", Type: Object, Flags: Create | Patch | Unsorted, Value: func(d *OSDefinition) any { return &d.OSParametersPrivate }},
	{Name: "variant_parameters", Type: Object, Flags: Create | Patch | Unsorted, Value: func(d *OSDefinition) any { return &d.VariantParameters }},
	{Name: "variant_parameters_private", Type: Object, Flags: Create | Patch | Unsorted, Value: func(d *OSDefinition) any { return &d.VariantParametersPrivate }},
	{Name: "created_at", Flags: Always, Value: func(d *OSDefinition) any { return d.CreatedAt }},
	{Name: "updated_at", Flags: Always, Value: func(d *OSDefinition) any { return d.UpdatedAt }},
	{Name: "links", Flags: Always | Basic | Unsorted, Value: func(d *OSDefinition) any { return d.Links }},
}

// MarshalJSON renders the full form.
func (d OSDefinition) MarshalJSON() ([]byte, error) {
	return Full(OSDefinitionFields, MaxMinor).Append(nil, &d), nil
}
