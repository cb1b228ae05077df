package conductor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"ingot/internal/agentapi"
	"ingot/internal/fault"
	"ingot/internal/metal"
)

// listLimit is how long an agent may take to list its steps. Source: Ironic, [agent]command_timeout.
const listLimit = time.Minute

// agentSteps asks the agent for its steps of the operation's kind, and which versions of its parts offer them.
func (r *runner) agentSteps(ctx context.Context, op *Op) ([]metal.Step, error) {
	c, err := r.agent(ctx, op)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	call, cancel := context.WithTimeout(ctx, listLimit)
	defer cancel()
	kind := op.kind()
	res, err := c.Run(call, fmt.Sprintf("%s.get_%s_steps", kind, kind), map[string]any{"node": r.nodeFor(op), "ports": portsFor(op)}, true)
	if kind == metal.ServiceSteps && (fault.KindOf(err) == fault.NotFound || fault.KindOf(err) == fault.Invalid) {
		return nil, nil // an agent from before there were service steps
	}
	if err != nil {
		return nil, busyLater(err)
	}
	if res.CommandError != nil {
		return nil, fault.Wrap(fault.Unavailable, res.CommandError, "the agent cannot list its %s steps: %s", kind, res.CommandError.Error())
	}
	var list agentapi.StepList
	if err := json.Unmarshal(res.CommandResult, &list); err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "the agent's list of %s steps cannot be read", kind)
	}
	op.Rec.Versions = list.Versions
	return offered(list), nil
}

// offered is what an agent lists, without its division by manager: of one name that several offer the one of the
// highest priority.
func offered(list agentapi.StepList) []metal.Step {
	best := map[string]metal.Step{}
	for _, managers := range []map[string][]agentapi.Step{list.CleanSteps, list.DeploySteps, list.ServiceSteps} {
		for _, name := range slices.Sorted(maps.Keys(managers)) {
			for _, s := range managers[name] {
				m := metal.Step{Interface: s.Interface, Step: s.Step, Priority: s.Priority, RebootRequested: s.RebootRequested, Abortable: s.Abortable}
				for arg, info := range s.ArgsInfo {
					if m.ArgsInfo == nil {
						m.ArgsInfo = map[string]metal.ArgInfo{}
					}
					m.ArgsInfo[arg] = metal.ArgInfo{Description: info.Description, Required: info.Required}
				}
				if known, ok := best[m.Name()]; !ok || m.Priority > known.Priority {
					best[m.Name()] = m
				}
			}
		}
	}
	out := slices.Collect(maps.Values(best))
	slices.SortFunc(out, metal.CompareSteps)
	return out
}

// inBand has the agent run a composed step; each entry sends the command or looks what became of it.
func inBand(i int) func(*runner, context.Context, *Op) (Outcome, error) {
	return func(r *runner, ctx context.Context, op *Op) (Outcome, error) {
		f, kind := op.Rec.Flow[i], op.kind()
		if f.By != byAgent {
			return Outcome{}, fault.New(fault.Invalid, "the step %s is not known: neither the driver nor the agent of this node offers it", f.Name())
		}
		r.begin(op, i)
		res, ended, err := r.stepCommand(ctx, op, f.Step, fmt.Sprintf("%s step %s", kind, f.Name()), f.Args)
		switch {
		case errors.Is(err, errMismatch):
			return r.mismatch(ctx, op)
		case err != nil:
			return Outcome{}, err
		case !ended:
			return r.toEnd(op, "%s step %s (%d of %d) to end", kind, f.Name(), i+1, len(op.Rec.Flow)), nil
		}
		r.built(ctx, op, f.Step, res)
		r.certify(ctx, op, f.Step, res.CommandResult)
		r.keepVariables(op, f.Step, res.CommandResult)
		r.event(op, "step", "INFO", fmt.Sprintf("%s step %s is done (%d of %d).", capital(string(kind)), f.Name(), i+1, len(op.Rec.Flow))+outcomeText(res.CommandResult, func(said string) string { return r.scrubbed(ctx, op, said) }))
		return done, nil
	}
}

// stepCommand is the nth execute_…_step since the agent started. What ended is counted, so the next is another.
func (r *runner) stepCommand(ctx context.Context, op *Op, s metal.Step, what string, args map[string]any) (agentapi.Result, bool, error) {
	return r.stepCommandOf(ctx, op, s, what, func() (map[string]any, error) { return args, nil })
}

// stepCommandOf is stepCommand with arguments that are made when the command is sent.
func (r *runner) stepCommandOf(ctx context.Context, op *Op, s metal.Step, what string, make func() (map[string]any, error)) (agentapi.Result, bool, error) {
	kind := op.kind()
	name := fmt.Sprintf("%s.execute_%s_step", kind, kind)
	res, ended, err := r.command(ctx, op, ordered{name: name, nth: op.Rec.Sent, what: what}, func() (any, error) {
		args, err := make()
		if err != nil {
			return nil, err
		}
		resolved, err := r.resolveArgs(ctx, op, args)
		if err != nil {
			return nil, err
		}
		p := agentapi.StepParams{Node: r.nodeFor(op), Ports: portsFor(op), Step: agentapi.Step{Interface: s.Interface, Step: s.Step,
			Priority: s.Priority, Abortable: s.Abortable, RebootRequested: s.RebootRequested, Args: resolved, SecretArgs: secretArgs(args)}}
		if err := r.tellVariables(ctx, op, s, &p.Node); err != nil {
			return nil, err
		}
		switch kind {
		case metal.CleanSteps:
			p.CleanVersion = op.Rec.Versions
		case metal.DeploySteps:
			p.DeployVersion = op.Rec.Versions
		case metal.ServiceSteps:
			p.ServiceVersion = op.Rec.Versions
		}
		return p, nil
	})
	if ended || errors.Is(err, errMismatch) {
		op.Rec.Sent++
	}
	return res, ended, err
}

// maxMismatches is how often an agent may say that it is another than it was, in one operation.
const maxMismatches = 5

// mismatch goes on after the agent said that its parts are not those that listed the steps. Automated cleaning
// lists them again and begins anew; a caller's list and a deployment run the current step again. Source: lifecycle
// reference §6.5.
func (r *runner) mismatch(ctx context.Context, op *Op) (Outcome, error) {
	if op.Rec.Mismatches++; op.Rec.Mismatches > maxMismatches {
		return Outcome{}, fault.New(fault.Invalid, "the versions of the agent's parts do not settle: they changed %d times", op.Rec.Mismatches)
	}
	if metal.Plan(op.row.Plan) == metal.PlanClean {
		return backTo(getSteps(metal.CleanSteps), "The versions of the agent's parts have changed: its steps are listed again, and cleaning begins anew."), nil
	}
	if _, err := r.agentSteps(ctx, op); err != nil {
		return Outcome{}, err
	}
	r.event(op, "step", "INFO", "The versions of the agent's parts have changed: the step is run again.")
	return again(0, "the step to be run again"), nil
}

// getSteps is the name of the step that asks the agent.
func getSteps(kind metal.StepKind) string { return fmt.Sprintf("get %s steps", kind) }

func capital(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}
