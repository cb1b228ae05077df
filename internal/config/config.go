package config

import (
	"time"

	"ingot/internal/driver/neutron"
	"ingot/internal/driver/vswitch"
	"ingot/internal/identity"
	"ingot/internal/metadata"
	"ingot/internal/origin"
	"ingot/internal/vendordata"
)

// Config is everything an operator can set. The section tag is the section's name in the file; two fields
// may have the same. A field of a section takes part if it has a key tag, which names the option. Further
// tags: min and max bound an int, or a time in seconds; oneof lists the words a string may be, divided by
// commas; is names a form a string that is not empty must have: "url" (http or https, with a host), "ip" or
// "path" (absolute). The options of an embedded struct are the section's; a tag of the embedded field with an
// option's name is a sentence that docs/config.md adds to what it says of it.
type Config struct {
	Default   Default   `section:"DEFAULT"`
	Services  Services  `section:"DEFAULT"`
	Database  Database  `section:"database"`
	API       API       `section:"api"`
	APIRights APIRights `section:"api"`
	Policy    Policy    `section:"oslo_policy"`
	Conductor Conductor `section:"conductor"`
	Timers    Timers    `section:"conductor"`
	Deletion  Deletion  `section:"conductor"`
	Slots     Slots     `section:"conductor"`
	Leases    Leases    `section:"conductor"`
	Enrolment Enrolment `section:"DEFAULT"`
	Memory    Memory    `section:"DEFAULT"`

	EnrolmentAPI EnrolmentAPI `section:"api"`

	Deploy    Deploy         `section:"deploy"`
	OSInstall OSInstall      `section:"os_install"`
	Inspector Inspector      `section:"inspector"`
	Rules     Rules          `section:"inspection_rules"`
	Agent     Agent          `section:"agent"`
	AgentDoor AgentDoor      `section:"agent"`
	Peer      Peer           `section:"peer"`
	Redfish   Redfish        `section:"redfish"`
	PXE       PXE            `section:"pxe"`
	VSwitch   vswitch.Config `section:"vswitch"`
	Neutron   neutron.Config `section:"neutron"`
	Choices   Choices        `section:"DEFAULT"`

	Web           origin.Web           `section:"DEFAULT"`
	ImageServers  origin.Servers       `section:"deploy"`
	Checksums     origin.Checksums     `section:"agent"`
	ChecksumFiles origin.ChecksumFiles `section:"conductor"`
	Registries    origin.Registries    `section:"oci"`
	Glance        origin.GlanceConfig  `section:"glance"`

	Vendordata      vendordata.Config      `section:"api"`
	VendordataProof vendordata.ProofConfig `section:"api"`
	VendordataAuth  vendordata.AuthConfig  `section:"vendordata_dynamic_auth"`

	Fake    Fake    `section:"fake"`
	Metrics Metrics `section:"metrics"`
	Netboot Netboot `section:"netboot"`

	Metadata metadata.Config `section:"metadata"`

	Tracing Tracing `section:"tracing"`

	Access     Access                  `section:"api"`
	MetricsTLS MetricsTLS              `section:"metrics"`
	BootTLS    BootTLS                 `section:"deploy"`
	BootHost   BootHost                `section:"boot_host"`
	ImageCache ImageCache              `section:"pxe"`
	ImageRules ImageRules              `section:"conductor"`
	AgentTLS   AgentTLS                `section:"agent"`
	Keystone   identity.KeystoneConfig `section:"keystone_authtoken"`
}

// Default is the section [DEFAULT].
type Default struct {
	// Host names this server among those that share a database. Empty means the machine's host name.
	Host string `key:"host"`
	// EnabledHardwareTypes are the hardware types nodes may have.
	EnabledHardwareTypes []string `key:"enabled_hardware_types"`
	// Debug logs why, beside what.
	Debug bool `key:"debug"`
	// LogLevel is the least that is logged, unless debug says to log all.
	LogLevel string `key:"log_level" oneof:"debug,info,warning,error"`
	// UseJSON logs a JSON document a line in place of key=value.
	UseJSON bool `key:"use_json"`
}

