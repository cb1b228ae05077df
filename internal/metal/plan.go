package metal

// Plan names what the conductor walks for a verb. Operations refer to plans by these names, so they are
// stored: never rename one.
type Plan string

// The plans.
const (
	PlanVerify   Plan = "verify"
	PlanClean    Plan = "clean"
	PlanDeploy   Plan = "deploy"
	PlanInspect  Plan = "inspect" // by the agent
	PlanProbe    Plan = "inspect out of band"
	PlanAdopt    Plan = "adopt"
	PlanRescue   Plan = "rescue"
	PlanUnrescue Plan = "unrescue"
	// PlanCheckRescue asks whether a rescue could be done; it changes nothing.
	PlanCheckRescue Plan = "check rescue"
	PlanManual      Plan = "manual clean" // the caller's clean steps, in the caller's order
	PlanService     Plan = "service"
	PlanRestore     Plan = "restore instance" // after a service that failed: the instance boots again
	PlanTearDown    Plan = "tear down"
	PlanPower       Plan = "power"
	PlanEject       Plan = "eject left medium"
	PlanValidate    Plan = "validate"
	PlanReadBoot    Plan = "read boot device"
	PlanSetBoot     Plan = "set boot device"
	PlanBootKinds   Plan = "list boot devices"
	PlanBootMode    Plan = "set boot mode"
	PlanSecure      Plan = "set secure boot"
	PlanSecurity    Plan = "report security"

	PlanAttachMedia Plan = "attach virtual media"
	PlanDetachMedia Plan = "detach virtual media"
	PlanReadMedia   Plan = "list virtual media"
	PlanConsole     Plan = "set console"
	PlanReadConsole Plan = "read console"
	PlanNMI         Plan = "inject nmi"
	PlanIndicators  Plan = "list indicators"
	PlanReadLight   Plan = "read indicator"
	PlanSetLight    Plan = "set indicator"
	PlanVendor      Plan = "vendor passthru"
	PlanVendorWait  Plan = "answered vendor passthru"
	PlanVendorList  Plan = "list vendor methods"
	PlanAttachVIF   Plan = "attach vif"
	PlanDetachVIF   Plan = "detach vif"
)

// Version is that of the plan's list of steps. An operation of another version is not resumed but failed
// with a reason: its step numbers mean something else.
func (p Plan) Version() int {
	switch p {
	case PlanDeploy: // 2: boot mode and Secure Boot; 3: each deploy step is a step of the plan; 4: networks, and images that are brought; 5: metadata is prepared; 6: OS definitions
		return 6
	case PlanVerify: // 2: settings are read
		return 2
	case PlanClean: // as tear down; 4: firmware is compared, and cleaning that is skipped is told
		return 4
	case PlanTearDown, PlanInspect: // 2: boot mode and Secure Boot, each clean step a step of the plan, inspection rules; 3: networks
		return 3
	case PlanService: // 2: networks; 3: exports and renames by OS definitions
		return 3
	case PlanProbe, PlanManual, PlanRestore, PlanRescue, PlanUnrescue: // inspection rules; networks; rescue by a ramdisk
		return 2
	}
	return 1
}

// Knows tells whether operations of an older version go on: their list of steps is the same. What a new version adds is only in operations
// of that version, which an older server leaves to others: it would boot another ramdisk for them.
func (p Plan) Knows(version int) bool {
	switch {
	case p == PlanDeploy && version == 5: // 6 adds steps where an OS definition is installed
		return true
	case p == PlanService && version == 2: // 3 adds steps that run its scripts
		return true
	}
	return version == p.Version()
}

// Ask is what a caller asked for with an operation, beyond its verb. It is the first part of an
// operation's record, under the key "ask".
type Ask struct {
	Power      Power       `json:"power,omitempty"`
	Seconds    int         `json:"seconds,omitempty"` // time allowed for a soft power change; 0: the server's default
	BootDevice *BootDevice `json:"boot_device,omitempty"`
	// Steps are the caller's: clean and service steps in the order they are to run, deploy steps by priority.
	Steps []Step `json:"steps,omitempty"`
	// TemplateSteps are those of the deploy templates that the instance's traits name.
	TemplateSteps []Step `json:"template_steps,omitempty"`
	// Secrets says where the values are that the steps' arguments name; nil: they name none.
	Secrets   *SecretRef `json:"secrets,omitempty"`
	NoRamdisk bool       `json:"no_ramdisk,omitempty"` // disable_ramdisk: the steps run without the agent
	// RescueKeys are lines of authorized_keys for the rescue user, checked and without options. The hash of the password is
	// RescueHash of Secrets; without it the user has no password.
	RescueKeys []string `json:"rescue_keys,omitempty"`
	// RescueSeconds is how long the rescue ramdisk may take to call; nil: as configured, 0: for ever.
	RescueSeconds *int `json:"rescue_seconds,omitempty"`
	// Restore: the instance does not run as it should (its last service failed or was held), so that it is booted
	// anew at the end, whatever the steps need.
	Restore bool `json:"restore,omitempty"`
	// NoInstance: the machine ran none when it was asked to be rebuilt (its deploy had failed), so that it is on no tenant's network if
	// this fails, too.
	NoInstance bool `json:"no_instance,omitempty"`
	// BootFor is for whom a deployment is; of a rebuild it counts only where nothing is known of the deployment.
	BootFor    *BootFor `json:"boot_for,omitempty"`
	BootMode   string   `json:"boot_mode,omitempty"`
	SecureBoot *bool    `json:"secure_boot,omitempty"`

	Medium     *Medium     `json:"medium,omitempty"`      // to put into a virtual drive
	MediaKinds []string    `json:"media_kinds,omitempty"` // drives to empty; none: all
	Console    *bool       `json:"console,omitempty"`
	Indicator  string      `json:"indicator,omitempty"` // Indicator.ID
	Light      string      `json:"light,omitempty"`     // the state it is to have
	Vendor     *VendorCall `json:"vendor,omitempty"`
	VIF        *VIF        `json:"vif,omitempty"` // to attach or detach

	// OSImport is what a deployment puts on the disks in the place of a new installation; nil: nothing.
	OSImport *OSStreams `json:"os_import,omitempty"`
	// OSParameters are public OS parameters of one export or rename. Private and secret ones are among the values of Secrets.
	OSParameters map[string]string `json:"os_parameters,omitempty"`
}

// What an operation can wait for.
const (
	// WaitAgent is a call of its ramdisk's agent.
	WaitAgent = "agent"
	// WaitUnhold is the verb unhold: a hold step was reached.
	WaitUnhold = "unhold"
	// WaitSlot is a slot: as many of its kind run as may.
	WaitSlot = "slot"
	// WaitOSInstall is what a machine that installs itself says.
	WaitOSInstall = "os install"
)

// Validation is the answer about one interface of a node: Result nil means the node has none.
type Validation struct {
	Result *bool  `json:"result"`
	Reason string `json:"reason,omitempty"`
}
