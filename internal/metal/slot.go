package metal

// Slot is a kind of place that operations need while they live. There are so many of each in the whole system: what touches
// many machines at once, by mistake too, is stopped there.
type Slot string

// The kinds. They are stored: never rename one.
const (
	SlotDeploy Slot = "deploy"
	SlotClean  Slot = "clean"
)

// Slots is every kind.
var Slots = []Slot{SlotDeploy, SlotClean}

// SlotLimits is how many operations may hold a slot of each kind at a time.
type SlotLimits map[Slot]int

// DefaultSlots are upstream's limits. Source: config-options reference, [conductor].
func DefaultSlots() SlotLimits { return SlotLimits{SlotDeploy: 250, SlotClean: 50} }

// Slot is the kind that an operation of the plan holds from its acceptance to its end; "" for none. A tear down hands its own to the
// cleaning that follows. A service counts among the cleanings, for it runs the same steps.
func (p Plan) Slot() Slot {
	switch p {
	case PlanDeploy:
		return SlotDeploy
	case PlanClean, PlanManual, PlanTearDown, PlanService:
		return SlotClean
	}
	return ""
}

// Plural is what operations that hold such a slot do, for people.
func (s Slot) Plural() string {
	if s == SlotDeploy {
		return "deployments"
	}
	return "cleanings, tear downs and services"
}

// Option is what sets the limit, as the configuration names it.
func (s Slot) Option() string { return "[conductor] max_concurrent_" + string(s) }