// Metrics is the section [metrics].
type Metrics struct {
	// Listen is the address and port that serve /metrics for Prometheus, /healthz and /readyz. They ask for no
	// rights and tell nothing of single nodes. Empty means no such listener; the API's has the latter two.
	Listen string `key:"listen"`
}

// Tracing is the section [tracing].
type Tracing struct {
	// Endpoint is the URL of an OTLP/HTTP collector of traces, such as http://127.0.0.1:4318. Empty means what the
	// variable OTEL_EXPORTER_OTLP_ENDPOINT says, and no traces without it. Needs a program built with -tags otel.
	Endpoint string `key:"endpoint" is:"url"`
}

// API is the section [api].
type API struct {
	// HostIP is the address the API listens on. Anything but loopback needs an auth_strategy.
	HostIP string `key:"host_ip" is:"ip"`
	// Port is the TCP port the API listens on.
	Port int `key:"port" min:"1" max:"65535"`
	// PublicEndpoint is the base of links in answers, where clients know the server by another URL than the
	// one they send. Empty means that one.
	PublicEndpoint string `key:"public_endpoint" is:"url"`
	// MaxLimit is the most objects one page of a list has.
	MaxLimit int `key:"max_limit" min:"1"`
	// EnableRamdiskEndpoints serves lookup and heartbeat at the agents' door. Without it they are refused (403),
	// and no machine that boots a ramdisk comes far whose agent is not polled.
	EnableRamdiskEndpoints bool `key:"enable_ramdisk_endpoints"`
	// DisableAgentAPI refuses agents' lookup, heartbeat and continue_inspection with 403 wherever they are served: for servers
	// whose agents are all polled ([agent] poll_only).
	DisableAgentAPI bool `key:"disable_agent_api"`
	// DisallowCleanSteps are the clean steps that nobody may ask for, as interface.step.
	DisallowCleanSteps []string `key:"disallow_clean_steps"`
	// DisallowDeploySteps are the deploy steps that nobody may ask for.
	DisallowDeploySteps []string `key:"disallow_deploy_steps"`
	// DisallowServiceSteps are the service steps that nobody may ask for.
	DisallowServiceSteps []string `key:"disallow_service_steps"`
	// RamdiskHeartbeatTimeout is how long an agent may be silent; it is told to agents.
	RamdiskHeartbeatTimeout time.Duration `key:"ramdisk_heartbeat_timeout" min:"1"`
}

