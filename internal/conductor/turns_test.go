package conductor

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"ingot/internal/metal"
	"ingot/internal/secret"
	"ingot/internal/store"
)

// graveyard is hardware whose machines of one driver never answer.
type graveyard struct{ asked chan struct{} }

func (g *graveyard) Power(ctx context.Context, _ *metal.Node) (metal.Power, error) {
	g.asked <- struct{}{}
	<-ctx.Done()
	return "", ctx.Err()
}

func (g *graveyard) SetPower(ctx context.Context, n *metal.Node, _ metal.Power) error {
	_, err := g.Power(ctx, n)
	return err
}

// TestDeadBMCsKeepNobodyWaiting: forty BMCs that never answer, more than there are workers, and one that does. Its
// operation is done while theirs still wait for an answer.
func TestDeadBMCsKeepNobodyWaiting(t *testing.T) {
	const dead = 40
	w := newWorld(t)
	dying := &graveyard{asked: make(chan struct{}, 10*dead)} // each is asked a few times at most before the test ends
	for i := range dead {
		w.write(func(tx *store.Tx) error {
			n := &metal.Node{UUID: fmt.Sprintf("22222222-2222-4222-8222-%012d", i), Driver: "dead", ProvisionState: metal.Active, DriverInfo: secret.NewMap(nil),
				InstanceInfo: secret.NewMap(nil), Interfaces: map[string]string{}}
			if err := tx.CreateNode(n); err != nil {
				return err
			}
			return tx.CreateOperation(&store.Operation{UUID: fmt.Sprintf("dead-%d", i), NodeID: n.ID, Exclusive: true, Verb: "test", Plan: string(metal.PlanPower),
				PlanVersion: metal.PlanPower.Version(), Record: []byte(`{"ask":{"power":"power off"}}`), Driver: "dead"})
		})
	}
	c := w.conductor("c1", nil)
	c.config.Workers, c.config.Patience = dead-8, time.Millisecond
	c.hardware["dead"] = Hardware{Type: metal.HardwareType{Name: "dead"}, Part: Part{Power: dying}}
	c.log = slog.New(slog.DiscardHandler)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	for range c.config.Workers { // as many wait for the dead as there are workers: the living stands behind them
		select {
		case <-dying.asked:
		case err := <-ended:
			t.Fatalf("the conductor ended: %v", err)
		}
	}
	w.ask(metal.PlanPower, "", `{"ask":{"power":"power on"}}`)
	for {
		changed := w.db.Changed()
		var live *store.Operation
		w.write(func(tx *store.Tx) (err error) { live, err = tx.LiveOperation(w.node.ID); return err })
		if live == nil {
			break
		}
		select {
		case <-changed:
		case err := <-ended:
			t.Fatalf("the conductor ended: %v", err)
		}
	}
	if !w.on {
		t.Error("the machine that answers is not on")
	}
	w.write(func(tx *store.Tx) error {
		for i := range dead {
			if o, err := tx.Operation(fmt.Sprintf("dead-%d", i)); err != nil || o.Status != store.Live {
				t.Errorf("dead %d: %+v, %v: nobody answered it", i, o, err)
			}
		}
		return nil
	})
	stop()
	<-ended
}

func TestTurns(t *testing.T) {
	l := newTurns(1, 1, time.Hour)
	leave, ok := l.enter()
	if !ok {
		t.Fatal("an empty lane is not free")
	}
	if _, ok := l.enter(); ok {
		t.Error("a lane was taken twice")
	}
	leave()
	l.patience = 0
	first, _ := l.enter()
	<-l.freed
	second, ok := l.enter()
	if !ok {
		t.Fatal("who is slow still holds the quick lane")
	}
	if len(l.quick) != 1 || len(l.slow) != 1 {
		t.Errorf("quick %d, slow %d", len(l.quick), len(l.slow))
	}
	first()
	second()
	if len(l.quick)+len(l.slow) != 0 {
		t.Errorf("left, and quick %d, slow %d", len(l.quick), len(l.slow))
	}
}
