package conductor

import (
	"context"
	"time"

	"ingot/internal/agentapi"
	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/osdef"
	"ingot/internal/store"
)

// An installation with an OS definition is a deployment whose ramdisk is the Debian one. Between the image, which there need not be,
// and the boot entry stands one step more: the agent runs the scripts and overlays the package. See
// docs/decisions/0070-the-order-of-an-os-installation.md.

// OSInstallConfig is what limits installations with OS definitions.
type OSInstallConfig struct {
	// StartLimit is how long the machine may take until its agent calls. 0 is for ever. Default 5m.
	StartLimit time.Duration
	// Limit is how long all may take that the agent does for it, once it has called. 0 is for ever. Default 2h.
	Limit time.Duration
	// MaxDump is how many bytes the dump of one disk may have, of an export and of an import. 0 is no bound. Default 1 TiB.
	MaxDump int64
	// Silence is how long the agent may not answer while it installs. Default 5m.
	Silence time.Duration
}

func osInstallDefaults() OSInstallConfig {
	return OSInstallConfig{StartLimit: 5 * time.Minute, Limit: 2 * time.Hour, Silence: 5 * time.Minute, MaxDump: 1 << 40}
}

// osRecord is what an operation remembers of the work with an OS definition. That there is one says that its machine boots the
// ramdisk that can do it.
type osRecord struct {
	Image   bool      `json:"image,omitempty"`   // there is one to be written first
	Private bool      `json:"private,omitempty"` // there are private values, of the node or of the definition
	Until   time.Time `json:"until,omitzero"`    // all of it must have ended then
	Agent   string    `json:"told,omitempty"`    // the start of the agent that is told: one that starts anew has forgotten what it ran
	Silent  time.Time `json:"silent,omitzero"`   // since when it does not answer
	Stage   string    `json:"stage,omitempty"`   // that it said last
	Stages  int       `json:"stages,omitempty"`  // how many it named
	Ended   bool      `json:"ended,omitempty"`   // the agent said that its last command failed: nothing of it runs any more
	// RanBefore: a step of a service had begun before the one that runs scripts.
	RanBefore bool `json:"ran_before,omitempty"`

	Self *selfRecord `json:"self,omitempty"` // the machine installs itself, with no agent of ours; nil: it does not
}

// enter begins a step: whichever agent runs then is the one that is told.
func (o *osRecord) enter() {
	if o != nil {
		o.Agent, o.Silent = "", time.Time{}
	}
}

// noImage: nothing is written before the scripts run, or nothing at all.
func noImage(op *Op) bool { return noRamdisk(op) || op.Rec.OS != nil && !op.Rec.OS.Image }

// readInstall is how the node is to be installed, with the definition; nil for an ordinary deployment. An error says what changed
// since the installation was judged.
func (r *runner) readInstall(ctx context.Context, op *Op) (i *store.OSInstall, d *osdef.Record, err error) {
	err = r.c.db.Read(ctx, func(tx *store.Tx) error {
		if i, err = tx.OSInstall(op.Node); err != nil || i == nil || i.DefinitionID == 0 {
			return err
		}
		d, err = tx.OSDefinitionByID(i.DefinitionID)
		return err
	})
	if err != nil || d == nil {
		return i, d, err
	}
	switch {
	case d.Digest != i.Digest:
		return nil, nil, fault.New(fault.Invalid, "the files of the OS definition %s were replaced since this installation was asked for: look at them, and ask again", d.Name)
	case i.Trusted && !d.Trusted():
		return nil, nil, fault.New(fault.Invalid, "the OS definition %s is not trusted any more, and was when this installation was asked for: nothing of it is run", d.Name)
	}
	return i, d, nil
}

// planInstall finds whether the deployment installs with an OS definition or a package, and what would keep it from getting anywhere:
// before the machine is touched.
func (r *runner) planInstall(ctx context.Context, op *Op) error {
	op.Rec.OS = nil
	if !r.hw.Installs {
		return nil
	}
	i, d, err := r.readInstall(ctx, op)
	switch {
	case err != nil || i == nil:
		return err
	case i.Mode == osdef.ModeSelfInstall:
		return r.planSelf(ctx, op, i, d)
	case i.Mode != osdef.ModeInstall || d == nil && i.Package == "":
		return nil
	}
	op.Rec.OS = &osRecord{Image: op.Node.InstanceInfo.Public("image_source") != "" && op.Rec.Ask.OSImport == nil, Private: len(private(i, d)) > 0}
	if err := r.checkInstallBoot(op); err != nil {
		return err
	}
	if from := op.Rec.Ask.OSImport; from != nil {
		if err := r.streamsReach(ctx, op, from.URL); err != nil {
			return err
		}
		if _, err := r.importStreams(ctx, op); err != nil {
			return err
		}
	}
	h, err := r.hiddenValues(ctx, op, i)
	if err != nil {
		return err
	}
	if _, err := osParameters(i, d, h); err != nil {
		return err
	}
	if drive, err := r.wantsDrive(op); err == nil && drive && !op.Rec.OS.Image {
		r.event(op, "step", "INFO", "No config drive is written: that comes with an image, and there is none. The metadata service has what would be on it, and the scripts can read meta_data.json.")
	}
	showMode(op, osdef.ModeInstall)
	return nil
}

// checkInstallBoot says what keeps a node from booting the ramdisk that installs, without asking its machine.
func (r *runner) checkInstallBoot(op *Op) error {
	if r.hw.ByHand {
		return nil
	}
	if r.hw.NetBoot != "" {
		if r.c.netDepot == nil {
			return fault.New(fault.Invalid, "this server boots no machines from the network")
		}
		_, _, err := r.c.netDepot.Ramdisk(agentapi.RoleInstall)
		return untried(err)
	}
	if deployISO(op.Node) != "" {
		return fault.New(fault.Invalid, "node %s has an ISO of its own in driver_info deploy_iso, and what installs with OS definitions is the server's own Debian ramdisk: remove deploy_iso, or use the deploy interface direct", op.Node.UUID)
	}
	config, params, err := r.c.tryConfig(op.Node)
	if err != nil {
		return err
	}
	config.Role = agentapi.RoleInstall
	return untried(r.c.depot.Check(config, params))
}

// private are the private parameters of a node and of the definition that it is installed with, whether they are used or not.
func private(i *store.OSInstall, d *osdef.Record) map[string][]string {
	out := map[string][]string{}
	add := func(c osdef.Classes) {
		for name, v := range c.Private {
			out[name] = append(out[name], v.Expose())
		}
	}
	if d != nil {
		for _, c := range d.Defaults {
			add(c)
		}
	}
	if i != nil {
		add(i.Parameters)
	}
	return out
}

// showMode tells on the node how its machine runs for the first time, or that it runs by itself.
func showMode(op *Op, mode string) {
	op.Change(func(n *metal.Node) {
		if n.InternalInfo == nil {
			n.InternalInfo = map[string]any{}
		}
		n.InternalInfo[metal.ExecutionModeKey] = mode
	})
}

// installed says on the node that its system runs by itself from now on.
func installed(op *Op) {
	if op.Rec.OS == nil {
		op.Change(forgetInstall) // of a deployment before this one
		return
	}
	showMode(op, osdef.ModeRun)
	op.Change(func(n *metal.Node) { delete(n.InternalInfo, metal.DeployProgressKey) })
}

// forgetInstall takes what is shown of an installation off a node.
func forgetInstall(n *metal.Node) {
	delete(n.InternalInfo, metal.ExecutionModeKey)
	delete(n.InternalInfo, metal.DeployProgressKey)
}
