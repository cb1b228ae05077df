package metal

import (
	"time"

	"ingot/internal/secret"
)

// Node is one machine as the control plane knows it.
type Node struct {
	ID   int64 // insertion order; the paging key
	UUID string
	Name string // "" for none; unique otherwise

	Driver         string
	DriverInfo     secret.Map     // how to reach the BMC; sealed at rest, shown only masked
	Properties     map[string]any // cpu_arch, capabilities, root_device, …
	Extra          map[string]any
	InstanceInfo   secret.Map // what to deploy; sealed at rest, shown only masked
	InternalInfo   map[string]any
	NetworkData    map[string]any    // Nova's network_data.json, for the ramdisk
	Interfaces     map[string]string // e.g. "deploy": "direct"; see InterfaceKinds
	ResourceClass  string
	ConductorGroup string
	Owner          string
	Lessee         string
	Description    string
	InstanceUUID   string
	InstanceName   string
	ChassisUUID    string
	Shard          string // part of the fleet that one client looks after
	ParentNode     string // UUID of the node that this one is a part of, e.g. of a DPU's host; "" for none
	Health         string // as the BMC sums it up: "OK", "Warning", "Critical" or "" for unknown
	AutomatedClean *bool  // nil: as the server is configured

	ProvisionState       State
	TargetProvisionState State // "" while the node rests
	ProvisionUpdatedAt   time.Time
	PowerState           Power // "" while unknown
	TargetPowerState     Power // "" while no change is under way
	LastError            string
	Maintenance          bool
	MaintenanceReason    string
	Fault                string
	Protected            bool
	ProtectedReason      string
	Retired              bool
	RetiredReason        string
	DisablePowerOff      bool
	CleanStep            map[string]any
	DeployStep           map[string]any
	ServiceStep          map[string]any
	BootMode             string // "uefi", "bios" or ""
	SecureBoot           *bool
	ConsoleEnabled       bool
	RAIDConfig           map[string]any // what the machine has, as the last step left it
	TargetRAIDConfig     map[string]any // what steps are to make of it

	InspectionStartedAt  time.Time // zero while no inspection is under way
	InspectionFinishedAt time.Time // of the last one that succeeded; zero while one is under way

	CreatedAt time.Time
	UpdatedAt time.Time // zero until the first update

	Reservation    string // the conductor that holds the node's operation; derived, never stored
	AllocationUUID string // the allocation that was given the node, "" for none; derived, never stored with it
}

// AutomaticLessee is the key in InternalInfo that says: the lessee was filled in by a deployment, and leaves with the instance.
const AutomaticLessee = "automatic_lessee"

// InterfaceKinds are the interface fields of a node, in the order the API shows them, with the minor of
// the first microversion that has them. Source: rest-api reference §2.2.
var InterfaceKinds = []struct {
	Name string
	Min  int
}{
	{"boot", 31}, {"console", 31}, {"deploy", 31}, {"inspect", 31}, {"management", 31}, {"power", 31},
	{"raid", 31}, {"vendor", 31}, {"network", 20}, {"storage", 33}, {"rescue", 38}, {"bios", 40}, {"firmware", 86},
}

// HistoryEvent is one line of a node's history: who did what, when and why. Appended for every transition and
// every step, never changed.
type HistoryEvent struct {
	UUID      string    `json:"uuid"`
	NodeUUID  string    `json:"node_uuid"`
	Operation string    `json:"operation,omitempty"` // UUID of the operation, "" outside one
	At        time.Time `json:"at"`
	Kind      string    `json:"kind"` // "transition", "step", "takeover", "request", "error", "progress"
	Who       string    `json:"who"`  // a caller, or the conductor's name
	Verb      string    `json:"verb,omitempty"`
	Step      string    `json:"step,omitempty"`
	From      State     `json:"from,omitempty"`
	To        State     `json:"to,omitempty"`
	Why       string    `json:"why"`             // a sentence
	Severity  string    `json:"severity"`        // INFO or ERROR
	Place     int64     `json:"place,omitempty"` // in the feed of all nodes' events, where a reader goes on from; 0: not read as a feed yet
}