// Conductor is the section [conductor].
type Conductor struct {
	// ConductorGroup is the group of nodes this conductor serves. Empty serves those without a group.
	ConductorGroup string `key:"conductor_group"`
	// AutomatedClean cleans machines before they become available, unless a node says otherwise.
	AutomatedClean bool `key:"automated_clean"`
	// DeployCallbackTimeout is how long a machine may take to call back in a deploy. 0 is for ever.
	DeployCallbackTimeout time.Duration `key:"deploy_callback_timeout" min:"0"`
	// CleanCallbackTimeout is how long a machine may take to call back in cleaning. 0 is for ever.
	CleanCallbackTimeout time.Duration `key:"clean_callback_timeout" min:"0"`
	// ServiceCallbackTimeout is how long a machine may take to call back in service. 0 is for ever.
	ServiceCallbackTimeout time.Duration `key:"service_callback_timeout" min:"0"`
	// RescueCallbackTimeout is how long a machine may take to call back in a rescue whose request gives no limit of its own.
	// 0 is for ever; but the hash of a password is kept for a day at most.
	RescueCallbackTimeout time.Duration `key:"rescue_callback_timeout" min:"0"`
	// CleanStepTimeout is how long one clean step may take. 0 is for ever.
	CleanStepTimeout time.Duration `key:"clean_step_timeout" min:"0"`
	// DeployStepTimeout is how long one deploy step may take, other than writing the image. 0 is for ever.
	DeployStepTimeout time.Duration `key:"deploy_step_timeout" min:"0"`
	// ServiceStepTimeout is how long one service step may take. 0 is for ever.
	ServiceStepTimeout time.Duration `key:"service_step_timeout" min:"0"`
	// CleanStepPriorityOverride sets the priority of clean steps that run by themselves, as interface.step:priority.
	// 0 leaves a step out.
	CleanStepPriorityOverride []string `key:"clean_step_priority_override"`
	// FirmwareDrift says what happens when BIOS attributes, boot order, firmware versions or UEFI variables are not as the node's
	// baseline after cleaning: the cleaning fails, the history says so, or nobody looks.
	FirmwareDrift string `key:"firmware_drift" oneof:"fail,event,ignore"`
	// FirmwareDriftIgnore are patterns of what is not compared: bios.NAME, boot_order, firmware.PART, uefi_variable.NAME, with * for
	// any part of a name.
	FirmwareDriftIgnore []string `key:"firmware_drift_ignore"`
	// RescuePasswordHashAlgorithm is how the server that is given a rescue password hashes it. The rescue ramdisk must
	// know the hash; Debian 11 and later know all three.
	RescuePasswordHashAlgorithm string `key:"rescue_password_hash_algorithm" oneof:"sha512,sha256,yescrypt"`
	// RefuseSharedRescuingNetwork refuses nodes whose rescuing network is their provisioning or cleaning network, too.
	// Without it validate and the doctor warn.
	RefuseSharedRescuingNetwork bool `key:"refuse_shared_rescuing_network"`
	// AbandonedOperationTimeout is how long an operation may stay without a server that serves its driver or knows its
	// plan; then any server fails it, and says what may be left behind.
	AbandonedOperationTimeout time.Duration `key:"abandoned_operation_timeout" min:"60"`
	// PowerStateChangeTimeout is how long a machine may take to follow a power request before it is asked
	// again, and at last given up.
	PowerStateChangeTimeout time.Duration `key:"power_state_change_timeout" min:"1"`
	// FileURLAllowedPaths are the folders file:// images may lie in, symbolic links followed. Empty allows none. Below /dev, /sys, /proc,
	// /boot, /etc and /run nothing is one, whatever is listed.
	FileURLAllowedPaths []string `key:"file_url_allowed_paths"`
}

// Deploy is the section [deploy].
type Deploy struct {
	// HTTPURL is the URL at which BMCs and machines reach what this server offers them (ISOs, images).
	// Empty means the boot listener's own.
	HTTPURL string `key:"http_url" is:"url"`
	// BootHosts are servers with the role boot, each as NAME=https://HOST:PORT of its peer listener. Boot ISOs are pushed to
	// one of them, and machines fetch them there. Empty means that they fetch them from this server.
	BootHosts []string `key:"boot_hosts"`
	// ForceConfigDrive gives every instance a config drive, also where none was asked for, unless instance_info config_drive
	// says otherwise. What is on it is served to the instance, too.
	ForceConfigDrive bool `key:"force_config_drive"`
	// ConfigDriveFormat is the file system of config drives that this server makes.
	ConfigDriveFormat string `key:"config_drive_format" oneof:"iso9660,vfat"`
	// EraseDevicesPriority is where in cleaning disks are erased whole. 0 leaves that out.
	EraseDevicesPriority int `key:"erase_devices_priority" min:"0"`
	// EraseDevicesMetadataPriority is where in cleaning partition tables and signatures are erased. 0 leaves
	// that out.
	EraseDevicesMetadataPriority int `key:"erase_devices_metadata_priority" min:"0"`
	// CleanUEFIVariablesPriority is the priority of the clean step that removes what tenants left in the firmware's memory: boot
	// entries, and variables that the node's baseline does not have. 0 leaves it out.
	CleanUEFIVariablesPriority int `key:"clean_uefi_variables_priority" min:"0"`
	// DeleteConfigurationPriority is where in cleaning the RAID configuration is deleted. 0 leaves that out.
	DeleteConfigurationPriority int `key:"delete_configuration_priority" min:"0"`
	// CreateConfigurationPriority is where in cleaning the RAID configuration is made. 0 leaves that out.
	CreateConfigurationPriority int `key:"create_configuration_priority" min:"0"`
	// DiskErasureConcurrency is how many disks of a machine are erased at once.
	DiskErasureConcurrency int `key:"disk_erasure_concurrency" min:"1" max:"64"`
	// ShredRandomOverwriteIterations is how often a disk that has to be overwritten is overwritten with random
	// bytes. From 2 on disks are overwritten even if discarding would have emptied them.
	ShredRandomOverwriteIterations int `key:"shred_random_overwrite_iterations" min:"0" max:"32"`
	// ShredFinalOverwriteWithZeros ends overwriting with zeros.
	ShredFinalOverwriteWithZeros bool `key:"shred_final_overwrite_with_zeros"`
	// EnableATASecureErase lets SATA disks erase themselves where they can.
	EnableATASecureErase bool `key:"enable_ata_secure_erase"`
	// EnableNVMeSecureErase lets NVMe drives erase themselves where they can.
	EnableNVMeSecureErase bool `key:"enable_nvme_secure_erase"`
	// ContinueIfDiskSecureEraseFails overwrites a disk whose own erase failed; without it cleaning fails.
	ContinueIfDiskSecureEraseFails bool `key:"continue_if_disk_secure_erase_fails"`
	// EraseSkipReadOnly leaves write-protected disks alone; without it they make cleaning fail.
	EraseSkipReadOnly bool `key:"erase_skip_read_only"`
}

