package metal

import (
	"slices"
	"time"
)

// State is a node's provision state, in Ironic's words (they are on the wire).
type State string

// The thirty provision states. Source: OpenStack Ironic, ironic/common/states.py.
const (
	Enroll         State = "enroll"
	Manageable     State = "manageable"
	Available      State = "available"
	Active         State = "active"
	Error          State = "error"
	Rescue         State = "rescue"
	Verifying      State = "verifying"
	Deploying      State = "deploying"
	DeployWait     State = "wait call-back"
	DeployFailed   State = "deploy failed"
	DeployHold     State = "deploy hold"
	Cleaning       State = "cleaning"
	CleanWait      State = "clean wait"
	CleanFailed    State = "clean failed"
	CleanHold      State = "clean hold"
	Deleting       State = "deleting"
	Inspecting     State = "inspecting"
	InspectFailed  State = "inspect failed"
	InspectWait    State = "inspect wait"
	Adopting       State = "adopting"
	AdoptFailed    State = "adopt failed"
	Rescuing       State = "rescuing"
	RescueWait     State = "rescue wait"
	RescueFailed   State = "rescue failed"
	Unrescuing     State = "unrescuing"
	UnrescueFailed State = "unrescue failed"
	Servicing      State = "servicing"
	ServiceWait    State = "service wait"
	ServiceFailed  State = "service failed"
	ServiceHold    State = "service hold"
)

// Event is what happens to a node; with a State it decides the next one.
type Event string

// The events. Those that a caller may send are in Verbs; the others are the conductor's.
const (
	EventDeploy   Event = "deploy"
	EventFail     Event = "fail"
	EventRebuild  Event = "rebuild"
	EventWait     Event = "wait"
	EventHold     Event = "hold"
	EventResume   Event = "resume"
	EventUnhold   Event = "unhold"
	EventAbort    Event = "abort"
	EventDone     Event = "done"
	EventDelete   Event = "delete"
	EventClean    Event = "clean"
	EventManage   Event = "manage"
	EventProvide  Event = "provide"
	EventInspect  Event = "inspect"
	EventRescue   Event = "rescue"
	EventUnrescue Event = "unrescue"
	EventAdopt    Event = "adopt"
	EventService  Event = "service"
)

// life is everything that can happen to a node: in this state, this event leads there.
// Nothing else decides. Source: OpenStack Ironic, ironic/common/state_machine.py, August 2026.
var life = map[State]map[Event]State{
	Enroll:         {EventManage: Verifying},
	Manageable:     {EventProvide: Cleaning, EventClean: Cleaning, EventInspect: Inspecting, EventAdopt: Adopting},
	Available:      {EventDeploy: Deploying, EventManage: Manageable},
	Active:         {EventRebuild: Deploying, EventDelete: Deleting, EventRescue: Rescuing, EventService: Servicing},
	Error:          {EventRebuild: Deploying, EventDelete: Deleting},
	Rescue:         {EventRescue: Rescuing, EventDelete: Deleting, EventUnrescue: Unrescuing},
	Verifying:      {EventDone: Manageable, EventFail: Enroll},
	Deploying:      {EventFail: DeployFailed, EventWait: DeployWait, EventHold: DeployHold, EventDone: Active},
	DeployWait:     {EventHold: DeployHold, EventResume: Deploying, EventFail: DeployFailed, EventAbort: DeployFailed, EventDelete: Deleting},
	DeployFailed:   {EventRebuild: Deploying, EventDeploy: Deploying, EventDelete: Deleting},
	DeployHold:     {EventUnhold: DeployWait, EventAbort: DeployFailed},
	Cleaning:       {EventDone: Available, EventFail: CleanFailed, EventWait: CleanWait, EventHold: CleanHold, EventManage: Manageable},
	CleanWait:      {EventFail: CleanFailed, EventAbort: CleanFailed, EventHold: CleanHold, EventResume: Cleaning},
	CleanFailed:    {EventManage: Manageable},
	CleanHold:      {EventAbort: CleanFailed, EventUnhold: CleanWait},
	Deleting:       {EventFail: Error, EventClean: Cleaning},
	Inspecting:     {EventDone: Manageable, EventFail: InspectFailed, EventWait: InspectWait},
	InspectFailed:  {EventManage: Manageable, EventInspect: Inspecting},
	InspectWait:    {EventDone: Manageable, EventFail: InspectFailed, EventAbort: InspectFailed, EventResume: Inspecting},
	Adopting:       {EventDone: Active, EventFail: AdoptFailed},
	AdoptFailed:    {EventAdopt: Adopting, EventManage: Manageable},
	Rescuing:       {EventDone: Rescue, EventWait: RescueWait, EventFail: RescueFailed},
	RescueWait:     {EventResume: Rescuing, EventFail: RescueFailed, EventAbort: RescueFailed, EventDelete: Deleting},
	RescueFailed:   {EventRescue: Rescuing, EventUnrescue: Unrescuing, EventDelete: Deleting},
	Unrescuing:     {EventDone: Active, EventFail: UnrescueFailed},
	UnrescueFailed: {EventRescue: Rescuing, EventUnrescue: Unrescuing, EventDelete: Deleting},
	Servicing:      {EventDone: Active, EventFail: ServiceFailed, EventWait: ServiceWait, EventHold: ServiceHold},
	ServiceWait:    {EventHold: ServiceHold, EventResume: Servicing, EventFail: ServiceFailed, EventAbort: ServiceFailed, EventDelete: Deleting},
	ServiceFailed:  {EventService: Servicing, EventRescue: Rescuing, EventWait: ServiceWait, EventHold: ServiceHold, EventDelete: Deleting, EventAbort: Active},
	ServiceHold:    {EventService: Servicing, EventUnhold: ServiceWait, EventFail: ServiceFailed, EventAbort: ServiceFailed},
}

