package conductor

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"ingot/internal/fault"
	"ingot/internal/metal"
)

// Who runs a composed step.
const (
	byCore   = "core"   // this server: a part of every deployment
	byFlow   = "flow"   // this server: power, hold, wait
	byDriver = "driver" // the node's driver, out of band
	byAgent  = "agent"  // the agent, in band
	byNobody = ""       // not known yet: the agent, which has not called, may offer it
)

// flowStep is one composed step: what is to be done, and who does it.
type flowStep struct {
	metal.Step
	By string `json:"by"`
}

// offers is every step there is for one node and one kind of work.
type offers struct {
	core, driver, agent []metal.Step
	final               bool // the agent has listed its steps, or there will be none
}

// find gives the step that a name means, as it is offered. One that this server or the driver offers hides the
// agent's of the same name.
func (o offers) find(want metal.Step) (flowStep, bool) {
	if want.Flows() {
		return flowStep{Step: flowOffer(want), By: byFlow}, true
	}
	for _, list := range []struct {
		by    string
		steps []metal.Step
	}{{byCore, o.core}, {byDriver, o.driver}, {byAgent, o.agent}} {
		for _, s := range list.steps {
			if s.Name() == want.Name() {
				return flowStep{Step: s, By: list.by}, true
			}
		}
	}
	return flowStep{}, false
}

// flowOffer is a flow step as it is offered.
func flowOffer(s metal.Step) metal.Step {
	out := metal.Step{Interface: s.Interface, Step: s.Step, Priority: s.Priority, Abortable: true}
	if s.Step == metal.StepWait {
		out.ArgsInfo = map[string]metal.ArgInfo{"seconds": {Description: "how long to wait; without it, until the agent calls"}}
	}
	return out
}

// resolve makes a flow step of one that a caller gave: what it is comes from the offer, its arguments from the
// caller. An unknown one is tolerated until all offers are known.
func (o offers) resolve(given metal.Step) (flowStep, error) {
	f, known := o.find(given)
	if !known {
		if o.final {
			return f, fault.New(fault.Invalid, "the step %s is not known: neither the driver nor the agent of this node offers it", given.Name())
		}
		return flowStep{Step: given, By: byNobody}, nil
	}
	f.Args = given.Args
	return f, checkArgs(f.Step)
}