// Agent is the section [agent].
type Agent struct {
	// DeployLogsCollect says when the logs of a ramdisk are kept.
	DeployLogsCollect string `key:"deploy_logs_collect" oneof:"always,on_failure,never"`
	// ImageDownloadSource is from where machines get their images, unless a node or an instance says otherwise: http, from the
	// image's own address; local, from this server or a boot host, which fetches and verifies it first.
	ImageDownloadSource string `key:"image_download_source" oneof:"http,local"`
	// PollOnly has agents call nobody: they are asked instead, so that machines need no way to this server. A node's driver_info
	// poll_only may say otherwise. A running operation goes on as it began.
	PollOnly bool `key:"poll_only"`
	// PollInterval is how often an agent is asked of which nothing is wanted but that it is there; 0 is [api]
	// ramdisk_heartbeat_timeout. One that is to come up, or that works, is asked more often.
	PollInterval time.Duration `key:"poll_interval" min:"0"`
	// PollPort is the TCP port at which the agents that are asked listen.
	PollPort int `key:"poll_port" min:"1" max:"65535"`
	// PollWorkers is how many agents may be asked at the same time.
	PollWorkers int `key:"poll_workers" min:"1"`
	// PollSlowWorkers is how many agents more may be asked at the same time, those that work on a command or do not answer.
	PollSlowWorkers int `key:"poll_slow_workers" min:"1"`
}

// Redfish is the section [redfish].
type Redfish struct {
	// KernelAppendParams is put behind the kernel parameters of ramdisks that boot from virtual media. A node's
	// driver_info may have its own.
	KernelAppendParams string `key:"kernel_append_params"`
	// BootModeConfigTimeout is how long a machine may take to boot with the boot mode and the Secure Boot that a deploy
	// set; 0 means not to look.
	BootModeConfigTimeout time.Duration `key:"boot_mode_config_timeout"`
	// ReadTimeout is how long a BMC may take to answer one read: one that is slower is as good as gone.
	ReadTimeout time.Duration `key:"read_timeout"`
	// ActTimeout is how long a BMC may take to answer one change; some fetch the head of an image first.
	ActTimeout time.Duration `key:"act_timeout"`
	// CallTimeout is how long one action may take, all its requests and retries.
	CallTimeout time.Duration `key:"call_timeout"`
	// EffectTimeout is how long a BMC may take to show a change that it has accepted.
	EffectTimeout time.Duration `key:"effect_timeout"`
	// Concurrency is how many requests one BMC gets at the same time.
	Concurrency int `key:"concurrency"`
}

