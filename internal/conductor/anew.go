package conductor

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/store"
)

// sweepStranded is the kind of the row that looks for operations which wait for an agent and whose conductor is gone.
// It is stored: never rename it.
const sweepStranded = "stranded boots"

// strandedInterval is how often is looked for such operations, and at one that another server's boot medium serves.
const strandedInterval = 15 * time.Second

// anew marks the steps between the preparation of a boot and the first call of its agent.
func anew(from string, steps []step) []step {
	for i := range steps {
		steps[i].anew = from
	}
	return steps
}

// stranded says why the machine must boot anew, "" if it need not: the process that booted it is gone, no live server
// serves the medium's address, and the agent has not called. One that has called is reached from here: its work goes on.
func (r *runner) stranded(ctx context.Context, op *Op, s *step) (string, error) {
	by := op.Rec.BootBy
	if s.anew == "" || by == "" || by == r.c.process || op.Rec.PollOnly && op.Rec.Pushed { // the last is served by a boot host and knows no door
		return "", nil
	}
	gone, lost := false, "offered its boot medium"
	err := r.c.db.Read(ctx, func(tx *store.Tx) error {
		a, err := tx.Agent(op.Node)
		if err != nil || a == nil || a.Boot != op.Rec.Boot || !a.LastHeartbeat.IsZero() {
			return err
		}
		if rep, err := tx.Report(op.Node.ID, a.Boot); err != nil || rep != nil {
			return err
		}
		if op.Rec.Pushed {
			lost = "wrote an agents' door on its boot medium that is gone too"
			gone, err = r.c.doorGone(tx, op.Rec.Door)
			return err
		}
		gone, err = r.c.unserved(tx, op.Rec.MediaURL)
		return err
	})
	if err != nil || !gone {
		return "", err
	}
	_, host, _ := strings.Cut(by, "@")
	return fmt.Sprintf("The machine boots anew: server %s, which %s, is gone, and its agent has not called yet.", host, lost), nil
}

// unserved tells whether no live server offers what is at an address. A conductor that does not find itself among the
// servers knows nothing of them.
func (c *Conductor) unserved(tx *store.Tx, url string) (bool, error) {
	all, err := tx.Servers(aliveLimit)
	known := slices.ContainsFunc(all, func(s store.Server) bool { return s.Name == c.config.Host && s.Alive })
	serves := func(s store.Server) bool {
		return s.Alive && s.BootURL != "" && strings.HasPrefix(url, strings.TrimRight(s.BootURL, "/")+"/")
	}
	return known && !slices.ContainsFunc(all, serves), err
}

// doorGone tells whether no live server has the agents' door of that address, and it is not one that is configured.
func (c *Conductor) doorGone(tx *store.Tx, door string) (bool, error) {
	all, err := tx.Servers(aliveLimit)
	known := slices.ContainsFunc(all, func(s store.Server) bool { return s.Name == c.config.Host && s.Alive })
	has := func(s store.Server) bool { return s.Alive && s.AgentURL == door }
	return known && door != c.config.AgentURL && !slices.ContainsFunc(all, has), err
}

// prepareOff prepares a boot in the middle of a plan. The machine is off by then, unless it boots anew.
func (r *runner) prepareOff(ctx context.Context, op *Op) (Outcome, error) {
	is, err := r.power(ctx, op)
	if err != nil {
		return Outcome{}, err
	}
	if is == metal.PowerOff {
		return r.prepareBoot(ctx, op)
	}
	if time.Since(op.Rec.OffAt) > r.c.config.PowerGrace {
		if err := r.hw.Power.SetPower(ctx, op.Node, metal.PowerOff); err != nil {
			return Outcome{}, err
		}
		op.Rec.OffAt = time.Now()
	}
	return again(r.c.config.Poll, "the machine to be off"), nil
}

// offerAgain offers an image file of ours at this server's address if the server that offered it is gone.
func (r *runner) offerAgain(ctx context.Context, op *Op) (bool, error) {
	rec := &op.Rec
	if rec.ImageFile == "" || rec.ImageBy == r.c.process || rec.Image == nil || len(rec.Image.URLs) != 1 {
		return false, nil
	}
	gone := false
	err := r.c.db.Read(ctx, func(tx *store.Tx) (err error) {
		gone, err = r.c.unserved(tx, rec.Image.URLs[0])
		return err
	})
	if err != nil || !gone {
		return false, err
	}
	_, host, _ := strings.Cut(rec.ImageBy, "@")
	url, err := r.c.depot.File(rec.ImageFile, time.Now().Add(r.c.config.WriteLimit+r.c.config.DeployCallbackLimit))
	if err != nil {
		return false, fault.Wrap(fault.KindOf(err), err, "Server %s, which offered the image file, is gone, and this one cannot offer it: %s", host, sentence(err))
	}
	rec.Image.URLs, rec.ImageBy = []string{url}, r.c.process
	r.event(op, "step", "INFO", fmt.Sprintf("Server %s, which offered the image file, is gone: this one offers it.", host))
	return true, nil
}

// wakeStranded makes operations due that wait for an agent and were walked last by a process that is gone, so that
// somebody sees whether the machine must boot anew.
func (c *Conductor) wakeStranded(ctx context.Context, _ *store.Sweep) (bool, error) {
	return false, c.db.Write(ctx, func(tx *store.Tx) error {
		all, err := tx.Conductors(aliveLimit)
		if err != nil {
			return err
		}
		return tx.WakeOrphans(metal.WaitAgent, func(worker string) bool {
			_, host, _ := strings.Cut(worker, "@")
			if host == c.config.Host {
				return worker != c.process // one process has a name at a time
			}
			return !slices.ContainsFunc(all, func(o store.Conductor) bool { return o.Hostname == host && o.Alive })
		})
	})
}
