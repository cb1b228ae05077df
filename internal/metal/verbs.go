package metal

// Verb is what a caller may ask of a node with PUT states/provision.
type Verb string

// The fifteen verbs. Active and Deploy, Deleted and Undeploy are pairs of spellings.
const (
	VerbManage   Verb = "manage"
	VerbProvide  Verb = "provide"
	VerbInspect  Verb = "inspect"
	VerbClean    Verb = "clean"
	VerbActive   Verb = "active"
	VerbDeploy   Verb = "deploy"
	VerbRebuild  Verb = "rebuild"
	VerbDeleted  Verb = "deleted"
	VerbUndeploy Verb = "undeploy"
	VerbRescue   Verb = "rescue"
	VerbUnrescue Verb = "unrescue"
	VerbAdopt    Verb = "adopt"
	VerbAbort    Verb = "abort"
	VerbUnhold   Verb = "unhold"
	VerbService  Verb = "service"
)

// VerbInfo is what is fixed about one verb.
type VerbInfo struct {
	Event  Event
	Min    int   // the minor of the first microversion 1.Min that has it
	Target State // where the caller means the node to come to rest; "" where it depends on the state
	Drive  int   // the minor since which it takes a config drive; 0: it does not
	Alone  int   // the minor since which it takes disable_ramdisk; 0: it does not
}

// Verbs is every verb a caller may send. Source: rest-api reference, provision verbs; Ironic's
// api/controllers/v1/versions.py for the versions.
var Verbs = map[Verb]VerbInfo{
	VerbManage:   {Event: EventManage, Min: 4},
	VerbProvide:  {Event: EventProvide, Min: 4, Target: Available},
	VerbInspect:  {Event: EventInspect, Min: 6, Target: Manageable},
	VerbClean:    {Event: EventClean, Min: 15, Target: Manageable, Alone: 70},
	VerbActive:   {Event: EventDeploy, Min: 1, Target: Active, Drive: 1},
	VerbDeploy:   {Event: EventDeploy, Min: 73, Target: Active},
	VerbRebuild:  {Event: EventRebuild, Min: 1, Target: Active, Drive: 35},
	VerbDeleted:  {Event: EventDelete, Min: 1, Target: Available},
	VerbUndeploy: {Event: EventDelete, Min: 73, Target: Available},
	VerbRescue:   {Event: EventRescue, Min: 38, Target: Rescue},
	VerbUnrescue: {Event: EventUnrescue, Min: 38, Target: Active},
	VerbAdopt:    {Event: EventAdopt, Min: 17, Target: Active},
	VerbAbort:    {Event: EventAbort, Min: 13},
	VerbUnhold:   {Event: EventUnhold, Min: 85},
	VerbService:  {Event: EventService, Min: 87, Target: Active, Alone: 108},
}

// In is what the verb means for a node in state s: active ends a rescue, as unrescue does. Source: seed 000, "standard
// unrescue process", step 3.
func (v Verb) In(s State) Verb {
	if _, rescued := Next(s, EventUnrescue); rescued && v == VerbActive {
		return VerbUnrescue
	}
	return v
}
