package agentapi

import "encoding/json"

// Command statuses. Source: ironic-python-agent, extensions/base.py.
const (
	Running         = "RUNNING"
	Succeeded       = "SUCCEEDED"
	Failed          = "FAILED"
	VersionMismatch = "CLEAN_VERSION_MISMATCH"
)

// Command is what a conductor asks of an agent: POST /v1/commands/.
type Command struct {
	Name   string          `json:"name"` // "<extension>.<command>"
	Params json.RawMessage `json:"params"`
}

// Result is what became of a command. CommandName is the short name, without the extension.
type Result struct {
	ID            string          `json:"id"`
	CommandName   string          `json:"command_name"`
	CommandStatus string          `json:"command_status"`
	CommandError  *CommandError   `json:"command_error"`
	CommandResult json.RawMessage `json:"command_result"`
	// Progress is ours: upstream agents do not send it and upstream conductors ignore it.
	Progress *Progress `json:"ingot_progress,omitempty"`
	// Key is the command's, if it was sent under one; ours too.
	Key string `json:"ingot_key,omitempty"`
}

// CommandError says why a command failed. Details is specific, Message generic.
type CommandError struct {
	Type    string `json:"type"`
	Code    int    `json:"code"`
	Message string `json:"message"`
	Details string `json:"details"`
}

// Error is what the agent says of it, cleaned: it ends up in rows, answers and logs.
func (e *CommandError) Error() string {
	if e.Details != "" {
		return printable(e.Details)
	}
	return printable(e.Message)
}

// Progress is how far a running command is. Unit is "bytes", "devices" or "percent"; Total 0 means unknown.
type Progress struct {
	What  string `json:"what"` // e.g. "writing image"
	Done  int64  `json:"done"`
	Total int64  `json:"total"`
	Unit  string `json:"unit"`
	Parts []Part `json:"parts,omitempty"` // of work on several disks at once: each of them
	// Message is what the work says of itself, beside what it is.
	Message string `json:"message,omitempty"`
}

// Part is how far one of several things is that are worked on at once.
type Part struct {
	Name  string `json:"name"`
	Done  int64  `json:"done"`
	Total int64  `json:"total"`
}

// Fault is the body of an HTTP error of the agent.
type Fault struct {
	FaultCode   string `json:"faultcode"` // "Client" below 500, else "Server"
	FaultString string `json:"faultstring"`
}

// Step is a clean, deploy or service step. An agent echoes interface and step unchanged.
type Step struct {
	Interface       string         `json:"interface"`
	Step            string         `json:"step"`
	Priority        int            `json:"priority"`
	RebootRequested bool           `json:"reboot_requested"`
	Abortable       bool           `json:"abortable,omitempty"`
	Args            map[string]any `json:"args,omitempty"`
	// SecretArgs names arguments that our agent leaves out of what it repeats. Others do not know it.
	SecretArgs []string `json:"ingot_secret_args,omitempty"`
	// ArgsInfo is what Args may hold, by name; in lists only.
	ArgsInfo map[string]ArgInfo `json:"argsinfo,omitempty"`
}

// ArgInfo describes one argument of a step.
type ArgInfo struct {
	Description string `json:"description,omitempty"`
	Required    bool   `json:"required,omitempty"`
}

// StepList is the result of get_clean_steps, get_deploy_steps and get_service_steps: only one of the
// three lists is set, keyed by hardware manager.
type StepList struct {
	CleanSteps   map[string][]Step `json:"clean_steps,omitempty"`
	DeploySteps  map[string][]Step `json:"deploy_steps,omitempty"`
	ServiceSteps map[string][]Step `json:"service_steps,omitempty"`
	Versions     map[string]string `json:"hardware_manager_version"`
}