// Kind is how a state rests.
type Kind string

// The kinds of state.
const (
	Stable  Kind = "stable"  // rests until somebody asks for something
	Busy    Kind = "busy"    // a conductor is working
	Waiting Kind = "waiting" // something outside is awaited, with a limit
	Held    Kind = "held"    // a hold step was reached; leaves on unhold or abort
	Failed  Kind = "failed"  // rests with a reason in last_error
)

// StateInfo is what is fixed about one state.
type StateInfo struct {
	Kind     Kind
	Target   State         // default target_provision_state while in it; "" for none
	Limit    time.Duration // default time limit of a waiting state; 0 for none
	Lookup   bool          // an agent may look its node up (without fast track)
	Deletion bool          // the node may be deleted without maintenance
	Patch    bool          // the node may be patched although it has a target
	Min      int           // minor of the microversion a client needs to change a node in it; 0 is any
	Abort    int           // minor of the microversion that takes abort in it; 0 is the verb's
}

// States says what kind each state is. Source: Ironic, as for life; limits are upstream's defaults.
var States = map[State]StateInfo{
	Enroll:         {Kind: Stable, Deletion: true},
	Manageable:     {Kind: Stable, Deletion: true},
	Available:      {Kind: Stable, Deletion: true},
	Active:         {Kind: Stable},
	Error:          {Kind: Stable, Patch: true},
	Rescue:         {Kind: Stable, Min: 38},
	Verifying:      {Kind: Busy, Target: Manageable, Patch: true},
	Deploying:      {Kind: Busy, Target: Active, Lookup: true},
	DeployWait:     {Kind: Waiting, Target: Active, Limit: 30 * time.Minute, Lookup: true, Abort: 110},
	DeployFailed:   {Kind: Failed, Target: Active, Patch: true},
	DeployHold:     {Kind: Held, Target: Active},
	Cleaning:       {Kind: Busy, Target: Available, Lookup: true},
	CleanWait:      {Kind: Waiting, Target: Available, Limit: 30 * time.Minute, Lookup: true},
	CleanFailed:    {Kind: Failed, Target: Available, Patch: true},
	CleanHold:      {Kind: Held, Target: Available},
	Deleting:       {Kind: Busy, Target: Available},
	Inspecting:     {Kind: Busy, Target: Manageable, Lookup: true, Patch: true},
	InspectFailed:  {Kind: Failed, Target: Manageable, Patch: true},
	InspectWait:    {Kind: Waiting, Target: Manageable, Limit: 30 * time.Minute, Lookup: true, Patch: true, Abort: 41},
	Adopting:       {Kind: Busy, Target: Active},
	AdoptFailed:    {Kind: Failed, Target: Active, Deletion: true, Patch: true},
	Rescuing:       {Kind: Busy, Target: Rescue, Lookup: true, Min: 38},
	RescueWait:     {Kind: Waiting, Target: Rescue, Limit: 30 * time.Minute, Lookup: true, Min: 38},
	RescueFailed:   {Kind: Failed, Target: Rescue, Patch: true, Min: 38},
	Unrescuing:     {Kind: Busy, Target: Active, Min: 38},
	UnrescueFailed: {Kind: Failed, Target: Active, Patch: true, Min: 38},
	Servicing:      {Kind: Busy, Target: Active},
	ServiceWait:    {Kind: Waiting, Target: Active, Limit: 30 * time.Minute, Lookup: true},
	ServiceFailed:  {Kind: Failed, Target: Active, Patch: true},
	ServiceHold:    {Kind: Held, Target: Active, Patch: true},
}

// Next is the only reader of the life table: the state that event leads to from s, and whether it does.
func Next(s State, e Event) (State, bool) {
	to, ok := life[s][e]
	return to, ok
}

// Events lists the events that s knows, sorted.
func Events(s State) []Event {
	out := make([]Event, 0, len(life[s]))
	for e := range life[s] {
		out = append(out, e)
	}
	slices.Sort(out)
	return out
}

// Target is the target_provision_state after event e led to state s; want, if not empty, overrides the
// state's default (manual cleaning wants manageable). A state that rests has none, a failed one keeps its
// default, so that a caller sees what was tried.
func Target(s State, want State) State {
	info := States[s]
	if info.Kind == Stable {
		return ""
	}
	if want != "" {
		return want
	}
	return info.Target
}
