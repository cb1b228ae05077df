package metal

import "slices"

// Step is one thing to do to a node inside cleaning, deploying or servicing, in Ironic's form.
type Step struct {
	Interface       string             `json:"interface"`
	Step            string             `json:"step"`
	Priority        int                `json:"priority"`
	Order           int                `json:"order,omitempty"` // in a runbook: the lowest is first
	Args            map[string]any     `json:"args,omitempty"`
	ArgsInfo        map[string]ArgInfo `json:"argsinfo,omitempty"` // what Args may hold, by name
	Abortable       bool               `json:"abortable,omitempty"`
	RebootRequested bool               `json:"reboot_requested,omitempty"`
	RequiresRamdisk bool               `json:"requires_ramdisk,omitempty"` // it needs the ramdisk, although a driver runs it
}

// ArgInfo describes one argument of a step.
type ArgInfo struct {
	Description string `json:"description,omitempty"`
	Required    bool   `json:"required,omitempty"`
}

// Name is how a step is known: "<interface>.<step>".
func (s Step) Name() string { return s.Interface + "." + s.Step }

// StepKind says what a step is part of.
type StepKind string

// The kinds of steps.
const (
	CleanSteps   StepKind = "clean"
	DeploySteps  StepKind = "deploy"
	ServiceSteps StepKind = "service"
)

// The flow steps: they change how a plan goes on, are known to every interface, and run in the conductor.
// Source: lifecycle reference §7.
const (
	StepPowerOn  = "power_on"
	StepPowerOff = "power_off"
	StepReboot   = "reboot"
	StepHold     = "hold"
	StepWait     = "wait"
)

// Flows tells whether a step is a flow step.
func (s Step) Flows() bool {
	return slices.Contains([]string{StepPowerOn, StepPowerOff, StepReboot, StepHold, StepWait}, s.Step)
}

// rank breaks ties of priority: the interfaces in the order in which their steps run. Source: lifecycle
// reference §7.
var rank = map[string]int{"network": 8, "vendor": 7, "power": 6, "management": 5, "firmware": 4, "deploy": 3, "bios": 2, "raid": 1}

// CompareSteps orders steps that are sorted by priority: the highest first, ties by interface, then by name.
func CompareSteps(a, b Step) int {
	switch {
	case a.Priority != b.Priority:
		return b.Priority - a.Priority
	case rank[a.Interface] != rank[b.Interface]:
		return rank[b.Interface] - rank[a.Interface]
	case a.Name() < b.Name():
		return -1
	case a.Name() > b.Name():
		return 1
	}
	return 0
}
