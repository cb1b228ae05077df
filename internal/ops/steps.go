package ops

import (
	"ingot/internal/fault"
	"ingot/internal/metal"
)

// checkClean accepts manual cleaning. What the steps are is known to the conductor and the agent, who check them
// before the machine is touched.
func (rq *request) checkClean() error {
	if rq.node.Maintenance {
		return rq.inMaintenance()
	}
	if len(rq.CleanSteps) == 0 {
		return fault.New(fault.Invalid, "clean_steps is required when setting target provision state to clean.")
	}
	rq.ask.Steps, rq.ask.NoRamdisk = rq.CleanSteps, rq.NoRamdisk
	return nil
}

// checkService accepts service. An instance that does not run as it should, because an earlier service failed or
// is held, is booted anew at the end.
func (rq *request) checkService() error {
	n := rq.node
	if n.Maintenance {
		return rq.inMaintenance()
	}
	if len(rq.ServiceSteps) == 0 {
		return fault.New(fault.Invalid, "service_steps is required when setting target provision state to service.")
	}
	rq.ask.Steps, rq.ask.NoRamdisk, rq.ask.Restore = rq.ServiceSteps, rq.NoRamdisk, n.ProvisionState != metal.Active
	if rq.ask.Restore && rq.NoRamdisk {
		return fault.New(fault.Invalid, "disable_ramdisk cannot be used on node %s in state %q: its ramdisk may still run. Abort the earlier service first.", n.UUID, n.ProvisionState)
	}
	return rq.checkOSSteps()
}

// deploySteps adds the steps of the request and of the deploy templates to a deployment.
func (rq *request) deploySteps() (err error) {
	rq.ask.Steps = rq.DeploySteps
	if err := uniqueSteps("deploy_steps", rq.DeploySteps); err != nil {
		return err
	}
	rq.ask.TemplateSteps, err = rq.templateSteps()
	return err
}

func uniqueSteps(where string, steps []metal.Step) error {
	seen := map[string]bool{}
	for _, s := range steps {
		if seen[s.Name()] {
			return fault.New(fault.Invalid, "Invalid %s: the step %s is there twice.", where, s.Name())
		}
		seen[s.Name()] = true
	}
	return nil
}
