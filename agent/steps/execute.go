package steps

import (
	"context"
	"encoding/json"
	"errors"

	"ingot/agent/plugin"
	"ingot/agent/server"
	"ingot/internal/agentapi"
)

func (s *Steps) cleanSteps() []offered {
	return append([]offered{
		{agentapi.Step{Interface: "deploy", Step: "erase_devices_metadata", Priority: 99, Abortable: true}, s.eraseMetadata},
		{agentapi.Step{Interface: "deploy", Step: "erase_devices", Priority: 10, Abortable: true, ArgsInfo: verifyInfo}, s.eraseEverything},
		{agentapi.Step{Interface: "deploy", Step: "erase_devices_express", Abortable: true}, s.eraseExpress},
		{agentapi.Step{Interface: "deploy", Step: "erase_pstore", Abortable: true}, s.erasePstore},
		{agentapi.Step{Interface: "deploy", Step: "clean_uefi_nvram", Abortable: true, ArgsInfo: patternsInfo}, s.cleanNVRAM},
		{agentapi.Step{Interface: "deploy", Step: "clean_uefi_variables", Priority: 5, Abortable: true}, s.cleanVariables},
	}, s.raidSteps(s.applied())...)
}

func (s *Steps) deploySteps() []offered {
	steps := []offered{
		{agentapi.Step{Interface: "deploy", Step: "erase_devices_metadata"}, s.eraseMetadata},
		{agentapi.Step{Interface: "deploy", Step: "clean_uefi_nvram", ArgsInfo: patternsInfo}, s.cleanNVRAM},
		{agentapi.Step{Interface: "deploy", Step: "write_image", ArgsInfo: imageInfo}, s.writeImage},
	}
	if s.RAID.Tool != nil {
		steps = append(steps, s.applied())
	}
	return steps
}

func (s *Steps) serviceSteps() []offered {
	return append([]offered{
		{agentapi.Step{Interface: "deploy", Step: "write_image", ArgsInfo: imageInfo}, s.writeImage},
	}, s.raidSteps(s.applied())...)
}

type listParams struct {
	Node  agentapi.Node   `json:"node"`
	Ports json.RawMessage `json:"ports"`
}

func (s *Steps) listCleanSteps(ctx context.Context, raw json.RawMessage, _ func(agentapi.Progress)) (any, error) {
	list, versions, err := s.list(ctx, raw, cleaning)
	return agentapi.StepList{CleanSteps: list, Versions: versions}, err
}

func (s *Steps) listDeploySteps(ctx context.Context, raw json.RawMessage, _ func(agentapi.Progress)) (any, error) {
	list, versions, err := s.list(ctx, raw, deploying)
	return agentapi.StepList{DeploySteps: list, Versions: versions}, err
}

func (s *Steps) listServiceSteps(ctx context.Context, raw json.RawMessage, _ func(agentapi.Progress)) (any, error) {
	list, versions, err := s.list(ctx, raw, servicing)
	return agentapi.StepList{ServiceSteps: list, Versions: versions}, err
}

func (s *Steps) list(ctx context.Context, raw json.RawMessage, k kind) (map[string][]agentapi.Step, map[string]string, error) {
	var p listParams
	if err := decode(raw, &p); err != nil {
		return nil, nil, err
	}
	s.setNode(p.Node, p.Ports)
	all, versions, err := s.managers(ctx, k, true)
	if err != nil {
		return nil, nil, err
	}
	return merged(all), versions, nil
}

// executeParams has the step raw, because it is echoed: the conductor compares it with what it sent.
type executeParams struct {
	Step           json.RawMessage   `json:"step"`
	Node           agentapi.Node     `json:"node"`
	Ports          json.RawMessage   `json:"ports"`
	CleanVersion   map[string]string `json:"clean_version"`
	DeployVersion  map[string]string `json:"deploy_version"`
	ServiceVersion map[string]string `json:"service_version"`
}

func (s *Steps) executeCleanStep(ctx context.Context, raw json.RawMessage, progress func(agentapi.Progress)) (any, error) {
	return s.executed(ctx, raw, cleaning, progress)
}

func (s *Steps) executeDeployStep(ctx context.Context, raw json.RawMessage, progress func(agentapi.Progress)) (any, error) {
	return s.executed(ctx, raw, deploying, progress)
}

func (s *Steps) executeServiceStep(ctx context.Context, raw json.RawMessage, progress func(agentapi.Progress)) (any, error) {
	return s.executed(ctx, raw, servicing, progress)
}

// executed runs a step and gives the result under the names of its kind.
func (s *Steps) executed(ctx context.Context, raw json.RawMessage, k kind, progress func(agentapi.Progress)) (any, error) {
	var p executeParams
	if err := decode(raw, &p); err != nil {
		return nil, err
	}
	version := map[string]map[string]string{plugin.Clean: p.CleanVersion, plugin.Deploy: p.DeployVersion, plugin.Service: p.ServiceVersion}[k.name]
	result, err := s.execute(ctx, p, version, k, progress)
	if err != nil {
		return nil, err
	}
	return map[string]any{k.name + "_result": result, k.name + "_step": echo(p.Step)}, nil
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
		var private []string
		if raw, ok := whole["ingot_secret_args"]; ok && json.Unmarshal(raw, &private) != nil {
			return short // not of the form we know: better nothing than a secret
		}
		for _, name := range private {
			delete(args, name)
		}
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

// execute checks the version, finds the step and runs it. An error without a class of its own gets the kind's.
func (s *Steps) execute(ctx context.Context, p executeParams, version map[string]string, k kind, progress func(agentapi.Progress)) (any, error) {
	var step struct {
		Step   string          `json:"step"`
		Args   json.RawMessage `json:"args"`
		Secret []string        `json:"ingot_secret_args"`
	}
	if err := decode(p.Step, &step); err != nil || step.Step == "" {
		return nil, server.Error("InvalidCommandParamsError", "the step has no name")
	}
	s.setNode(p.Node, p.Ports)
	all, versions, err := s.managers(ctx, k, false)
	if err != nil {
		return nil, err
	}
	if !sameVersions(version, versions) {
		return nil, server.Error("VersionMismatch", "the steps were listed by another agent: it had %v, this one has %v", version, versions)
	}
	if len(step.Args) == 0 || string(step.Args) == "null" {
		step.Args = json.RawMessage("{}")
	}
	hide := hiddenOf(step.Args, step.Secret)
	ctx = hiding(ctx, hide)
	for _, o := range candidates(all, step.Step) {
		result, err := o.run(ctx, step.Args, progress)
		if errors.Is(err, plugin.ErrNotHere) {
			continue // the next best manager has a step of this name too, or none
		}
		var typed *agentapi.CommandError
		if err != nil && !errors.As(err, &typed) {
			typed = server.Error(k.class, "step %s: %v", step.Step, err)
		}
		if err != nil {
			masked := *typed
			masked.Details = hide.text(masked.Details)
			return nil, &masked
		}
		return hide.result(result)
	}
	return nil, server.Error(k.class, "this agent has no step %q of this kind", step.Step)
}
