package wire

import "encoding/json"

// Node is a bare metal node as the API shows it. "" and zero stand for null.
type Node struct {
	UUID                 string         `json:"uuid"`
	Name                 string         `json:"name"`
	Driver               string         `json:"driver"`
	DriverInfo           map[string]any `json:"driver_info"`
	DriverInternalInfo   map[string]any `json:"driver_internal_info"`
	Properties           map[string]any `json:"properties"`
	Extra                map[string]any `json:"extra"`
	InstanceInfo         map[string]any `json:"instance_info"`
	InstanceUUID         string         `json:"instance_uuid"`
	InstanceName         string         `json:"instance_name"`
	ChassisUUID          string         `json:"chassis_uuid"`
	ProvisionState       string         `json:"provision_state"`
	TargetProvisionState string         `json:"target_provision_state"`
	ProvisionUpdatedAt   Time           `json:"provision_updated_at"`
	PowerState           string         `json:"power_state"`
	TargetPowerState     string         `json:"target_power_state"`
	LastError            string         `json:"last_error"`
	Reservation          string         `json:"reservation"`
	Maintenance          bool           `json:"maintenance"`
	MaintenanceReason    string         `json:"maintenance_reason"`
	Fault                string         `json:"fault"`
	ConsoleEnabled       bool           `json:"console_enabled"`
	InspectionStartedAt  Time           `json:"inspection_started_at"`
	InspectionFinishedAt Time           `json:"inspection_finished_at"`
	CleanStep            map[string]any `json:"clean_step"`
	DeployStep           map[string]any `json:"deploy_step"`
	ServiceStep          map[string]any `json:"service_step"`
	RAIDConfig           map[string]any `json:"raid_config"`
	TargetRAIDConfig     map[string]any `json:"target_raid_config"`
	BootInterface        string         `json:"boot_interface"`
	ConsoleInterface     string         `json:"console_interface"`
	DeployInterface      string         `json:"deploy_interface"`
	InspectInterface     string         `json:"inspect_interface"`
	ManagementInterface  string         `json:"management_interface"`
	PowerInterface       string         `json:"power_interface"`
	RAIDInterface        string         `json:"raid_interface"`
	VendorInterface      string         `json:"vendor_interface"`
	NetworkInterface     string         `json:"network_interface"`
	StorageInterface     string         `json:"storage_interface"`
	RescueInterface      string         `json:"rescue_interface"`
	BIOSInterface        string         `json:"bios_interface"`
	FirmwareInterface    string         `json:"firmware_interface"`
	ResourceClass        string         `json:"resource_class"`
	Traits               []string       `json:"traits"`
	ConductorGroup       string         `json:"conductor_group"`
	AutomatedClean       *bool          `json:"automated_clean"`
	Protected            bool           `json:"protected"`
	ProtectedReason      string         `json:"protected_reason"`
	Conductor            string         `json:"conductor"`
	Owner                string         `json:"owner"`
	Lessee               string         `json:"lessee"`
	Description          string         `json:"description"`
	AllocationUUID       string         `json:"allocation_uuid"`
	Retired              bool           `json:"retired"`
	RetiredReason        string         `json:"retired_reason"`
	NetworkData          map[string]any `json:"network_data"`
	BootMode             string         `json:"boot_mode"`
	SecureBoot           *bool          `json:"secure_boot"`
	Shard                string         `json:"shard"`
	ParentNode           string         `json:"parent_node"`
	DisablePowerOff      bool           `json:"disable_power_off"`
	Health               string         `json:"health"`
	CreatedAt            Time           `json:"created_at"`
	UpdatedAt            Time           `json:"updated_at"`
	Links                []Link         `json:"links"`
	Ports                []Link         `json:"ports"`
	States               []Link         `json:"states"`
	Portgroups           []Link         `json:"portgroups"`
	Volume               []Link         `json:"volume"`
}

