package main

import (
	"context"
	"fmt"
	"time"

	"ingot/internal/conductor"
	"ingot/internal/metal"
	"ingot/internal/store"
)

// agentPort is where all agents listen, each at an address of its own.
const agentPort = 19999

// outcome is what was measured.
type outcome struct {
	meet, meetCPU   time.Duration // until all held agents were met
	idleCPU         time.Duration // in the time of options, with all held agents met
	idleAnew        int           // connections made in that time
	flows, flowsCPU time.Duration // from the first flow to the end of the last
	found, ordered  []time.Duration
	next            []time.Duration
	failed          int
}

// bench measures, and prints a table.
func bench(ctx context.Context, o options) error {
	if o.flows >= o.agents || o.flows < 1 || o.rate <= 0 {
		return fmt.Errorf("of %d agents %d flow, %g a second: that measures nothing", o.agents, o.flows, o.rate)
	}
	db, done, err := open(ctx, o)
	if err != nil {
		return err
	}
	defer done()
	m, err := newMachines(o.agents, agentPort)
	if err != nil {
		return err
	}
	defer m.close()
	r := newRecorder()
	go r.run(m.seen) // m.close ends it
	if err := fill(ctx, db, m, o); err != nil {
		return err
	}
	if err := r.until(ctx, listens, o.agents-o.flows, 5*time.Minute); err != nil {
		return err
	}
	c := conductor.Defaults()
	c.Host, c.PollOnly, c.PollInterval, c.AgentPort, c.PollWorkers, c.PollSlowWorkers = driver, true, o.interval, agentPort, 256, 10_000
	worker := conductor.New(db, c, map[string]conductor.Hardware{driver: {Type: metal.HardwareType{Name: driver},
		Part: conductor.Part{Power: m, Boot: m, Media: m}}}, shelf{}, logger(o))
	worker.PushTo(m)
	run, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- worker.Run(run) }()
	defer func() { stop(); <-ended }()
	out, err := measure(ctx, o, db, r)
	if err == nil {
		print(o, out)
	}
	return err
}

// measure watches the conductor at work.
func measure(ctx context.Context, o options, db *store.DB, r *recorder) (out outcome, err error) {
	held := o.agents - o.flows
	began, before := time.Now(), processor()
	if err := r.until(ctx, told, held, 10*time.Minute); err != nil {
		return out, err
	}
	out.meet, out.meetCPU = time.Since(began), processor()-before
	if err := pause(ctx, 2*o.interval); err != nil { // what was met together spreads again
		return out, err
	}
	anew, before := r.count(opened), processor()
	if err := pause(ctx, o.time); err != nil {
		return out, err
	}
	out.idleCPU, out.idleAnew = processor()-before, r.count(opened)-anew

	r.forget()
	began, before = time.Now(), processor()
	for i := range o.flows {
		if err := pause(ctx, time.Until(began.Add(time.Duration(float64(i)/o.rate*float64(time.Second))))); err != nil {
			return out, err
		}
		if err := clean(ctx, db, i); err != nil {
			return out, err
		}
	}
	if out.failed, err = rest(ctx, db, o); err != nil {
		return out, err
	}
	out.flows, out.flowsCPU = time.Since(began), processor()-before
	out.found, out.ordered, out.next = r.latencies()
	return out, nil
}

// rest waits until all flows have ended, and tells how many did not end well.
func rest(ctx context.Context, db *store.DB, o options) (failed int, err error) {
	end := time.Now().Add(10 * time.Minute)
	for {
		live := 0
		failed = 0
		err := db.Read(ctx, func(tx *store.Tx) error {
			for i := range o.flows {
				n, err := tx.Node(nodeUUID(i))
				if err != nil {
					return err
				}
				switch metal.States[n.ProvisionState].Kind {
				case metal.Stable:
				case metal.Failed:
					failed++
				default:
					live++
				}
			}
			return nil
		})
		switch {
		case err != nil || live == 0:
			return failed, err
		case time.Now().After(end):
			return failed, fmt.Errorf("%d of %d flows do not end", live, o.flows)
		}
		if err := pause(ctx, time.Second); err != nil {
			return failed, err
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
