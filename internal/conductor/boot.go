package conductor

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"ingot/internal/agentapi"
	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/store"
)

// bootAgent is how every plan gets its agent: the machine boots the deploy ramdisk from virtual media made
// for this boot alone, or from the network (bootnet.go). Undone in reverse, it leaves the machine off and its drive empty.
// What is to happen while the machine is off, before it boots, is given in off.
func bootAgent(callback func(*Config) time.Duration, off ...step) []step {
	return concat([]step{
		{name: "check boot url", class: repeatable, run: (*runner).checkBootURL, limit: 2 * time.Minute, skip: noRamdisk},
		{name: "bring boot ISO", class: repeatable, run: (*runner).bringISO, undo: (*runner).dropImageUndo, limit: 30 * time.Minute, skip: func(op *Op) bool { return op.Rec.ISO == nil }},
		{name: "power off", class: atMostOnce, run: (*runner).askHardOff, verify: (*runner).seeOff, limit: 5 * time.Minute, skip: noRamdisk},
	}, off, []step{
		{name: "prepare boot", class: repeatable, run: (*runner).prepareBoot, undo: (*runner).forgetBoot, limit: 10 * time.Minute, skip: noRamdisk},
	}, anew("power off", []step{
		{name: "insert boot media", class: checkable, run: (*runner).insertMedia, undo: (*runner).ejectUndo, limit: 10 * time.Minute, skip: noRamdisk},
		{name: "set boot device", class: checkable, run: (*runner).bootFromMedia, undo: (*runner).bootFromDiskUndo, limit: 5 * time.Minute, skip: noRamdisk},
		{name: "power on", class: atMostOnce, run: (*runner).askOn, verify: (*runner).seeOn, undo: (*runner).powerOffUndo, limit: 5 * time.Minute, skip: noRamdisk},
		{name: "wait for agent", class: repeatable, run: (*runner).awaitAgent, undo: (*runner).keepLogs, limitOf: callback, skip: noRamdisk, outside: true, late: (*runner).whyNoAgent},
	}))
}

// leaveAgent is how every plan parts from its agent: the machine is off and its drive empty.
var leaveAgent = []step{
	{name: "stop agent", class: checkable, run: (*runner).stopAgent, limit: 5 * time.Minute, skip: noRamdisk},
	{name: "see power off", class: checkable, run: (*runner).awaitOff, limit: 10 * time.Minute, skip: noRamdisk},
	{name: "eject boot media", class: checkable, run: (*runner).ejectMedia, limit: 5 * time.Minute, skip: noRamdisk},
}

// longestBoot is within what a machine boots that may call back whenever it likes.
const longestBoot = 30 * 24 * time.Hour

// longestCallback is how long a boot ISO may be needed.
func (c *Config) longestCallback() time.Duration {
	limits := []time.Duration{c.DeployCallbackLimit, c.CleanCallbackLimit, c.InspectCallbackLimit, c.ServiceCallbackLimit}
	if slices.Min(limits) <= 0 {
		return longestBoot
	}
	return slices.Max(limits)
}

func deployCallback(c *Config) time.Duration  { return c.DeployCallbackLimit }
func cleanCallback(c *Config) time.Duration   { return c.CleanCallbackLimit }
func inspectCallback(c *Config) time.Duration { return c.InspectCallbackLimit }
func writeLimit(c *Config) time.Duration      { return c.WriteLimit }
func serviceCallback(c *Config) time.Duration { return c.ServiceCallbackLimit }

// noRamdisk: this node's deploy interface boots nothing.
func noRamdisk(op *Op) bool { return !op.Rec.Ramdisk }

func (r *runner) checkBootURL(ctx context.Context, op *Op) (Outcome, error) {
	if err := r.c.checkPolled(op.Node, r.hw.Part, op.Rec.PollOnly, r.ownISO(op)); err != nil {
		return Outcome{}, err
	}
	if r.hw.ByHand {
		return done, nil
	}
	if r.hw.NetBoot != "" {
		return done, r.checkNetBoot(ctx, op)
	}
	if r.hw.Media == nil || r.hw.Boot == nil {
		return Outcome{}, fault.New(fault.NotSupported, "node %s cannot boot a ramdisk: its boot interface %q, with its management interface %q, has no way to",
			op.Node.UUID, op.Node.Interface("boot"), op.Node.Interface("management"))
	}
	if iso := r.ownISO(op); iso != "" {
		if err := checkOwnISO(iso, op.role()); err != nil {
			return Outcome{}, err
		}
		return done, r.planISO(ctx, op)
	}
	return done, r.c.depot.Reachable(ctx, op.Node, op.role())
}

