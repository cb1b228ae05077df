package ops

import (
	"slices"

	"ingot/internal/fault"
	"ingot/internal/metal"
)

// knownSteps refuses a step that is mistyped, as far as that can be known without asking the machine: one that is near to a
// step that the driver offers out of band and, where no agent will run, one that the driver does not offer. What an agent
// offers is known when it has called.
func (rq *request) knownSteps(hw metal.HardwareType) error {
	for _, list := range []struct {
		kind  metal.StepKind
		steps []metal.Step
	}{{metal.CleanSteps, rq.CleanSteps}, {metal.DeploySteps, rq.DeploySteps}, {metal.ServiceSteps, rq.ServiceSteps}} {
		have, known := hw.OutOfBand(rq.node, list.kind)
		if !known {
			continue
		}
		for _, s := range list.steps {
			if s.Flows() || slices.Contains(have, s.Name()) || len(s.Name()) > 255 {
				continue
			}
			if near := metal.NearStep(s.Name(), have); near != "" {
				return fault.New(fault.Invalid, "Invalid %s_steps: the driver of node %s has no step %s; did you mean %s?", list.kind, rq.node.UUID, s.Name(), near)
			}
			if rq.NoRamdisk {
				return fault.New(fault.Invalid, "Invalid %s_steps: the driver of node %s has no step %s, and no agent runs with disable_ramdisk.", list.kind, rq.node.UUID, s.Name())
			}
		}
	}
	return nil
}
