package conductor

import (
	"context"
	"fmt"
	"time"

	"ingot/internal/agentapi"
	"ingot/internal/depot"
	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/store"
)

// Pusher puts boot ISOs on boot hosts, from which machines fetch them instead of from this server.
type Pusher interface {
	// Push puts the ISO of one boot on a boot host and gives its address there. Done twice, it is there once.
	Push(ctx context.Context, node, boot string, config agentapi.BootConfig, kernelParams string, until time.Time) (url string, err error)
	// PushNetBoot puts a boot from the network, and the files of it, on a boot host. Done twice, it is there once.
	PushNetBoot(ctx context.Context, b *metal.NetworkBoot) error
	// NetBootSeen is what a machine fetched last of its boot from the network; "" for nothing.
	NetBootSeen(ctx context.Context, node, boot string) (string, error)
	// PushMetadata puts what a node's instance reads on every boot host that serves metadata. It is an error if there are such and
	// none took it.
	PushMetadata(ctx context.Context, node string) error
	// WithdrawMetadata takes off what was made of it before a moment, for good.
	WithdrawMetadata(ctx context.Context, node string, made time.Time) error
	// Withdraw takes the ISO of a boot, or a boot from the network, off every boot host. One that is not there is no error.
	Withdraw(ctx context.Context, node, boot string) error
}

// PushTo has boot ISOs pushed to boot hosts. It is called before Run.
func (c *Conductor) PushTo(p Pusher) { c.pusher = p }

// bootUntil is until when a boot ISO that is made now may be needed.
func (r *runner) bootUntil(op *Op) time.Time {
	longest := r.c.config.longestCallback()
	switch op.role() {
	case agentapi.RoleRescue:
		longest = rescueCallback(&r.c.config, op)
	case agentapi.RoleInstall:
		longest = agentCallback(&r.c.config, op)
	}
	if longest <= 0 {
		longest = longestBoot
	}
	return time.Now().Add(longest + time.Hour)
}

// pushBoot puts the boot ISO of an identity that was kept on a boot host.
func (r *runner) pushBoot(ctx context.Context, op *Op) (Outcome, error) {
	if r.c.pusher == nil { // another conductor began; this one serves its machines itself
		op.Rec.Pushing = false
		return r.prepareBoot(ctx, op)
	}
	if r.hw.NetBoot != "" {
		return r.pushNetBoot(ctx, op)
	}
	a, err := r.agentRow(ctx, op)
	if err != nil {
		return Outcome{}, err
	}
	config, params, err := r.c.bootConfig(op.Node, a)
	if err != nil {
		return Outcome{}, err
	}
	url, err := r.c.pusher.Push(ctx, op.Node.UUID, op.Rec.Boot, config, params, r.bootUntil(op))
	if err != nil {
		return Outcome{}, err
	}
	if a.PollOnly {
		if err := r.c.refuseOwn(ctx, op.Node, "the boot ISO as the boot host offers it", url); err != nil {
			return Outcome{}, err
		}
	}
	op.Rec.MediaURL, op.Rec.Door, op.Rec.BootBy, op.Rec.Pushing = url, config.APIURL, r.c.process, false
	if a.PollOnly {
		op.Rec.BootBy = "" // the boot host has it whole, and no agent will look for a door
	}
	return done, nil
}

// pushNetBoot puts the boot from the network that was kept on a boot host.
func (r *runner) pushNetBoot(ctx context.Context, op *Op) (Outcome, error) {
	var b *metal.NetworkBoot
	err := r.c.db.Read(ctx, func(tx *store.Tx) (err error) {
		b, err = tx.NetworkBootOf(op.Node.ID)
		return err
	})
	if err == nil && (b == nil || b.Generation != op.Rec.Boot) {
		err = fault.New(fault.Conflict, "the boot that was prepared is over: another one began")
	}
	if err == nil {
		err = r.c.pusher.PushNetBoot(ctx, b)
	}
	if err != nil {
		return Outcome{}, err
	}
	op.Rec.Pushing = false
	return done, nil
}

// netSeen is what the machine fetched last, from whoever serves its boot: a boot host has what was pushed, and a server
// with the role netboot has the row, also beside boot hosts. The one that came further tells.
func (r *runner) netSeen(ctx context.Context, op *Op) (string, error) {
	var row store.NetworkBootSeen
	err := r.c.db.Read(ctx, func(tx *store.Tx) (err error) {
		row, err = tx.NetworkBootSeen(op.Rec.Boot)
		return err
	})
	if err != nil || !op.Rec.Pushed || r.c.pusher == nil {
		return row.What, err
	}
	there, err := r.c.pusher.NetBootSeen(ctx, op.Node.UUID, op.Rec.Boot)
	if progress(there) > progress(row.What) {
		return there, err
	}
	if row.What != "" { // what is known says more than that a boot host is silent
		return row.What, nil
	}
	return "", err
}

// progress is how far a boot is whose machine fetched a file last, as a number that grows.
func progress(seen string) int {
	switch seen {
	case "":
		return 0
	case metal.SeenOffer:
		return 1
	case depot.LoaderGrub: // shim has fetched it
		return 3
	case depot.NetScript, depot.NetGrub:
		return 4
	case depot.NetKernel:
		return 5
	case depot.NetInitramfs:
		return 6
	case depot.NetConfig:
		return 7
	}
	return 2 // the first loader
}

// withdrawLimit is how long the end of a boot waits for boot hosts.
const withdrawLimit = 20 * time.Second

// withdraw takes the operation's boot ISO off the boot hosts. A boot host that does not answer removes it when it
// expires; until then it holds a token that is worth nothing.
func (r *runner) withdraw(ctx context.Context, op *Op) {
	if !op.Rec.Pushed {
		return
	}
	op.Rec.Pushed = false
	if r.c.pusher == nil {
		return
	}
	call, cancel := context.WithTimeout(ctx, withdrawLimit)
	defer cancel()
	if err := r.c.pusher.Withdraw(call, op.Node.UUID, op.Rec.Boot); err != nil {
		r.log.Warn("boot ISO not withdrawn", "error", err)
		r.event(op, "step", "INFO", fmt.Sprintf("The boot ISO stays on a boot host until it expires there: %s", sentence(err)))
	}
}