// Erased is what became of one disk: the result of erase_devices and erase_devices_metadata is an object
// of these by disk name. Upstream's agents have null in their place.
type Erased struct {
	Serial string `json:"serial"` // "" if the disk has none
	Size   int64  `json:"size"`   // bytes
	How    string `json:"how"`    // a few words
	Model  string `json:"model,omitempty"`
	WWN    string `json:"wwn,omitempty"`
	// Proof is there if it was erased and read back, and only then.
	Proof *Proof `json:"proof,omitempty"`
}

// Node is the part of a node an agent sees, in lookup answers and in command parameters.
type Node struct {
	UUID         string         `json:"uuid"`
	Properties   map[string]any `json:"properties"`
	InstanceInfo map[string]any `json:"instance_info"`
	InternalInfo map[string]any `json:"driver_internal_info"`
	// RAIDConfig and TargetRAIDConfig are there if the conductor knows of RAID.
	RAIDConfig       map[string]any `json:"raid_config,omitempty"`
	TargetRAIDConfig map[string]any `json:"target_raid_config,omitempty"`
}

// StepParams are the parameters of execute_clean_step, execute_deploy_step and execute_service_step.
type StepParams struct {
	Step           Step              `json:"step"`
	Node           Node              `json:"node"`
	Ports          []Port            `json:"ports"`
	CleanVersion   map[string]string `json:"clean_version,omitempty"`
	DeployVersion  map[string]string `json:"deploy_version,omitempty"`
	ServiceVersion map[string]string `json:"service_version,omitempty"`
}

// Port is the part of a port an agent sees.
type Port struct {
	UUID    string `json:"uuid"`
	Address string `json:"address"`
}

// ImageInfo says what to write: step write_image, argument image_info.
type ImageInfo struct {
	ID              string            `json:"id"`
	URLs            []string          `json:"urls"`
	DiskFormat      string            `json:"disk_format,omitempty"`      // "raw" or "qcow2"; "" asserts nothing. Compression is found by content
	ContainerFormat string            `json:"container_format,omitempty"` // "bare"
	ImageType       string            `json:"image_type,omitempty"`       // "whole-disk" or "partition"
	Checksum        string            `json:"checksum,omitempty"`
	HashAlgo        string            `json:"os_hash_algo,omitempty"` // sha256 or sha512, of the bytes as downloaded
	HashValue       string            `json:"os_hash_value,omitempty"`
	StreamRaw       bool              `json:"stream_raw_images"`
	NodeUUID        string            `json:"node_uuid,omitempty"`
	Proxies         map[string]string `json:"proxies,omitempty"`
	CA              string            `json:"ingot_ca,omitempty"` // PEM that image servers must chain to; ours
	Refused         []string          `json:"ingot_refused_networks,omitempty"`
	Size            int64             `json:"ingot_size,omitempty"`      // bytes of the download that it must have; 0: any
	AllowMD5        bool              `json:"ingot_allow_md5,omitempty"` // an MD5 checksum may do
	ImageRules                        // ours
	*ImageAccess                      // nil: everybody may fetch it
	*Partitions                       // of a partition image; nil for a whole disk
}

// ImageAccess is what opens an image to those who may fetch it. It is secret: it is made when the command is sent, and kept
// nowhere. Source: images reference §3, §7.
type ImageAccess struct {
	AuthStrategy  string `json:"image_server_auth_strategy,omitempty"` // "http_basic"
	User          string `json:"image_server_user,omitempty"`
	Password      string `json:"image_server_password,omitempty"`
	Authorization string `json:"image_request_authorization,omitempty"` // base64 of a whole Authorization header
}

// HTTPBasic is the AuthStrategy with a user and a password.
const HTTPBasic = "http_basic"

// ImageRules are what the operator permits of images: the agent holds to it with what it downloads itself. Other agents read
// their own configuration.
type ImageRules struct {
	Permitted []string `json:"ingot_permitted_formats,omitempty"` // empty: what the agent can read
	Shallow   bool     `json:"ingot_shallow_inspection,omitempty"`
}

