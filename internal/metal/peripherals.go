package metal

// MediaDevice is one virtual drive of a machine.
type MediaDevice struct {
	Types    []string `json:"media_types"` // in Redfish's words: "CD", "DVD", "Floppy", "USBStick"
	Inserted bool     `json:"inserted"`
	Image    string   `json:"image"` // URL or name of what is in it, "" for nothing
}

// MediaKinds are the kinds of virtual drives that a caller may name, in Ironic's words.
// Source: rest-api reference §3.7.
var MediaKinds = []string{"cdrom", "disk", "floppy"}

// Medium is an image for a virtual drive.
type Medium struct {
	Kind string `json:"kind"` // of MediaKinds
	URL  string `json:"url"`
}

// Indicator is a light on a machine. States are "on", "off", "blinking" and "unknown".
type Indicator struct {
	Component string   `json:"component"` // of IndicatorComponents
	Name      string   `json:"name"`      // unique in its component
	ReadOnly  bool     `json:"readonly"`
	States    []string `json:"states"`
}

// ID is how callers name an indicator.
func (i Indicator) ID() string { return i.Name + "@" + i.Component }

// IndicatorComponents are the parts of a machine that may have lights. Source: rest-api reference §3.3.
var IndicatorComponents = []string{"chassis", "system", "disk", "power", "nic"}

// IndicatorStates are the states of lights. Source: rest-api reference §3.3.
var IndicatorStates = []string{"on", "off", "blinking", "unknown"}

// ConsoleInfo is how a machine's console is reached; nothing in it where the driver has none to show.
type ConsoleInfo struct {
	Type string `json:"type,omitempty"` // "socat", "shellinabox", "vnc", …
	URL  string `json:"url,omitempty"`
}

// VendorMethod is one thing that a driver does beside what all drivers do.
type VendorMethod struct {
	HTTP        []string `json:"http_methods"` // upper case
	Async       bool     `json:"async"`
	Attach      bool     `json:"attach"` // what it returns is sent as it is
	Description string   `json:"description"`
	Exclusive   bool     `json:"require_exclusive_lock"`
}

// VendorCall is a call of a vendor method.
type VendorCall struct {
	Method string `json:"method"`
	HTTP   string `json:"http"`           // upper case
	Args   any    `json:"args,omitempty"` // the request's body, whatever it is
}