// checkArgs holds a step's arguments against what it takes.
func checkArgs(s metal.Step) error {
	var unknown, missing []string
	for _, name := range slices.Sorted(maps.Keys(s.Args)) {
		if _, ok := s.ArgsInfo[name]; !ok {
			unknown = append(unknown, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.ArgsInfo)) {
		if _, ok := s.Args[name]; !ok && s.ArgsInfo[name].Required {
			missing = append(missing, name)
		}
	}
	switch {
	case len(unknown) > 0:
		takes := "none"
		if len(s.ArgsInfo) > 0 {
			takes = strings.Join(slices.Sorted(maps.Keys(s.ArgsInfo)), ", ")
		}
		return fault.New(fault.Invalid, "the step %s does not take the argument %s; it takes %s", s.Name(), strings.Join(unknown, ", "), takes)
	case len(missing) > 0:
		return fault.New(fault.Invalid, "the step %s needs the argument %s", s.Name(), strings.Join(missing, ", "))
	case s.Flows() && s.Step == metal.StepWait:
		_, err := waitSeconds(s)
		return err
	}
	return nil
}

// inOrder composes a caller's list: manual cleaning and service run it as it stands.
func (o offers) inOrder(given []metal.Step) ([]flowStep, error) {
	out := make([]flowStep, 0, len(given))
	for _, g := range given {
		f, err := o.resolve(g)
		if err != nil {
			return nil, err
		}
		out = append(out, f)
	}
	return out, nil
}

// automatic composes what runs by itself: every step whose priority is not 0, the highest first. Overrides are by
// name; 0 leaves a step out.
func (o offers) automatic(overrides map[string]int) []flowStep {
	byName := map[string]flowStep{}
	for _, list := range []struct {
		by    string
		steps []metal.Step
	}{{byAgent, o.agent}, {byDriver, o.driver}, {byCore, o.core}} { // a later one hides an earlier
		for _, s := range list.steps {
			byName[s.Name()] = flowStep{Step: s, By: list.by}
		}
	}
	out := make([]flowStep, 0, len(byName))
	for name, f := range byName {
		if p, set := overrides[name]; set {
			f.Priority = p
		}
		if f.Priority > 0 {
			out = append(out, f)
		}
	}
	sortFlow(out)
	return out
}

func sortFlow(flow []flowStep) {
	slices.SortFunc(flow, func(a, b flowStep) int { return metal.CompareSteps(a.Step, b.Step) })
}

// deployment composes a deployment: the caller's steps replace those of templates, which replace the driver's and
// the agent's of the same name. Priority 0 takes one out. Then one sort by priority.
func (o offers) deployment(user, templates []metal.Step) ([]flowStep, error) {
	all := map[string]flowStep{}
	for _, f := range o.automatic(nil) {
		all[f.Name()] = f
	}
	for _, source := range []struct {
		name  string
		steps []metal.Step
	}{{"the deploy templates", templates}, {"the request", user}} {
		if twice := duplicate(source.steps); twice != "" {
			return nil, fault.New(fault.Invalid, "the step %s is in %s twice", twice, source.name)
		}
		for _, g := range source.steps {
			if err := coreRules(g); err != nil {
				return nil, err
			}
			if g.Priority == 0 {
				delete(all, g.Name())
				continue
			}
			f, err := o.resolve(g)
			if err != nil {
				return nil, err
			}
			f.Priority = g.Priority
			all[g.Name()] = f
		}
	}
	out := slices.Collect(maps.Values(all))
	sortFlow(out)
	return bootFirst(out, user, templates), nil
}

func duplicate(steps []metal.Step) string {
	seen := map[string]bool{}
	for _, s := range steps {
		if seen[s.Name()] {
			return s.Name()
		}
		seen[s.Name()] = true
	}
	return ""
}

// coreRules are what may not be done to the steps of every deployment.
func coreRules(s metal.Step) error {
	switch {
	case s.Name() == "deploy.deploy" && s.Priority != 0:
		return fault.New(fault.Invalid, "the step deploy.deploy cannot be changed; it can only be left out, with priority 0")
	case s.Name() == installStep.Name():
		return fault.New(fault.Invalid, "the step deploy.install_os cannot be given, changed or left out: it is there where an installation with an OS definition or a package is asked for")
	case s.Name() == "deploy.tear_down_agent" && s.Priority == 0:
		return fault.New(fault.Invalid, "the step deploy.tear_down_agent cannot be left out: the boot media would stay in the machine")
	}
	return nil
}

// bootFirst puts steps that the agent enables by itself behind the boot of the ramdisk, whatever their priority.
// Those of a caller stay where the caller put them, and are refused if that cannot be.
func bootFirst(flow []flowStep, lists ...[]metal.Step) []flowStep {
	boot := slices.IndexFunc(flow, func(f flowStep) bool { return f.By == byCore && f.Step.Step == "deploy" })
	if boot < 0 {
		return flow
	}
	given := map[string]bool{}
	for _, l := range lists {
		for _, s := range l {
			given[s.Name()] = true
		}
	}
	early := func(f flowStep) bool { return f.By == byAgent && !given[f.Name()] }
	var before, late []flowStep
	for _, f := range flow[:boot] {
		if early(f) {
			late = append(late, f)
		} else {
			before = append(before, f)
		}
	}
	return slices.Concat(before, flow[boot:boot+1], late, flow[boot+1:])
}

// place tells, for each step of a flow, whether the agent runs before it and whether the machine is on. up is how
// it begins.
type place struct{ up, off bool }

// places walks the flow and finds what cannot work where it stands.
func places(flow []flowStep, up, direct bool) ([]place, error) {
	out := make([]place, len(flow))
	now := place{up: up}
	for i, f := range flow {
		out[i] = now
		if problem := misplaced(f, now, direct); problem != "" {
			return nil, fault.New(fault.Invalid, "the step %s (%d of %d) cannot work where it stands: %s", f.Name(), i+1, len(flow), problem)
		}
		switch {
		case f.By == byFlow && f.Step.Step == metal.StepPowerOff:
			now.off = true
		case f.By == byFlow && (f.Step.Step == metal.StepPowerOn || f.Step.Step == metal.StepReboot), f.RebootRequested:
			now.off = false
		case f.By == byCore && f.Step.Step == "deploy":
			now = place{up: direct}
		case f.By == byCore && f.Step.Step == "tear_down_agent":
			now.up = false
		}
	}
	return out, nil
}

// misplaced says why a step cannot work at a place, "" if it can.
func misplaced(f flowStep, at place, direct bool) string {
	wait := f.By == byFlow && f.Step.Step == metal.StepWait && f.Args["seconds"] == nil
	inBand := f.By == byAgent || f.By == byNobody || f.RequiresRamdisk
	if f.By == byCore {
		inBand = direct && slices.Contains([]string{"write_image", installStep.Step, "prepare_instance_boot"}, f.Step.Step) || f.Step.OS()
	}
	switch {
	case !wait && !inBand:
		return ""
	case !at.up && wait:
		return "no agent runs then, so there is no call to wait for; give it seconds"
	case !at.up && f.By == byNobody:
		return "the driver does not offer it, and no agent runs then"
	case !at.up:
		return "it needs the agent, which does not run then"
	case at.off:
		return "the machine was switched off before; put power_on between"
	}
	return ""
}

// needsRamdisk tells whether a caller's list needs the agent: some step is not known, or says so.
func needsRamdisk(flow []flowStep) bool {
	return slices.ContainsFunc(flow, func(f flowStep) bool {
		wait := f.By == byFlow && f.Step.Step == metal.StepWait && f.Args["seconds"] == nil
		return f.By == byNobody || f.By == byAgent || f.RequiresRamdisk || wait
	})
}

// maxWait is the longest wait step, seconds.
const maxWait = 24 * 60 * 60

// waitSeconds is the argument of a wait step; 0: until the agent calls.
func waitSeconds(s metal.Step) (int, error) {
	v, given := s.Args["seconds"]
	if !given || v == nil {
		return 0, nil
	}
	n, err := number(v)
	if err != nil || n < 1 || n > maxWait {
		return 0, fault.New(fault.Invalid, "the step %s: seconds must be a whole number from 1 to %d", s.Name(), maxWait)
	}
	return n, nil
}

// number reads a whole number as JSON or a careless client gives it.
func number(v any) (int, error) {
	text := fmt.Sprint(v)
	if f, ok := v.(float64); ok {
		if f != float64(int(f)) {
			return 0, fmt.Errorf("%v is not whole", f)
		}
		text = fmt.Sprint(int(f))
	}
	var n int
	_, err := fmt.Sscanf(strings.TrimSpace(text)+"\n", "%d\n", &n)
	return n, err
}

// labelOf is a composed step's name as a step of the plan.
func labelOf(kind metal.StepKind, i int, f flowStep) string {
	return fmt.Sprintf("%s step %d: %s", cmp.Or(kind, "flow"), i+1, f.Name())
}
