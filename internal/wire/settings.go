package wire

// BIOSSetting is one setting of a node's firmware. Value nil: not told.
type BIOSSetting struct {
	Name          string   `json:"name"`
	Value         *string  `json:"value"`
	CreatedAt     Time     `json:"created_at"`
	UpdatedAt     Time     `json:"updated_at"`
	Links         []Link   `json:"links"`
	Type          string   `json:"attribute_type"`
	Allowed       []string `json:"allowable_values"`
	Lower         *int64   `json:"lower_bound"`
	Upper         *int64   `json:"upper_bound"`
	MinLength     *int64   `json:"min_length"`
	MaxLength     *int64   `json:"max_length"`
	ReadOnly      *bool    `json:"read_only"`
	ResetRequired *bool    `json:"reset_required"`
	Unique        *bool    `json:"unique"`
}

// BIOSSettingFields is every key of a BIOS setting. Source: rest-api reference §3.8. The times and links are in every
// form.
var BIOSSettingFields = []Field[BIOSSetting]{
	{Name: "name", Min: 40, Flags: Basic, Value: func(s *BIOSSetting) any { return s.Name }},
	{Name: "value", Min: 40, Flags: Basic, Value: func(s *BIOSSetting) any { return orNull(s.Value) }},
	{Name: "attribute_type", Min: 74, Value: func(s *BIOSSetting) any { return &s.Type }},
	{Name: "allowable_values", Min: 74, Value: func(s *BIOSSetting) any { return s.Allowed }},
	{Name: "lower_bound", Min: 74, Value: func(s *BIOSSetting) any { return s.Lower }},
	{Name: "max_length", Min: 74, Value: func(s *BIOSSetting) any { return s.MaxLength }},
	{Name: "min_length", Min: 74, Value: func(s *BIOSSetting) any { return s.MinLength }},
	{Name: "read_only", Min: 74, Value: func(s *BIOSSetting) any { return s.ReadOnly }},
	{Name: "reset_required", Min: 74, Value: func(s *BIOSSetting) any { return s.ResetRequired }},
	{Name: "unique", Min: 74, Value: func(s *BIOSSetting) any { return s.Unique }},
	{Name: "upper_bound", Min: 74, Value: func(s *BIOSSetting) any { return s.Upper }},
	{Name: "created_at", Min: 40, Flags: Basic, Value: func(s *BIOSSetting) any { return s.CreatedAt }},
	{Name: "updated_at", Min: 40, Flags: Basic, Value: func(s *BIOSSetting) any { return s.UpdatedAt }},
	{Name: "links", Min: 40, Flags: Basic | Always, Value: func(s *BIOSSetting) any { return s.Links }},
}

// MarshalJSON renders the newest full form.
func (s BIOSSetting) MarshalJSON() ([]byte, error) {
	return Full(BIOSSettingFields, MaxMinor).Append(nil, &s), nil
}

// FirmwareComponent is one part of a node that has firmware.
type FirmwareComponent struct {
	Component   string `json:"component"`
	Initial     string `json:"initial_version"`
	Current     string `json:"current_version"`
	LastFlashed string `json:"last_version_flashed"`
	Vendor      string `json:"vendor"`
	Model       string `json:"model"`
	Serial      string `json:"serial_number"`
	CreatedAt   Time   `json:"created_at"`
	UpdatedAt   Time   `json:"updated_at"`
}

// FirmwareFields is every key of a firmware component. Source: rest-api reference §3.9.
var FirmwareFields = []Field[FirmwareComponent]{
	{Name: "component", Min: 86, Flags: Basic, Value: func(f *FirmwareComponent) any { return f.Component }},
	{Name: "initial_version", Min: 86, Flags: Basic, Value: func(f *FirmwareComponent) any { return &f.Initial }},
	{Name: "current_version", Min: 86, Flags: Basic, Value: func(f *FirmwareComponent) any { return &f.Current }},
	{Name: "last_version_flashed", Min: 86, Flags: Basic, Value: func(f *FirmwareComponent) any { return &f.LastFlashed }},
	{Name: "vendor", Min: 114, Flags: Basic, Value: func(f *FirmwareComponent) any { return &f.Vendor }},
	{Name: "model", Min: 114, Flags: Basic, Value: func(f *FirmwareComponent) any { return &f.Model }},
	{Name: "serial_number", Min: 114, Flags: Basic, Value: func(f *FirmwareComponent) any { return &f.Serial }},
	{Name: "created_at", Min: 86, Flags: Basic, Value: func(f *FirmwareComponent) any { return f.CreatedAt }},
	{Name: "updated_at", Min: 86, Flags: Basic, Value: func(f *FirmwareComponent) any { return f.UpdatedAt }},
}

// MarshalJSON renders the newest full form.
func (f FirmwareComponent) MarshalJSON() ([]byte, error) {
	return Full(FirmwareFields, MaxMinor).Append(nil, &f), nil
}

func orNull(s *string) any {
	if s == nil {
		return nil
	}
	return *s
}
