package conductor

import (
	"cmp"
	"context"
	"strings"

	"ingot/internal/agentapi"
	"ingot/internal/depot"
	"ingot/internal/fault"
	"ingot/internal/metal"
)

// checkRescuePlan answers whether a rescue could be done; ops asks it before anything of the node changes. The plan of the
// rescue itself begins with the same check.
var checkRescuePlan = question("check rescue", (*runner).checkRescue)

// checkRescue finds what would keep a rescue from getting anywhere, before the machine is touched: what it says is for whoever
// asked. What a person must mend first is fault.Invalid.
func (r *runner) checkRescue(ctx context.Context, op *Op) (Outcome, error) {
	if len(op.missing) > 0 {
		return Outcome{}, fault.New(fault.Invalid, "This server does not have %s of node %s.", op.missingWords(), op.Node.UUID)
	}
	if op.Node.Maintenance {
		return Outcome{}, fault.New(fault.Invalid, "The rescue operation can't be performed on node %s because it's in maintenance mode.", op.Node.UUID)
	}
	if out, err := r.checkDriverInfo(ctx, op); err != nil {
		return out, err
	}
	if err := r.checkRescueHash(ctx, op); err != nil || !op.Rec.Ramdisk {
		return done, err
	}
	if op.Rec.Ask.Secrets == nil && len(op.Rec.Ask.RescueKeys) == 0 {
		return Outcome{}, fault.New(fault.Invalid, "nobody could log in to the rescued machine: give a password, or SSH keys")
	}
	if _, err := r.checkBootURL(ctx, op); err != nil {
		return Outcome{}, asked(err)
	}
	if err := r.checkRescueBoot(op); err != nil {
		return Outcome{}, err
	}
	if err := r.checkRescuingNetwork(ctx, op); err != nil {
		return Outcome{}, err
	}
	return done, r.planSecureBoot(ctx, op)
}

// checkRescueBoot says what keeps a node from booting the rescue ramdisk, without asking its machine.
func (r *runner) checkRescueBoot(op *Op) error {
	info := op.Node.DriverInfo
	if r.hw.ByHand {
		return nil
	}
	if info.Public("rescue_kernel") != "" || info.Public("rescue_ramdisk") != "" {
		return fault.New(fault.Invalid, "driver_info rescue_kernel and rescue_ramdisk are not built yet: remove them, and the machine boots the server's own rescue ramdisk, or with virtual media the ISO of rescue_iso")
	}
	if r.hw.NetBoot != "" {
		if r.c.netDepot == nil {
			return fault.New(fault.Invalid, "this server boots no machines from the network")
		}
		_, _, err := r.c.netDepot.Ramdisk(agentapi.RoleRescue)
		return untried(err)
	}
	if r.hw.Media == nil || r.hw.Boot == nil {
		return fault.New(fault.Invalid, "node %s cannot boot a rescue ramdisk: its boot interface %q, with its management interface %q, has no way to",
			op.Node.UUID, op.Node.Interface("boot"), op.Node.Interface("management"))
	}
	if iso := info.Public("rescue_iso"); iso != "" {
		return checkOwnISO(iso, agentapi.RoleRescue)
	}
	config, params, err := r.c.tryConfig(op.Node)
	if err != nil {
		return err
	}
	config.Role = agentapi.RoleRescue // its node is in another state yet
	return cmp.Or(depot.CheckKernelParams(params), untried(r.c.depot.Check(config, params)))
}

// checkRescuingNetwork refuses a rescuing network that there is not, or that the configuration refuses.
func (r *runner) checkRescuingNetwork(ctx context.Context, op *Op) error {
	if r.hw.Network == nil {
		return nil
	}
	w, err := r.wiring(ctx, op)
	if err != nil {
		return err
	}
	found, err := r.hw.Network.CheckNetwork(ctx, op.Node, w, metal.RescuingNetwork)
	if err == nil && len(found) > 0 && r.c.config.RefuseSharedRescue {
		return sharedRescue(found)
	}
	return asked(err)
}

func sharedRescue(found []string) error {
	return fault.New(fault.Invalid, "%s The configuration refuses that ([conductor] refuse_shared_rescuing_network).", strings.Join(found, " "))
}

// checkRescueHash tells whether the hash of the password can be had; it is not kept.
func (r *runner) checkRescueHash(ctx context.Context, op *Op) error {
	if op.Rec.Ask.Secrets == nil {
		return nil
	}
	_, err := r.rescueHash(ctx, op)
	return err
}

// validRescue is checkRescue without what belongs to one request.
func (r *runner) validRescue(ctx context.Context, op *Op) error {
	if !r.hw.Rescues {
		return nil
	}
	iso := ""
	if r.hw.NetBoot == "" {
		iso = op.Node.DriverInfo.Public("rescue_iso")
	}
	if err := r.c.checkPolled(op.Node, r.hw.Part, op.Rec.PollOnly, iso); err != nil {
		return err
	}
	if err := r.checkRescueBoot(op); err != nil {
		return err
	}
	return r.checkRescuingNetwork(ctx, op)
}
