package conductor

import (
	"context"
	"encoding/json"
	"fmt"
	"sort"
	"time"

	"ingot/internal/agentapi"
	"ingot/internal/fault"
	"ingot/internal/metal"
)

// cleanPlan is the order of work behind "provide", and after every tear down: nothing of the last user is
// left when a machine becomes available.
var cleanPlan = plan{
	done: metal.EventDone,
	fail: metal.EventFail,
	steps: unless(notCleaned, concat(bootAgent(cleanCallback), []step{
		{name: "get clean steps", class: repeatable, run: (*runner).getCleanSteps, limit: 10 * time.Minute, tries: 10, skip: noRamdisk, outside: true},
		{name: "run clean steps", class: checkable, run: (*runner).runCleanSteps, limitOf: cleanLimit, tries: 30, skip: noRamdisk, outside: true},
	}, leaveAgent)),
	onFail: func(op *Op, n *metal.Node) {
		n.CleanStep = map[string]any{}
		if op.Rec.CleanRan { // the disks may be half erased: a person should look before it is used
			n.Maintenance, n.Fault, n.MaintenanceReason = true, "clean failure", op.row.Error
		}
	},
}

// unless skips all steps of a list where the condition holds, besides their own.
func unless(cond func(*Op) bool, steps []step) []step {
	for i := range steps {
		own := steps[i].skip
		steps[i].skip = func(op *Op) bool { return cond(op) || own != nil && own(op) }
	}
	return steps
}

// notCleaned: the operator switched automated cleaning off, for this node or for all.
func notCleaned(op *Op) bool { return !op.Rec.Clean }

func (r *runner) getCleanSteps(ctx context.Context, op *Op) (Outcome, error) {
	c, err := r.agent(ctx, op)
	if err != nil {
		return Outcome{}, err
	}
	defer c.Close()
	call, cancel := context.WithTimeout(ctx, time.Minute) // upstream's command_timeout
	defer cancel()
	res, err := c.Run(call, "clean.get_clean_steps", map[string]any{"node": r.nodeFor(op), "ports": portsFor(op)}, true)
	if err != nil {
		return Outcome{}, busyLater(err)
	}
	if res.CommandError != nil {
		return Outcome{}, fault.Wrap(fault.Unavailable, res.CommandError, "the agent cannot list its clean steps: %s", res.CommandError.Error())
	}
	var list agentapi.StepList
	if err := json.Unmarshal(res.CommandResult, &list); err != nil || len(list.CleanSteps) == 0 {
		return Outcome{}, fault.Wrap(fault.Invalid, err, "the agent's list of clean steps cannot be read")
	}
	op.Rec.Steps, op.Rec.Versions, op.Rec.Index = r.automated(list), list.Versions, 0
	if len(op.Rec.Steps) == 0 {
		return Outcome{}, fault.New(fault.Invalid, "the agent offers no enabled clean step: nothing would be erased. "+
			"Enable one, or set automated_clean to false on the node.")
	}
	return done, nil
}

// automated picks the steps that run by themselves: enabled ones, highest priority first; of steps of one
// name that several hardware managers offer the one of highest priority.
func (r *runner) automated(list agentapi.StepList) []agentapi.Step {
	best := map[string]agentapi.Step{}
	for _, steps := range list.CleanSteps {
		for _, s := range steps {
			if p, set := r.c.config.StepPriority[s.Step]; set {
				s.Priority = p
			}
			key := s.Interface + "." + s.Step
			if s.Priority > best[key].Priority {
				best[key] = s
			}
		}
	}
	out := make([]agentapi.Step, 0, len(best))
	for _, s := range best {
		out = append(out, s)
	}
	sort.Slice(out, func(i, j int) bool {
		if out[i].Priority != out[j].Priority {
			return out[i].Priority > out[j].Priority
		}
		return out[i].Interface+out[i].Step < out[j].Interface+out[j].Step
	})
	return out
}

// runCleanSteps walks the agent through its steps; each entry sends or watches one of them.
func (r *runner) runCleanSteps(ctx context.Context, op *Op) (Outcome, error) {
	if op.Rec.Index >= len(op.Rec.Steps) {
		op.Change(func(n *metal.Node) { n.CleanStep = map[string]any{} })
		return done, nil
	}
	s := op.Rec.Steps[op.Rec.Index]
	op.Rec.CleanRan = true
	op.Change(showStep(func(n *metal.Node) *map[string]any { return &n.CleanStep }, s))
	name := s.Interface + "." + s.Step
	res, ended, err := r.command(ctx, op, ordered{name: "clean.execute_clean_step", nth: op.Rec.Index, what: "clean step " + name},
		agentapi.StepParams{Step: s, Node: r.nodeFor(op), Ports: portsFor(op), CleanVersion: op.Rec.Versions})
	switch {
	case err != nil:
		return Outcome{}, err
	case !ended:
		return again(r.c.config.Poll, "clean step %s (%d of %d) to end", name, op.Rec.Index+1, len(op.Rec.Steps)), nil
	}
	r.event(op, "step", "INFO", fmt.Sprintf("Clean step %s is done (%d of %d).", name, op.Rec.Index+1, len(op.Rec.Steps))+outcomeText(res.CommandResult))
	op.row.Attempts = 0 // tries are counted per clean step
	op.Rec.Index++
	return again(0, "the next clean step"), nil
}