// askHardOff asks for off, whatever the caller's power request was.
func (r *runner) askHardOff(ctx context.Context, op *Op) (Outcome, error) {
	return r.ask(ctx, op, metal.PowerOff)
}

// prepareBoot makes the boot's identity: a new generation and a new token. An earlier boot's token is
// worth nothing from here on.
func (r *runner) prepareBoot(ctx context.Context, op *Op) (Outcome, error) {
	if op.Rec.Pushing {
		return r.pushBoot(ctx, op)
	}
	r.withdraw(ctx, op) // an earlier boot's
	if r.hw.ByHand {
		if left := r.pause(op, "boot"); left > 0 {
			return again(left, "the boot to be prepared"), nil
		}
		r.bootOwnISO(op, "")
		return done, nil
	}
	if r.hw.NetBoot != "" {
		return r.prepareNetBoot(ctx, op)
	}
	if iso := r.ownISO(op); iso != "" {
		if o, err := r.bringISO(ctx, op); err != nil || o != done {
			return o, err
		}
		r.bootOwnISO(op, op.bootISOOf(iso))
		return done, nil
	}
	boot, url := uuid.NewString(), ""
	agent, err := r.c.newAgent(op.Node, boot, op.Rec.PollOnly, true)
	if err != nil {
		return Outcome{}, err
	}
	agent.Role = op.role()
	config, params, err := r.c.bootConfig(op.Node, agent)
	if err != nil {
		return Outcome{}, err
	}
	if err := r.c.depot.Check(config, params); err != nil {
		return Outcome{}, err
	}
	if r.c.pusher == nil {
		if url, err = r.c.depot.BootISO(op.Node.UUID, boot, config.Role, r.bootUntil(op)); err != nil {
			return Outcome{}, err
		}
	}
	if _, err := r.offerAgain(ctx, op); err != nil {
		return Outcome{}, err
	}
	op.bootAs(boot, url, r.c.process)
	op.Rec.Pushing, op.Rec.Pushed = r.c.pusher != nil, r.c.pusher != nil
	op.Also(func(tx *store.Tx, _ *metal.Node) error { return tx.SaveAgent(agent) })
	if op.Rec.Pushing { // the identity is kept first: what is pushed twice is then the same boot
		return again(0, "the boot medium to be pushed to a boot host"), nil
	}
	return done, nil
}

// bootAs notes a new boot: the agent that starts in it has run nothing. by is the process that serves its medium, "" if any
// does.
func (o *Op) bootAs(boot, url, by string) {
	o.Rec.Boot, o.Rec.MediaURL, o.Rec.HeardAt, o.Rec.Sent, o.Rec.BootBy = boot, url, time.Time{}, 0, by
}

func (r *runner) forgetBoot(ctx context.Context, op *Op) error {
	r.withdraw(ctx, op)
	op.Also(func(tx *store.Tx, n *metal.Node) error { return tx.ForgetAgent(n.ID) })
	return nil
}

func (r *runner) insertMedia(ctx context.Context, op *Op) (Outcome, error) {
	if r.hw.Media == nil {
		return done, nil
	}
	in, err := r.hw.Media.Media(ctx, op.Node)
	if err != nil || in == op.Rec.MediaURL {
		return done, err
	}
	return done, r.hw.Media.InsertMedia(ctx, op.Node, op.Rec.MediaURL)
}

func (r *runner) ejectMedia(ctx context.Context, op *Op) (Outcome, error) {
	var err error
	if r.hw.Media != nil {
		var in string
		if in, err = r.hw.Media.Media(ctx, op.Node); err == nil && in != "" {
			err = r.hw.Media.EjectMedia(ctx, op.Node)
		}
	}
	if err == nil {
		r.withdraw(ctx, op)
		r.dropImage(ctx, op)
		op.Also(func(tx *store.Tx, n *metal.Node) error { return tx.ForgetAgent(n.ID) })
	}
	return done, err
}

