package conductor

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/store"
	"ingot/internal/store/storetest"
)

// rack is many machines that only have power. A silent one answers when the caller gives up.
type rack struct {
	mu     sync.Mutex
	power  map[string]metal.Power
	silent map[string]bool
	stuck  map[string]bool // obeys nobody
	asked  map[string]int  // power changes
}

func (r *rack) Power(ctx context.Context, n *metal.Node) (metal.Power, error) {
	r.mu.Lock()
	is, silent := r.power[n.Name], r.silent[n.Name]
	r.mu.Unlock()
	if silent {
		<-ctx.Done()
		return "", fault.Wrap(fault.Unavailable, ctx.Err(), "the BMC does not answer")
	}
	return is, nil
}

func (r *rack) SetPower(_ context.Context, n *metal.Node, want metal.Power) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked[n.Name]++
	if !r.stuck[n.Name] {
		r.power[n.Name] = want
	}
	return nil
}

// set changes what a machine is like.
func (r *rack) set(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
}

func newRack() *rack {
	return &rack{power: map[string]metal.Power{}, silent: map[string]bool{}, stuck: map[string]bool{}, asked: map[string]int{}}
}

func (r *rack) conductor(db *store.DB, host string, change ...func(*Config)) *Conductor {
	c := Defaults()
	c.Host, c.Poll, c.Backoff, c.PowerGrace = host, 1, 1, 1
	c.Sweep.PowerInterval, c.Sweep.RecoveryInterval, c.Sweep.PowerLimit = 1, 1, 20*time.Millisecond
	for _, f := range change {
		f(&c)
	}
	return New(db, c, map[string]Hardware{"test": {Type: metal.HardwareType{Name: "test"}, Part: Part{Power: r}}}, nil, slog.New(slog.DiscardHandler))
}

// slices looks once at every node that is not in trouble.
func (r *rack) slices(t *testing.T, c *Conductor) {
	t.Helper()
	for i := range powerSlices {
		if _, err := c.syncPower(t.Context(), &store.Sweep{Kind: sweepPower, Driver: "test", Slice: i}); err != nil {
			t.Fatal(err)
		}
	}
}

