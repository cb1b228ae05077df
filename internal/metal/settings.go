package metal

import "time"

// BIOSSetting is one setting of a machine's firmware. A driver tells all but the times.
type BIOSSetting struct {
	Name      string
	Value     *string // nil: the firmware does not tell, as of passwords
	Registry  BIOSRegistry
	CreatedAt time.Time
	UpdatedAt time.Time // zero until the first change
}

// BIOSRegistry is what a setting takes; nil and zero values are unknown.
type BIOSRegistry struct {
	Type          string   `json:"type,omitempty"` // Enumeration, String, Integer, Boolean or Password
	Allowed       []string `json:"allowed,omitempty"`
	Lower         *int64   `json:"lower,omitempty"`
	Upper         *int64   `json:"upper,omitempty"`
	MinLength     *int64   `json:"min_length,omitempty"`
	MaxLength     *int64   `json:"max_length,omitempty"`
	ReadOnly      *bool    `json:"read_only,omitempty"`
	ResetRequired *bool    `json:"reset_required,omitempty"` // it holds as of the next boot
	Unique        *bool    `json:"unique,omitempty"`         // the value is this machine's own
}

// FirmwareComponent is one part of a machine that has firmware. A driver tells all but Initial and the times; ""
// is unknown.
type FirmwareComponent struct {
	Component   string // "bios", "bmc", "nic:NAME"
	Initial     string // version when it was first seen
	Current     string
	LastFlashed string // by this server
	Vendor      string
	Model       string
	Serial      string
	CreatedAt   time.Time
	UpdatedAt   time.Time // zero until the first change
}