// Partitions is what write_image is told about a partition image besides. Source: agent protocol reference §8.1.
type Partitions struct {
	RootGB            int64  `json:"root_gb"`
	RootMB            int64  `json:"root_mb"`
	SwapMB            int64  `json:"swap_mb"`
	EphemeralMB       int64  `json:"ephemeral_mb"`
	EphemeralFormat   string `json:"ephemeral_format"`
	PreserveEphemeral bool   `json:"preserve_ephemeral"`
	BootMode          string `json:"deploy_boot_mode"` // "uefi"
	BootOption        string `json:"boot_option"`      // "local"
	DiskLabel         string `json:"disk_label"`       // "gpt"
}

// LookupAnswer is the body of GET /v1/lookup.
type LookupAnswer struct {
	Node   Node         `json:"node"`
	Config LookupConfig `json:"config"`
}

// LookupConfig is what the control plane tells an agent about itself. Unknown keys are ignored.
type LookupConfig struct {
	HeartbeatTimeout   int    `json:"heartbeat_timeout"` // seconds
	AgentToken         string `json:"agent_token"`       // the token, or the mask if one was issued before
	AgentTokenRequired bool   `json:"agent_token_required"`
	// PermittedFormats is for upstream's agent; ours is told with each image. "Disable deep image inspection" is never said: that
	// agent would then have qemu-img read what it likes.
	PermittedFormats []string `json:"permitted_image_formats,omitempty"`
	// Time is the control plane's clock in RFC 3339, for the ramdisk's; ours.
	Time string `json:"ingot_time,omitempty"`
}

// Heartbeat is the body of POST /v1/heartbeat/<node>.
type Heartbeat struct {
	CallbackURL   string `json:"callback_url"`
	AgentToken    string `json:"agent_token"`
	AgentVersion  string `json:"agent_version"`
	AgentVerifyCA string `json:"agent_verify_ca,omitempty"` // PEM
}

// BootConfig is what one boot of a ramdisk is given, as the file ingot/boot.json of its boot ISO. It
// belongs to one node and one boot: a later boot gets another token.
type BootConfig struct {
	Version     int             `json:"version"` // 1
	APIURL      string          `json:"api_url"` // of the agent listener, e.g. https://192.0.2.1:6386
	CA          string          `json:"ca"`      // PEM: the agent listener's certificate chains to it
	NodeUUID    string          `json:"node_uuid"`
	AgentToken  string          `json:"agent_token"`
	NetworkData json.RawMessage `json:"network_data,omitempty"` // Nova's network_data.json; absent: DHCP on every NIC
	Time        string          `json:"time"`                   // RFC 3339, when it was served: a floor for the clock

	Role Role `json:"role,omitempty"` // what this boot is for; an agent refuses what another role's needs
	// PollOnly: the agent calls nobody, whatever APIURL says, and waits for the conductor.
	PollOnly bool `json:"poll_only,omitempty"`
	// Certificate and Key, PEM, are what the agent serves commands with; empty: it makes its own. Client, PEM, is the
	// one certificate whose holder may send commands; empty: the token alone says who may.
	Certificate string `json:"certificate,omitempty"`
	Key         string `json:"key,omitempty"`
	Client      string `json:"client,omitempty"`
}

// Role is what a ramdisk is booted for.
type Role string

// The roles. The zero value is every work of provisioning: cleaning, deploying, inspecting, servicing.
const (
	RoleDeploy Role = ""
	RoleRescue Role = "rescue"
	// RoleInstall is RoleDeploy in the Debian ramdisk, with the work of OS definitions besides.
	RoleInstall Role = "install"
)

// FinalizeRescue are the parameters of rescue.finalize_rescue. Source: agent protocol reference section 10; the last two are ours.
type FinalizeRescue struct {
	RescuePassword string          `json:"rescue_password"`        // in crypt's form, if Hashed; "*" for none
	Hashed         bool            `json:"hashed"`                 // always true from us
	SSHKeys        []string        `json:"ssh_keys,omitempty"`     // lines of authorized_keys for the user rescue
	NetworkData    json.RawMessage `json:"network_data,omitempty"` // of the instance: what the machine is to have on the tenant's network; absent: DHCP on every NIC
}