// sync is one round: every slice, every row of a node that is due, and the operations they ask for.
func (r *rack) sync(t *testing.T, c *Conductor) {
	t.Helper()
	r.slices(t, c)
	check := &sweeper{c: c, kinds: []string{sweepCheck}}
	for range 3 { // they are due at once again: a few looks are a round
		row, err := check.claim(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if row != nil {
			c.sweep(t.Context(), row)
		}
		op, err := c.claim(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for ; op != nil && err == nil; op, err = c.claim(t.Context()) {
			c.work(t.Context(), op, time.Now())
		}
	}
}

func addTo(t *testing.T, db *store.DB, name string, change func(*metal.Node)) *metal.Node {
	t.Helper()
	n := &metal.Node{UUID: fmt.Sprintf("%08x-0000-4000-8000-000000000000", len(name)*7919+int(name[len(name)-1])), Name: name, Driver: "test", ProvisionState: metal.Manageable}
	change(n)
	if err := db.Write(t.Context(), func(tx *store.Tx) error { return tx.CreateNode(n) }); err != nil {
		t.Fatal(err)
	}
	return n
}

func nodeAt(t *testing.T, db *store.DB, name string) (n *metal.Node) {
	t.Helper()
	if err := db.Read(t.Context(), func(tx *store.Tx) (err error) { n, err = tx.Node(name); return err }); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestPowerSync: what one round makes of a machine that is not as recorded.
func TestPowerSync(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.DB) {
		for _, c := range []struct {
			name   string
			node   metal.Node
			is     metal.Power
			force  bool
			record metal.Power
			asked  int
			error  string
		}{
			{"equal", metal.Node{PowerState: metal.PowerOn, LastError: "deploy: the cause"}, metal.PowerOn, true, metal.PowerOn, 0, "deploy: the cause"},
			{"unknown before", metal.Node{}, metal.PowerOn, true, metal.PowerOn, 0, ""},
			{"brought back", metal.Node{PowerState: metal.PowerOn, LastError: "deploy: the cause"}, metal.PowerOff, true, metal.PowerOn, 1, "deploy: the cause"},
			{"record follows", metal.Node{PowerState: metal.PowerOn}, metal.PowerOff, false, metal.PowerOff, 0, ""},
			{"must not be switched off", metal.Node{PowerState: metal.PowerOff, DisablePowerOff: true}, metal.PowerOn, true, metal.PowerOn, 0, ""},
			{"maintenance", metal.Node{PowerState: metal.PowerOn, Maintenance: true}, metal.PowerOff, true, metal.PowerOn, 0, ""},
			{"enroll", metal.Node{PowerState: metal.PowerOn, ProvisionState: metal.Enroll}, metal.PowerOff, true, metal.PowerOn, 0, ""},
			{"a change under way", metal.Node{PowerState: metal.PowerOn, TargetPowerState: metal.PowerOff}, metal.PowerOff, true, metal.PowerOn, 0, ""},
		} {
			r, db := newRack(), open()
			name := strings.ReplaceAll(c.name, " ", "-")
			addTo(t, db, name, func(n *metal.Node) {
				state := n.ProvisionState
				u, given := n.UUID, c.node
				*n = given
				n.UUID, n.Name, n.Driver = u, name, "test"
				if n.ProvisionState == "" {
					n.ProvisionState = state
				}
			})
			r.power[name] = c.is
			r.sync(t, r.conductor(db, "c1", func(cc *Config) { cc.Sweep.ForcePower = c.force }))
			n := nodeAt(t, db, name)
			if n.PowerState != c.record || r.asked[name] != c.asked || n.LastError != c.error || n.Fault != "" {
				t.Errorf("%s: recorded %q, asked %d times, last_error %q, fault %q", c.name, n.PowerState, r.asked[name], n.LastError, n.Fault)
			}
			if c.record == metal.PowerOn && c.asked == 1 && r.power[name] != metal.PowerOn {
				t.Errorf("%s: the machine is %q", c.name, r.power[name])
			}
			if err := db.Write(t.Context(), func(tx *store.Tx) error { return tx.DeleteNode(n.ID) }); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// TestPowerFailure: a machine that stays silent, and one that does not stay as it should, end in maintenance with
// the fault; when it answers again the maintenance ends. What people read in last_error is not overwritten.
func TestPowerFailure(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(*rack)
		said  string
	}{
		{"silent", func(r *rack) { r.silent["n1"] = true }, "does not answer"},
		{"stuck", func(r *rack) { r.stuck["n1"] = true; r.power["n1"] = metal.PowerOff }, "does not stay"},
	} {
		for _, before := range []string{"", "deploy: the cause"} {
			r, db := newRack(), storetest.SQLite(t)()
			addTo(t, db, "n1", func(n *metal.Node) { n.PowerState, n.LastError = metal.PowerOn, before })
			r.power["n1"] = metal.PowerOn
			k := r.conductor(db, "c1", func(c *Config) { c.Sweep.RecoveryInterval = 0 }) // nobody looks again
			r.set(func() { c.spoil(r) })
			rounds := 0
			for ; nodeAt(t, db, "n1").Fault == "" && rounds < 20; rounds++ {
				r.sync(t, k)
			}
			n := nodeAt(t, db, "n1")
			if !n.Maintenance || n.Fault != powerFailure || !strings.Contains(n.MaintenanceReason, c.said) || rounds < 2 && c.name == "silent" && n.PowerState != "" {
				t.Fatalf("%s: after %d rounds: maintenance %v, fault %q, reason %q, power %q", c.name, rounds, n.Maintenance, n.Fault, n.MaintenanceReason, n.PowerState)
			}
			if before != "" && n.LastError != before || before == "" && n.LastError != n.MaintenanceReason {
				t.Errorf("%s: last_error %q", c.name, n.LastError)
			}
			r.set(func() { r.silent, r.stuck = map[string]bool{}, map[string]bool{} })
			k = r.conductor(db, "c1") // now somebody does
			for range 3 {
				r.sync(t, k)
			}
			if n = nodeAt(t, db, "n1"); n.Maintenance || n.Fault != "" || n.LastError != before || n.PowerState == "" {
				t.Errorf("%s: back again: maintenance %v, fault %q, last_error %q, power %q", c.name, n.Maintenance, n.Fault, n.LastError, n.PowerState)
			}
		}
	}
}

// TestMaintenanceOfPeopleStays: what an operator set, the power sync does not touch, and its row goes.
func TestMaintenanceOfPeopleStays(t *testing.T) {
	r, db := newRack(), storetest.SQLite(t)()
	n := addTo(t, db, "n1", func(n *metal.Node) { n.PowerState = metal.PowerOn })
	r.silent["n1"] = true
	k := r.conductor(db, "c1")
	r.slices(t, k)
	err := db.Write(t.Context(), func(tx *store.Tx) error {
		got, err := tx.NodeByID(n.ID)
		if err != nil {
			return err
		}
		got.Maintenance, got.MaintenanceReason = true, "fan broken"
		return tx.SaveNode(got)
	})
	if err != nil {
		t.Fatal(err)
	}
	for range 8 {
		r.sync(t, k)
	}
	if got := nodeAt(t, db, "n1"); !got.Maintenance || got.MaintenanceReason != "fan broken" || got.Fault != "" {
		t.Errorf("maintenance %v, %q, fault %q", got.Maintenance, got.MaintenanceReason, got.Fault)
	}
	if err := db.Read(t.Context(), func(tx *store.Tx) error {
		row, err := tx.SweepOf(n.ID, sweepCheck)
		if row != nil {
			t.Errorf("it still has a row: %+v", row)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

// TestNoSyncDuringAnOperation: what was seen before an operation ended is not recorded after it.
func TestNoSyncDuringAnOperation(t *testing.T) {
	r, db := newRack(), storetest.SQLite(t)()
	n := addTo(t, db, "n1", func(n *metal.Node) { n.PowerState = metal.PowerOn })
	k := r.conductor(db, "c1", func(c *Config) { c.Sweep.ForcePower = false })
	var seen time.Time
	write := func(f func(*store.Tx) error) {
		t.Helper()
		if err := db.Write(t.Context(), f); err != nil {
			t.Fatal(err)
		}
	}
	write(func(tx *store.Tx) (err error) { seen, err = tx.Now(); return err })
	write(func(tx *store.Tx) error {
		return tx.CreateOperation(&store.Operation{UUID: "op", NodeID: n.ID, Exclusive: true, Plan: "test", Driver: "other"})
	})
	for _, ended := range []bool{false, true} {
		if ended {
			write(func(tx *store.Tx) error { return tx.Supersede(n.ID, "over") })
		}
		if err := k.settle(t.Context(), n, nil, seen, metal.PowerOff, nil); err != nil {
			t.Fatal(err)
		}
		if got := nodeAt(t, db, "n1"); got.PowerState != metal.PowerOn {
			t.Errorf("ended %v: recorded %q", ended, got.PowerState)
		}
	}
}

// TestTrapOneDeadBMCBlocksAWorker: with fifty BMCs that never answer, another machine's power is synced and its operation
// goes on. Two conductors share the work.
func TestTrapOneDeadBMCBlocksAWorker(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.DB) {
		r, db := newRack(), open()
		for i := range 51 {
			name := fmt.Sprintf("n%02d", i)
			addTo(t, db, name, func(n *metal.Node) {
				n.UUID, n.PowerState = fmt.Sprintf("%08d-0000-4000-8000-000000000000", i), metal.PowerOn
			})
			r.power[name], r.silent[name] = metal.PowerOff, i < 50
		}
		for i := range 20 { // some of the dead have operations under way besides
			n := nodeAt(t, db, fmt.Sprintf("n%02d", i))
			powerOperation(t, db, n, "dead-"+n.Name)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		defer running.Wait()
		defer cancel()
		for _, host := range []string{"c1", "c2"} {
			c := r.conductor(open(), host, func(c *Config) {
				c.Sweep.PowerInterval, c.Sweep.PowerLimit, c.Sweep.PowerPatience, c.Sweep.PowerWorkers, c.Sweep.ForcePower = 10*time.Millisecond, time.Hour, time.Millisecond, 2, false
			})
			running.Go(func() {
				if err := c.Run(ctx); err != nil && ctx.Err() == nil {
					t.Error(err)
				}
			})
		}
		until(t, db, "the live machine to be synced", func(tx *store.Tx) (bool, error) {
			n, err := tx.Node("n50")
			return err == nil && n.PowerState == metal.PowerOff, err
		})
		powerOperation(t, db, nodeAt(t, db, "n50"), "live")
		until(t, db, "the live machine's operation to end", func(tx *store.Tx) (bool, error) {
			o, err := tx.Operation("live")
			return err == nil && o.Status == store.Done, err
		})
	})
}

func powerOperation(t *testing.T, db *store.DB, n *metal.Node, id string) {
	t.Helper()
	err := db.Write(t.Context(), func(tx *store.Tx) error {
		return tx.CreateOperation(&store.Operation{UUID: id, NodeID: n.ID, Exclusive: true, Verb: "power on", Plan: string(metal.PlanPower),
			PlanVersion: metal.PlanPower.Version(), Record: []byte(`{"ask": {"power": "power on"}}`), Driver: "test"})
	})
	if err != nil {
		t.Fatal(err)
	}
}

// until waits for something in the database, whoever changes it.
func until(t *testing.T, db *store.DB, what string, is func(*store.Tx) (bool, error)) {
	t.Helper()
	limit := time.After(time.Minute)
	for {
		changed := db.Changed()
		var ok bool
		if err := db.Read(t.Context(), func(tx *store.Tx) (err error) { ok, err = is(tx); return err }); err != nil {
			t.Fatal(err)
		}
		if ok {
			return
		}
		select {
		case <-changed:
		case <-time.After(50 * time.Millisecond): // another server's change
		case <-limit:
			t.Fatal("no end of waiting for " + what)
		}
	}
}

// TestHousekeeping: old events, silent conductors and answered requests go, and no more than that.
func TestHousekeeping(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.DB) {
		r, db := newRack(), open()
		n := addTo(t, db, "n1", func(*metal.Node) {})
		err := db.Write(t.Context(), func(tx *store.Tx) error {
			for i := range 30 {
				if err := tx.AppendEvent(n.ID, metal.HistoryEvent{Kind: "step", Who: "c1", Why: fmt.Sprint(i)}); err != nil {
					return err
				}
			}
			return tx.SaveConductor("gone", "", nil)
		})
		if err != nil {
			t.Fatal(err)
		}
		k := r.conductor(db, "c1", func(c *Config) {
			c.Sweep.HistoryEntries, c.Sweep.HistoryBatch, c.Sweep.ConductorTimeout, c.Sweep.HistoryDays = 10, 15, -time.Minute, -1 // what happened now is old
		})
		events := func() (out []metal.HistoryEvent) {
			if err := db.Read(t.Context(), func(tx *store.Tx) (err error) { out, err = tx.Events(n, store.Page{Limit: 100}); return err }); err != nil {
				t.Fatal(err)
			}
			return out
		}
		for _, left := range []int{15, 10, 10} {
			row := &store.Sweep{Kind: sweepHistory}
			if _, err := k.purgeHistory(t.Context(), row); err != nil {
				t.Fatal(err)
			}
			if got := events(); len(got) != left || got[len(got)-1].Why != "29" {
				t.Errorf("%d events are left, want %d", len(got), left)
			}
			if soon := !row.DueAt.IsZero(); soon != (left == 15) {
				t.Errorf("with %d left it comes back soon: %v", left, soon)
			}
		}
		if _, err := k.forgetConductors(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		if err := db.Read(t.Context(), func(tx *store.Tx) error {
			all, err := tx.Conductors(time.Hour)
			if len(all) != 0 {
				t.Errorf("conductors: %+v", all)
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
	})
}
