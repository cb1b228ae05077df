package steps

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"

	"ingot/agent/server"
	"ingot/internal/agentapi"
)

// A step's own work. args are the step's. The result becomes clean_result or deploy_result.
type work func(ctx context.Context, args json.RawMessage, progress func(agentapi.Progress)) (any, error)

// offered are the steps of one kind with what does them.
type offered struct {
	step agentapi.Step
	run  work
}

func (s *Steps) cleanSteps() []offered {
	return []offered{
		{agentapi.Step{Interface: "deploy", Step: "erase_devices_metadata", Priority: 99, Abortable: true}, s.eraseMetadata},
		{agentapi.Step{Interface: "deploy", Step: "erase_devices", Priority: 10, Abortable: true}, s.eraseEverything},
		{agentapi.Step{Interface: "deploy", Step: "erase_devices_express", Abortable: true}, s.eraseExpress},
	}
}

func (s *Steps) deploySteps() []offered {
	return []offered{
		{agentapi.Step{Interface: "deploy", Step: "erase_devices_metadata"}, s.eraseMetadata},
		{agentapi.Step{Interface: "deploy", Step: "write_image"}, s.writeImage},
	}
}

type listParams struct {
	Node agentapi.Node `json:"node"`
}

func (s *Steps) listCleanSteps(_ context.Context, raw json.RawMessage, _ func(agentapi.Progress)) (any, error) {
	list, err := s.list(raw, s.cleanSteps())
	return agentapi.StepList{CleanSteps: list, Versions: versions}, err
}

func (s *Steps) listDeploySteps(_ context.Context, raw json.RawMessage, _ func(agentapi.Progress)) (any, error) {
	list, err := s.list(raw, s.deploySteps())
	return agentapi.StepList{DeploySteps: list, Versions: versions}, err
}

func (s *Steps) list(raw json.RawMessage, all []offered) (map[string][]agentapi.Step, error) {
	var p listParams
	if err := decode(raw, &p); err != nil {
		return nil, err
	}
	s.setNode(p.Node)
	steps := make([]agentapi.Step, len(all))
	for i, o := range all {
		steps[i] = o.step
	}
	return map[string][]agentapi.Step{manager: steps}, nil
}

// executeParams has the step raw, because it is echoed: the conductor compares it with what it sent.
type executeParams struct {
	Step          json.RawMessage   `json:"step"`
	Node          agentapi.Node     `json:"node"`
	CleanVersion  map[string]string `json:"clean_version"`
	DeployVersion map[string]string `json:"deploy_version"`
}

func (s *Steps) executeCleanStep(ctx context.Context, raw json.RawMessage, progress func(agentapi.Progress)) (any, error) {
	var p executeParams
	if err := decode(raw, &p); err != nil {
		return nil, err
	}
	result, err := s.execute(ctx, p, p.CleanVersion, s.cleanSteps(), "CleaningError", progress)
	if err != nil {
		return nil, err
	}
	return map[string]any{"clean_result": result, "clean_step": echo(p.Step)}, nil
}

func (s *Steps) executeDeployStep(ctx context.Context, raw json.RawMessage, progress func(agentapi.Progress)) (any, error) {
	var p executeParams
	if err := decode(raw, &p); err != nil {
		return nil, err
	}
	result, err := s.execute(ctx, p, p.DeployVersion, s.deploySteps(), "DeploymentError", progress)
	if err != nil {
		return nil, err
	}
	return map[string]any{"deploy_result": result, "deploy_step": echo(p.Step)}, nil
}

// maxEcho bounds the arguments that are echoed, bytes: results are listed again and again.
const maxEcho = 64 << 10

// echo is what of a step is in its result: what tells it from others, and its arguments without the
// config drive, which may be large and hold secrets. Conductors compare interface and step. Source: agent
// protocol reference §16.
func echo(raw json.RawMessage) any {
	var whole, args map[string]json.RawMessage
	if json.Unmarshal(raw, &whole) != nil {
		return nil // execute took it apart before
	}
	short := map[string]any{}
	for _, key := range []string{"interface", "step", "priority"} {
		if v, ok := whole[key]; ok {
			short[key] = v
		}
	}
	if json.Unmarshal(whole["args"], &args) == nil && args != nil {
		delete(args, "configdrive")
		size := 0
		for key, v := range args {
			size += len(key) + len(v)
		}
		if size <= maxEcho {
			short["args"] = args
		}
	}
	return short
}

// execute checks the version, finds the step and runs it. An error without a class of its own gets class.
func (s *Steps) execute(ctx context.Context, p executeParams, version map[string]string, all []offered, class string, progress func(agentapi.Progress)) (any, error) {
	if version != nil && !maps.Equal(version, versions) {
		return nil, server.Error("VersionMismatch", "the steps were listed by another agent: it had %v, this one is %v", version, versions)
	}
	var step struct {
		Step string          `json:"step"`
		Args json.RawMessage `json:"args"`
	}
	if err := decode(p.Step, &step); err != nil || step.Step == "" {
		return nil, server.Error("InvalidCommandParamsError", "the step has no name")
	}
	s.setNode(p.Node)
	for _, o := range all {
		if o.step.Step != step.Step {
			continue
		}
		if len(step.Args) == 0 || string(step.Args) == "null" {
			step.Args = json.RawMessage("{}")
		}
		result, err := o.run(ctx, step.Args, progress)
		var typed *agentapi.CommandError
		if err != nil && !errors.As(err, &typed) {
			err = server.Error(class, "step %s: %v", step.Step, err)
		}
		return result, err
	}
	return nil, server.Error(class, "%s", fmt.Sprintf("this agent has no step %q of this kind", step.Step))
}