// NodeFields is every key of a node. Source: rest-api reference §2.2.
var NodeFields = []Field[Node]{
	{Name: "uuid", Min: 1, Type: UUID, Flags: Create | Basic, Value: func(n *Node) any { return &n.UUID }},
	{Name: "name", Min: 5, Flags: Create | Patch | Basic, Value: func(n *Node) any { return &n.Name }},
	{Name: "driver", Min: 1, Type: NonEmpty, Flags: Create | Patch, Value: func(n *Node) any { return &n.Driver }},
	{Name: "driver_info", Min: 1, Type: Object, Flags: Create | Patch | Unsorted, Value: func(n *Node) any { return &n.DriverInfo }},
	{Name: "driver_internal_info", Min: 3, Type: Object, Flags: Unsorted, Value: func(n *Node) any { return &n.DriverInternalInfo }},
	{Name: "properties", Min: 1, Type: Object, Flags: Create | Patch | Unsorted, Value: func(n *Node) any { return &n.Properties }},
	{Name: "extra", Min: 1, Type: Object, Flags: Create | Patch | Unsorted, Value: func(n *Node) any { return &n.Extra }},
	{Name: "instance_info", Min: 1, Type: Object, Flags: Create | Patch | Unsorted, Value: func(n *Node) any { return &n.InstanceInfo }},
	{Name: "instance_uuid", Min: 1, Type: UUID, Flags: Create | Patch | Basic, Value: func(n *Node) any { return &n.InstanceUUID }},
	{Name: "instance_name", Min: 104, Flags: Create | Patch, Value: func(n *Node) any { return &n.InstanceName }},
	{Name: "chassis_uuid", Min: 1, Type: UUID, Flags: Create | Patch, Value: func(n *Node) any { return &n.ChassisUUID }},
	{Name: "provision_state", Min: 1, Flags: Basic, Value: func(n *Node) any { return &n.ProvisionState }},
	{Name: "target_provision_state", Min: 1, Value: func(n *Node) any { return &n.TargetProvisionState }},
	{Name: "provision_updated_at", Min: 1, Value: func(n *Node) any { return &n.ProvisionUpdatedAt }},
	{Name: "power_state", Min: 1, Flags: Basic, Value: func(n *Node) any { return &n.PowerState }},
	{Name: "target_power_state", Min: 1, Value: func(n *Node) any { return &n.TargetPowerState }},
	{Name: "last_error", Min: 1, Value: func(n *Node) any { return &n.LastError }},
	{Name: "reservation", Min: 1, Value: func(n *Node) any { return &n.Reservation }},
	{Name: "maintenance", Min: 1, Type: Bool, Flags: Create | Patch | Basic, Value: func(n *Node) any { return n.Maintenance }},
	{Name: "maintenance_reason", Min: 1, Value: func(n *Node) any { return &n.MaintenanceReason }},
	{Name: "fault", Min: 42, Value: func(n *Node) any { return &n.Fault }},
	{Name: "console_enabled", Min: 1, Type: Bool, Value: func(n *Node) any { return n.ConsoleEnabled }},
	{Name: "inspection_started_at", Min: 6, Value: func(n *Node) any { return &n.InspectionStartedAt }},
	{Name: "inspection_finished_at", Min: 6, Value: func(n *Node) any { return &n.InspectionFinishedAt }},
	{Name: "clean_step", Min: 7, Type: Object, Flags: Unsorted, Value: func(n *Node) any { return &n.CleanStep }},
	{Name: "deploy_step", Min: 44, Type: Object, Flags: Unsorted, Value: func(n *Node) any { return &n.DeployStep }},
	{Name: "service_step", Min: 87, Type: Object, Flags: Unsorted, Value: func(n *Node) any { return &n.ServiceStep }},
	{Name: "raid_config", Min: 12, Type: Object, Flags: Unsorted, Value: func(n *Node) any { return &n.RAIDConfig }},
	{Name: "target_raid_config", Min: 12, Type: Object, Flags: Unsorted, Value: func(n *Node) any { return &n.TargetRAIDConfig }},
	{Name: "boot_interface", Min: 31, Flags: Create | Patch, Value: func(n *Node) any { return &n.BootInterface }},
	{Name: "console_interface", Min: 31, Flags: Create | Patch, Value: func(n *Node) any { return &n.ConsoleInterface }},
	{Name: "deploy_interface", Min: 31, Flags: Create | Patch, Value: func(n *Node) any { return &n.DeployInterface }},
	{Name: "inspect_interface", Min: 31, Flags: Create | Patch, Value: func(n *Node) any { return &n.InspectInterface }},
	{Name: "management_interface", Min: 31, Flags: Create | Patch, Value: func(n *Node) any { return &n.ManagementInterface }},
	{Name: "power_interface", Min: 31, Flags: Create | Patch, Value: func(n *Node) any { return &n.PowerInterface }},
	{Name: "raid_interface", Min: 31, Flags: Create | Patch, Value: func(n *Node) any { return &n.RAIDInterface }},
	{Name: "vendor_interface", Min: 31, Flags: Create | Patch, Value: func(n *Node) any { return &n.VendorInterface }},
	{Name: "network_interface", Min: 20, Flags: Create | Patch, Value: func(n *Node) any { return &n.NetworkInterface }},
	{Name: "storage_interface", Min: 33, Flags: Create | Patch, Value: func(n *Node) any { return &n.StorageInterface }},
	{Name: "rescue_interface", Min: 38, Flags: Create | Patch, Value: func(n *Node) any { return &n.RescueInterface }},
	{Name: "bios_interface", Min: 40, Flags: Create | Patch, Value: func(n *Node) any { return &n.BIOSInterface }},
	{Name: "firmware_interface", Min: 86, Flags: Create | Patch, Value: func(n *Node) any { return &n.FirmwareInterface }},
	{Name: "resource_class", Min: 21, Flags: Create | Patch, Max: 80, Value: func(n *Node) any { return &n.ResourceClass }},
	{Name: "traits", Min: 37, Flags: Unsorted, Value: func(n *Node) any { return &n.Traits }},
	{Name: "conductor_group", Min: 46, Flags: Create | Patch, Value: func(n *Node) any { return n.ConductorGroup }},
	{Name: "automated_clean", Min: 47, Type: Bool, Flags: Create | Patch, Value: func(n *Node) any { return n.AutomatedClean }},
	{Name: "protected", Min: 48, Type: Bool, Flags: Patch, Value: func(n *Node) any { return n.Protected }},
	{Name: "protected_reason", Min: 48, Flags: Patch, Max: 4096, Value: func(n *Node) any { return &n.ProtectedReason }},
	{Name: "conductor", Min: 49, Flags: Unsorted, Value: func(n *Node) any { return &n.Conductor }},
	{Name: "owner", Min: 50, Flags: Create | Patch, Value: func(n *Node) any { return &n.Owner }},
	{Name: "lessee", Min: 65, Flags: Create | Patch, Value: func(n *Node) any { return &n.Lessee }},
	{Name: "description", Min: 51, Flags: Create | Patch, Max: 4096, Value: func(n *Node) any { return &n.Description }},
	{Name: "allocation_uuid", Min: 52, Value: func(n *Node) any { return &n.AllocationUUID }},
	{Name: "retired", Min: 61, Type: Bool, Flags: Create | Patch, Value: func(n *Node) any { return n.Retired }},
	{Name: "retired_reason", Min: 61, Flags: Create | Patch, Max: 4096, Value: func(n *Node) any { return &n.RetiredReason }},
	{Name: "network_data", Min: 66, Type: Object, Flags: Create | Patch | Unsorted, Value: func(n *Node) any { return &n.NetworkData }},
	{Name: "boot_mode", Min: 75, Value: func(n *Node) any { return &n.BootMode }},
	{Name: "secure_boot", Min: 75, Type: Bool, Value: func(n *Node) any { return n.SecureBoot }},
	{Name: "shard", Min: 82, Flags: Create | Patch, Value: func(n *Node) any { return &n.Shard }},
	{Name: "parent_node", Min: 83, Flags: Create | Patch, Value: func(n *Node) any { return &n.ParentNode }},
	{Name: "disable_power_off", Min: 95, Type: Bool, Flags: Create | Patch, Value: func(n *Node) any { return n.DisablePowerOff }},
	{Name: "health", Min: 109, Value: func(n *Node) any { return &n.Health }},
	{Name: "created_at", Min: 1, Flags: Always, Value: func(n *Node) any { return &n.CreatedAt }},
	{Name: "updated_at", Min: 1, Flags: Always, Value: func(n *Node) any { return &n.UpdatedAt }},
	{Name: "links", Min: 1, Flags: Always | Basic | Unsorted, Value: func(n *Node) any { return &n.Links }},
	{Name: "ports", Min: 1, Flags: Extra | Unsorted, Value: func(n *Node) any { return &n.Ports }},
	{Name: "states", Min: 14, Flags: Extra | Unsorted, Value: func(n *Node) any { return &n.States }},
	{Name: "portgroups", Min: 24, Flags: Extra | Unsorted, Value: func(n *Node) any { return &n.Portgroups }},
	{Name: "volume", Min: 32, Flags: Extra | Unsorted, Value: func(n *Node) any { return &n.Volume }},
}

// stateNames are the fields of GET …/states; the field table says from which minor. Source: §3.1.
var stateNames = map[string]bool{
	"console_enabled": true, "last_error": true, "power_state": true, "provision_state": true,
	"target_power_state": true, "target_provision_state": true, "provision_updated_at": true,
	"raid_config": true, "target_raid_config": true, "boot_mode": true, "secure_boot": true,
}

// StatesShape is the answer of GET …/states.
func StatesShape(minor int) Shape[Node] {
	return pick(NodeFields, func(f Field[Node]) bool { return f.Min <= minor && stateNames[f.Name] })
}

// At rewrites the states that minor does not know: "available" is null below 1.2, "inspect wait" is
// "inspecting" below 1.39.
func (n *Node) At(minor int) {
	for _, s := range []*string{&n.ProvisionState, &n.TargetProvisionState} {
		if minor < SinceAvailable && *s == "available" {
			*s = ""
		}
		if minor < SinceInspectWait && *s == "inspect wait" {
			*s = "inspecting"
		}
	}
}

// MarshalJSON renders the newest full form.
func (n Node) MarshalJSON() ([]byte, error) { return Full(NodeFields, MaxMinor).Append(nil, &n), nil }

var _ json.Marshaler = Node{}
