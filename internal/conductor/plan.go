package conductor

import (
	"context"
	"fmt"
	"time"

	"ingot/internal/metal"
	"ingot/internal/store"
)

// class says what may happen to a step's effect when the process dies between the work and the record.
type class string

const (
	repeatable class = "repeatable"   // doing it again changes nothing
	checkable  class = "checkable"    // it looks first, then acts
	atMostOnce class = "at most once" // the try is recorded first; a second entry verifies instead of acting
)

// step is one line of a plan.
type step struct {
	name  string
	class class
	run   func(*runner, context.Context, *Op) (Outcome, error)
	// verify finds out what became of a try that was recorded (at most once). An error means that it did
	// not happen; then a retry may act again.
	verify func(*runner, context.Context, *Op) (Outcome, error)
	undo   func(*runner, context.Context, *Op) error
	limit  time.Duration // from entering the step to its end, waiting included; 0: as limitOf says
	// limitOf is the limit where the operator sets it; 0 from it is no limit.
	limitOf func(*Config) time.Duration
	limitBy func(*Config, *Op) time.Duration // the same, where an operation may have its own
	tries   int                              // how often run may fail; 0: three times
	// late looks for what could explain that the limit has passed: a phrase, "" for none.
	late func(*runner, context.Context, *Op) string
	skip func(*Op) bool
	// outside: the machine works and the conductor watches; the node shows its waiting state meanwhile.
	outside bool
	// firm: once it has begun (Op.Rec.Running) it is not stopped in the middle. An abort waits for its end.
	firm bool
	// anew is the step from which the machine boots once more when the server that offers its boot medium died before the
	// agent called; "": this step needs no medium.
	anew string
	// flow: no step of its own. The composed steps of the operation stand in its place.
	flow bool
}

// within is how long the step may take.
func (s *step) within(c *Config, op *Op) time.Duration {
	switch {
	case s.limitBy != nil:
		return s.limitBy(c, op)
	case s.limitOf != nil:
		return s.limitOf(c)
	}
	return s.limit
}

// until is when the step fails if it was entered now; zero: never.
func (s *step) until(c *Config, op *Op, now time.Time) time.Time {
	if within := s.within(c, op); within > 0 {
		return now.Add(within)
	}
	return time.Time{}
}

// plan is the order of work behind a verb.
type plan struct {
	steps  []step
	done   metal.Event // the node's event at the end, "" for none
	fail   metal.Event // and after a failure
	abort  metal.Event // one more, after a failure that somebody asked for; "" for none
	want   metal.State // the target that is shown on the way; "": the default of the state
	next   metal.Plan  // the plan that follows at once, "" for none
	quiet  bool        // until Op.Rec.Begun who asked waits for the answer: a failure is no last_error
	onFail func(*Op, *metal.Node)
}

// stepsOf is the plan's list for one operation: its own steps, and where it says so the composed ones. The same
// record gives the same list, so a number of a step means the same to whoever resumes.
func (p *plan) stepsOf(op *Op) []step {
	out := make([]step, 0, len(p.steps)+len(op.Rec.Flow))
	for _, s := range p.steps {
		if s.flow {
			out = append(out, op.flowSteps()...)
			continue
		}
		out = append(out, s)
	}
	return out
}

// plans is every plan by its stored name. A change of a plan's steps needs a new metal.Plan.Version.
var plans = map[metal.Plan]*plan{
	metal.PlanVerify:   &verifyPlan,
	metal.PlanClean:    &cleanPlan,
	metal.PlanDeploy:   &deployPlan,
	metal.PlanInspect:  &inspectPlan,
	metal.PlanProbe:    &probePlan,
	metal.PlanAdopt:    &adoptPlan,
	metal.PlanRescue:   &rescuePlan,
	metal.PlanUnrescue: &unrescuePlan,

	metal.PlanCheckRescue: &checkRescuePlan,

	metal.PlanTearDown:  &tearDownPlan,
	metal.PlanManual:    &manualPlan,
	metal.PlanService:   &servicePlan,
	metal.PlanRestore:   &restorePlan,
	metal.PlanPower:     &powerPlan,
	metal.PlanEject:     &ejectPlan,
	metal.PlanValidate:  &validatePlan,
	metal.PlanReadBoot:  &readBootPlan,
	metal.PlanSetBoot:   &setBootPlan,
	metal.PlanBootKinds: &bootKindsPlan,
	metal.PlanBootMode:  &bootModePlan,
	metal.PlanSecure:    &secureBootPlan,
	metal.PlanSecurity:  &securityPlan,

	metal.PlanAttachMedia: &attachMediaPlan,
	metal.PlanDetachMedia: &detachMediaPlan,
	metal.PlanReadMedia:   &readMediaPlan,
	metal.PlanConsole:     &consolePlan,
	metal.PlanReadConsole: &readConsolePlan,
	metal.PlanNMI:         &nmiPlan,
	metal.PlanIndicators:  &indicatorsPlan,
	metal.PlanReadLight:   &readLightPlan,
	metal.PlanSetLight:    &setLightPlan,
	metal.PlanVendor:      &vendorPlan,
	metal.PlanVendorWait:  &vendorWaitPlan,
	metal.PlanVendorList:  &vendorListPlan,
	metal.PlanAttachVIF:   &attachVIFPlan,
	metal.PlanDetachVIF:   &detachVIFPlan,
}

// Outcome is how a step's run ended, when it ended without an error.
type Outcome struct {
	kind  string // "done", "again", "wait", "hold", "back"
	after time.Duration
	event string
	why   string // what is waited for, a phrase
	to    string // the step to go back to

	awaits store.Awaited // of the agent, if that is polled; "": nothing
}

// done ends the step.
var done = Outcome{kind: "done"}

// again runs the step once more, later; why says what is waited for.
func again(after time.Duration, why string, args ...any) Outcome {
	return Outcome{kind: "again", after: after, why: fmt.Sprintf(why, args...)}
}

// waitFor runs the step once more when event happens, or when its limit has passed.
func waitFor(event, why string, args ...any) Outcome {
	return Outcome{kind: "wait", event: event, why: fmt.Sprintf(why, args...)}
}

// hold parks the operation without limit until event happens, and shows the node as held.
func hold(event, why string, args ...any) Outcome {
	return Outcome{kind: "hold", event: event, why: fmt.Sprintf(why, args...)}
}

// backTo enters an earlier step of this name again; why is a sentence for the history.
func backTo(name, why string, args ...any) Outcome {
	return Outcome{kind: "back", to: name, why: fmt.Sprintf(why, args...)}
}

func concat(lists ...[]step) []step {
	var out []step
	for _, l := range lists {
		out = append(out, l...)
	}
	return out
}