func (r *runner) ejectUndo(ctx context.Context, op *Op) error {
	_, err := r.ejectMedia(ctx, op)
	return err
}

func (r *runner) bootFromMedia(ctx context.Context, op *Op) (Outcome, error) {
	if r.hw.NetBoot != "" {
		device, err := r.netDevice(ctx, op)
		if err != nil {
			return Outcome{}, err
		}
		return r.bootFrom(ctx, op, metal.BootDevice{Device: device})
	}
	return r.bootFrom(ctx, op, metal.BootDevice{Device: "cdrom"})
}

func (r *runner) bootFromDisk(ctx context.Context, op *Op) (Outcome, error) {
	return r.bootFrom(ctx, op, metal.BootDevice{Device: "disk", Persistent: true})
}

func (r *runner) bootFromDiskUndo(ctx context.Context, op *Op) error {
	_, err := r.bootFromDisk(ctx, op)
	return err
}

func (r *runner) bootFrom(ctx context.Context, op *Op, want metal.BootDevice) (Outcome, error) {
	if r.hw.ByHand || r.hw.Boot == nil { // whoever boots it sees to it
		return done, nil
	}
	is, err := r.hw.Boot.BootDevice(ctx, op.Node)
	if err != nil || is == want {
		return done, err
	}
	return done, r.hw.Boot.SetBootDevice(ctx, op.Node, want)
}

// powerOffUndo switches off and does not wait: a later try looks again.
func (r *runner) powerOffUndo(ctx context.Context, op *Op) error {
	is, err := r.power(ctx, op)
	if err != nil || is == metal.PowerOff {
		return err
	}
	if err := r.hw.Power.SetPower(ctx, op.Node, metal.PowerOff); err != nil {
		return err
	}
	op.Change(func(n *metal.Node) { n.PowerState = metal.PowerOff })
	return nil
}

// awaitAgent is done when the agent of this boot has called.
func (r *runner) awaitAgent(ctx context.Context, op *Op) (Outcome, error) {
	a, err := r.agentRow(ctx, op)
	if err != nil {
		return Outcome{}, err
	}
	if a.LastHeartbeat.IsZero() {
		if err := r.unfit(ctx, op); err != nil {
			return Outcome{}, err
		}
		o := waitFor(metal.WaitAgent, "the agent to call back")
		if op.Rec.PollOnly {
			o = waitFor(metal.WaitAgent, "the agent to answer").asking(store.AwaitAnswer)
		}
		if op.Rec.BootBy != "" && op.Rec.BootBy != r.c.process {
			o.after = strandedInterval // the server that booted the machine may die yet, or be found dead
		}
		return o, nil
	}
	return done, nil
}

// awaitOff waits for the machine to switch itself off, and switches it off when it does not.
func (r *runner) awaitOff(ctx context.Context, op *Op) (Outcome, error) {
	is, err := r.power(ctx, op)
	if err != nil || is == metal.PowerOff {
		return done, err
	}
	if op.Rec.AskedAt.IsZero() {
		op.Rec.AskedAt = time.Now()
	}
	if time.Since(op.Rec.AskedAt) > r.c.config.SoftOffLimit && time.Since(op.Rec.OffAt) > r.c.config.PowerGrace {
		if err := r.hw.Power.SetPower(ctx, op.Node, metal.PowerOff); err != nil {
			return Outcome{}, err
		}
		op.Rec.OffAt = time.Now()
	}
	return again(r.c.config.Poll, "the machine to switch itself off"), nil
}

func networkData(n *metal.Node) (json.RawMessage, error) {
	if len(n.NetworkData) == 0 {
		return nil, nil
	}
	b, err := json.Marshal(n.NetworkData)
	if err != nil {
		return nil, fmt.Errorf("network_data of node %s: %w", n.UUID, err)
	}
	return b, nil
}

func portsFor(op *Op) []agentapi.Port {
	out := make([]agentapi.Port, len(op.Ports))
	for i, p := range op.Ports {
		out[i] = agentapi.Port{UUID: p.UUID, Address: p.Address}
	}
	return out
}