// Defaults is the only place with default values. They are upstream's, except that the API listens on
// loopback until it is told otherwise.
func Defaults() Config {
	from := origin.Defaults()
	return Config{
		Web: from.Web, ImageServers: from.Servers, Checksums: from.Checksums, ChecksumFiles: from.ChecksumFiles, Registries: from.Registries, Glance: from.Glance,
		Default: Default{EnabledHardwareTypes: []string{"redfish", "fake-hardware"}, LogLevel: "info"},
		API: API{HostIP: "127.0.0.1", Port: 6385, MaxLimit: 1000, DisallowCleanSteps: []string{"vendor.send_raw"},
			DisallowDeploySteps: []string{"vendor.send_raw"}, DisallowServiceSteps: []string{"vendor.send_raw"}, EnableRamdiskEndpoints: true, RamdiskHeartbeatTimeout: 300 * time.Second},
		Database:   Database{KeyCommandTimeout: 30 * time.Second},
		Access:     access(),
		AgentTLS:   AgentTLS{TLSMinimumVersion: "1.3"},
		Keystone:   identity.DefaultKeystone(),
		VSwitch:    vswitch.Defaults(),
		Neutron:    neutron.Defaults(),
		Vendordata: vendordata.Defaults(), VendordataAuth: vendordata.AuthDefaults(),
		Conductor: Conductor{AutomatedClean: true, FirmwareDrift: "event", DeployCallbackTimeout: 30 * time.Minute, CleanCallbackTimeout: 30 * time.Minute, ServiceCallbackTimeout: 30 * time.Minute, RescueCallbackTimeout: 30 * time.Minute,
			CleanStepTimeout: 24 * time.Hour, DeployStepTimeout: 4 * time.Hour, ServiceStepTimeout: 4 * time.Hour, AbandonedOperationTimeout: time.Hour,
			PowerStateChangeTimeout: time.Minute, RescuePasswordHashAlgorithm: "sha512"},
		Services:  Services{RBACServiceProjectName: "service"},
		Enrolment: Enrolment{DefaultPortgroupMode: "active-backup"},
		Deletion:  Deletion{AllowDeletingAvailableNodes: true},
		Leases:    Leases{AutomaticLessee: true, AutomaticLesseeSource: "instance"},
		APIRights: APIRights{ProjectAdminCanManageOwnNodes: true},
		Policy: Policy{PolicyFile: "policy.yaml", PolicyDirs: []string{"policy.d"}, PolicyDefaultRule: "default", EnforceScope: true,
			EnforceNewDefaults: true},
		Timers:    timers(),
		Memory:    Memory{MinimumRequiredMemory: 1024, MinimumMemoryWaitTime: 15 * time.Second, MinimumMemoryWaitRetries: 6},
		Slots:     Slots{MaxConcurrentDeploy: 250, MaxConcurrentClean: 50, ConcurrentLimitAction: "refuse"},
		Choices:   choices(),
		Fake:      fakeDefaults(),
		Netboot:   netbootDefaults(),
		Metadata:  metadata.Defaults(),
		OSInstall: OSInstall{StartupTimeout: 5 * time.Minute, Timeout: 2 * time.Hour, MaxExportBytes: 1 << 40},
		Inspector: Inspector{AddPorts: "pxe", KeepPorts: "all", UpdatePXEEnabled: true, PowerOff: true},
		Rules:     Rules{MaskSecrets: "always"},
		Deploy: Deploy{ConfigDriveFormat: "iso9660", EraseDevicesPriority: 10, EraseDevicesMetadataPriority: 99, CleanUEFIVariablesPriority: 5, DiskErasureConcurrency: 4,
			ShredRandomOverwriteIterations: 1, ShredFinalOverwriteWithZeros: true, EnableATASecureErase: true, EnableNVMeSecureErase: true},
		Agent: Agent{DeployLogsCollect: "on_failure", ImageDownloadSource: "http", PollPort: 9999, PollWorkers: 256, PollSlowWorkers: 10000}, BootHost: bootHost(), ImageCache: ImageCache{ImageCacheSize: 20480}, ImageRules: imageRules(),
		Redfish: Redfish{BootModeConfigTimeout: 15 * time.Minute, ReadTimeout: 20 * time.Second, ActTimeout: time.Minute,
			CallTimeout: 2 * time.Minute, EffectTimeout: 20 * time.Second, Concurrency: 4},
		PXE:  pxeDefaults(),
		Peer: Peer{CertificateLife: 30 * 24 * time.Hour},
	}
}
