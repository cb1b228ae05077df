package metal

// Plan names what the conductor walks for a verb. Operations refer to plans by these names, so they are
// stored: never rename one.
type Plan string

// The plans.
const (
	PlanVerify    Plan = "verify"
	PlanClean     Plan = "clean"
	PlanDeploy    Plan = "deploy"
	PlanInspect   Plan = "inspect" // by the agent
	PlanProbe     Plan = "inspect out of band"
	PlanAdopt     Plan = "adopt"
	PlanTearDown  Plan = "tear down"
	PlanPower     Plan = "power"
	PlanValidate  Plan = "validate"
	PlanReadBoot  Plan = "read boot device"
	PlanSetBoot   Plan = "set boot device"
	PlanBootKinds Plan = "list boot devices"
	PlanBootMode  Plan = "set boot mode"
	PlanSecure    Plan = "set secure boot"
)

// Version is that of the plan's list of steps. An operation of another version is not resumed but failed
// with a reason: its step numbers mean something else.
func (p Plan) Version() int {
	switch p {
	case PlanDeploy, PlanTearDown: // 2: boot mode and Secure Boot
		return 2
	}
	return 1
}

// Ask is what a caller asked for with an operation, beyond its verb. It is the first part of an
// operation's record, under the key "ask".
type Ask struct {
	Power      Power       `json:"power,omitempty"`
	Seconds    int         `json:"seconds,omitempty"` // time allowed for a soft power change; 0: the server's default
	BootDevice *BootDevice `json:"boot_device,omitempty"`
	Steps      []Step      `json:"steps,omitempty"`
	BootMode   string      `json:"boot_mode,omitempty"`
	SecureBoot *bool       `json:"secure_boot,omitempty"`
}

// WaitAgent is the event an operation waits for while its ramdisk's agent has not called (or not called
// again).
const WaitAgent = "agent"

// Validation is the answer about one interface of a node: Result nil means the node has none.
type Validation struct {
	Result *bool  `json:"result"`
	Reason string `json:"reason,omitempty"`
}