// The synchronous commands of poll mode. Source: seed 001; the reference's section 17.
const (
	CommandHardwareInfo = "poll.get_hardware_info"
	CommandNodeInfo     = "poll.node_info"     // parameter node_info: a LookupAnswer
	CommandSetNodeInfo  = "poll.set_node_info" // another name of it
	CommandRescue       = "rescue.finalize_rescue"
)

// Inventory is a machine as its agent sees it. Source of names: agent protocol reference §11.1.
type Inventory struct {
	Interfaces   []Interface  `json:"interfaces"`
	CPU          CPU          `json:"cpu"`
	Disks        []Disk       `json:"disks"`
	Memory       Memory       `json:"memory"`
	BMCAddress   *string      `json:"bmc_address"`
	BMCV6Address *string      `json:"bmc_v6address"`
	SystemVendor SystemVendor `json:"system_vendor"`
	Boot         BootInfo     `json:"boot"`
	Hostname     string       `json:"hostname"`
}

// Interface is one NIC.
type Interface struct {
	Name        string  `json:"name"`
	MACAddress  string  `json:"mac_address"`
	IPv4Address *string `json:"ipv4_address"`
	IPv6Address *string `json:"ipv6_address"`
	HasCarrier  bool    `json:"has_carrier"`
	LLDP        any     `json:"lldp"`
	Vendor      *string `json:"vendor"`
	Product     *string `json:"product"`
	ClientID    *string `json:"client_id"`
	BIOSDevName *string `json:"biosdevname"`
	SpeedMbps   *int    `json:"speed_mbps"`
	PCIAddress  *string `json:"pci_address"`
	Driver      *string `json:"driver"`
}

// CPU describes the processors together.
type CPU struct {
	ModelName    string   `json:"model_name"`
	Frequency    string   `json:"frequency"` // MHz
	Count        int      `json:"count"`
	Architecture string   `json:"architecture"`
	Flags        []string `json:"flags"`
	SocketCount  int      `json:"socket_count"`
}

// Disk is one whole disk. Size is bytes.
type Disk struct {
	Name               string  `json:"name"` // /dev/sda
	Model              string  `json:"model"`
	Size               int64   `json:"size"`
	Rotational         bool    `json:"rotational"`
	WWN                *string `json:"wwn"`
	Serial             *string `json:"serial"`
	Vendor             *string `json:"vendor"`
	WWNWithExtension   *string `json:"wwn_with_extension"`
	WWNVendorExtension *string `json:"wwn_vendor_extension"`
	HCTL               *string `json:"hctl"`
	ByPath             *string `json:"by_path"`
	LogicalSectors     int     `json:"logical_sectors"`
	PhysicalSectors    int     `json:"physical_sectors"`
	Tran               *string `json:"tran"`
	ReadOnly           bool    `json:"read_only"`
	Removable          bool    `json:"removable"`
}

// Memory is bytes the kernel sees and MiB that are plugged in (nil: unknown).
type Memory struct {
	Total      int64 `json:"total"`
	PhysicalMB *int  `json:"physical_mb"`
}

// SystemVendor is what SMBIOS says of the maker.
type SystemVendor struct {
	ProductName  string   `json:"product_name"`
	SerialNumber string   `json:"serial_number"`
	Manufacturer string   `json:"manufacturer"`
	Firmware     Firmware `json:"firmware"`
}

// Firmware is the system firmware.
type Firmware struct {
	Vendor    string `json:"vendor"`
	Version   string `json:"version"`
	BuildDate string `json:"build_date"`
}

// BootInfo is how the ramdisk came up.
type BootInfo struct {
	CurrentBootMode string  `json:"current_boot_mode"` // uefi or bios
	PXEInterface    *string `json:"pxe_interface"`
	SecureBoot      *bool   `json:"secure_boot,omitempty"` // ours
}
