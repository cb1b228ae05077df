package steps

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"ingot/agent/plugin"
	"ingot/agent/server"
	"ingot/internal/agentapi"
)

// A step's own work. args are the step's. The result becomes clean_result, deploy_result or service_result.
type work func(ctx context.Context, args json.RawMessage, progress func(agentapi.Progress)) (any, error)

// offered is a step with what does it.
type offered struct {
	step agentapi.Step
	run  work
}

// hardware is a hardware manager in upstream's sense: the agent itself, or a plugin.
type hardware struct {
	name    string // that its steps are listed under; conductors take any
	version string
	support int
	steps   []offered
}

const (
	// manager is the name that our own steps are listed under, managerVersion the name that our version is.
	manager        = "IngotHardwareManager"
	managerVersion = "ingot_agent"
	ownVersion     = "2"
	// ownSupport is that of a manager for any hardware. Source: agent protocol reference §13.1.
	ownSupport = 1
)

// kinds of steps, with the names that a protocol of three almost equal extensions has for them.
type kind struct {
	name  string // plugin.Clean and so on
	class string // of errors that have none
	own   func(*Steps) []offered
}

var (
	cleaning  = kind{plugin.Clean, "CleaningError", (*Steps).cleanSteps}
	deploying = kind{plugin.Deploy, "DeploymentError", (*Steps).deploySteps}
	servicing = kind{plugin.Service, "ServicingError", (*Steps).serviceSteps}
)

// managers are ourselves and the plugins, best support first. Plugins are asked once, and again when refresh is
// set: what they offer may depend on the node.
func (s *Steps) managers(ctx context.Context, k kind, refresh bool) ([]hardware, map[string]string, error) {
	plugins, err := s.describe(ctx, refresh)
	if err != nil {
		return nil, nil, server.Error("HardwareManagerConfigurationError", "%v", err)
	}
	all := []hardware{{manager, ownVersion, ownSupport, k.own(s)}}
	versions := map[string]string{managerVersion: ownVersion}
	for _, p := range plugins {
		if p.Name == manager || versions[p.Name] != "" {
			return nil, nil, server.Error("HardwareManagerConfigurationError", "plugin %s has a name that is taken", p.Name)
		}
		versions[p.Name] = p.Version
		h := hardware{name: p.Name, version: p.Version, support: p.Support}
		for _, step := range p.Steps[k.name] {
			h.steps = append(h.steps, s.pluginStep(p, k, step))
		}
		all = append(all, h)
	}
	slices.SortStableFunc(all, func(a, b hardware) int {
		return cmp.Or(cmp.Compare(b.support, a.support), cmp.Compare(a.name, b.name))
	})
	return all, versions, nil
}

func (s *Steps) pluginStep(p plugin.Plugin, k kind, step plugin.Step) offered {
	o := offered{step: agentapi.Step{Interface: step.Interface, Step: step.Step, Priority: step.Priority,
		RebootRequested: step.RebootRequested, Abortable: step.Abortable, ArgsInfo: step.ArgsInfo}}
	o.run = func(ctx context.Context, args json.RawMessage, progress func(agentapi.Progress)) (any, error) {
		about, err := s.about()
		if err != nil {
			return nil, err
		}
		folder := s.Plugins
		folder.Hide = hiddenIn(ctx).text
		result, err := folder.Run(ctx, p, k.name, step, args, about, progress)
		if err != nil && !errors.Is(err, plugin.ErrNotHere) {
			return nil, fmt.Errorf("plugin %s: %w", p.Name, err)
		}
		return result, err
	}
	return o
}

// describe asks the plugins what they offer.
func (s *Steps) describe(ctx context.Context, refresh bool) ([]plugin.Plugin, error) {
	if s.Plugins.Path == "" {
		return nil, nil
	}
	s.mu.Lock()
	known, asked := s.plugins, s.asked
	s.mu.Unlock()
	if asked && !refresh {
		return known, nil
	}
	about, err := s.about()
	if err != nil {
		return nil, err
	}
	if known, err = s.Plugins.Describe(ctx, about); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.plugins, s.asked = known, true
	return known, nil
}

// about is what plugins are told.
func (s *Steps) about() (about plugin.About, err error) {
	s.mu.Lock()
	node, ports := s.node, s.ports
	s.mu.Unlock()
	if len(ports) == 0 {
		ports = json.RawMessage("[]")
	}
	if about.Node, err = json.Marshal(node); err != nil {
		return about, err
	}
	about.Ports = ports
	about.Inventory, err = s.Machine.Collect()
	return about, err
}

// merged leaves of steps of one name only the one that is run: of the best support, then of the highest priority,
// then of the first name. Source: agent protocol reference §13.1.
func merged(all []hardware) map[string][]agentapi.Step {
	type from struct {
		manager hardware
		step    agentapi.Step
	}
	best := map[string]from{}
	for _, h := range all {
		for _, o := range h.steps {
			if was, ok := best[o.step.Step]; !ok || beats(h, o.step, was.manager, was.step) {
				best[o.step.Step] = from{h, o.step}
			}
		}
	}
	list := map[string][]agentapi.Step{}
	for _, h := range all {
		for _, o := range h.steps {
			if best[o.step.Step].manager.name == h.name {
				list[h.name] = append(list[h.name], o.step)
			}
		}
	}
	return list
}

func beats(h hardware, a agentapi.Step, other hardware, b agentapi.Step) bool {
	return cmp.Or(cmp.Compare(other.support, h.support), cmp.Compare(b.Priority, a.Priority), cmp.Compare(h.name, other.name)) < 0
}

// candidates are the steps of a name, the one that is run first.
func candidates(all []hardware, name string) []offered {
	type from struct {
		manager hardware
		offered
	}
	var found []from
	for _, h := range all {
		for _, o := range h.steps {
			if o.step.Step == name {
				found = append(found, from{h, o})
			}
		}
	}
	slices.SortStableFunc(found, func(a, b from) int {
		if beats(a.manager, a.step, b.manager, b.step) {
			return -1
		}
		return 1
	})
	steps := make([]offered, len(found))
	for i, f := range found {
		steps[i] = f.offered
	}
	return steps
}

// sameVersions tells whether the conductor listed the steps from managers of these versions. Source: agent
// protocol reference §13.2: null is not checked.
func sameVersions(conductors, ours map[string]string) bool {
	return conductors == nil || maps.Equal(conductors, ours)
}
