package store

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"ingot/internal/metal"
)

func slotted(o *Operation) { o.Slot, o.Plan = metal.SlotDeploy, "deploy" }

func lined(o *Operation) { o.InLine(metal.SlotDeploy, time.Now()) }

func use(t testing.TB, db *DB) SlotUse {
	t.Helper()
	return read(t, db, func(tx *Tx) (SlotUse, error) { return tx.SlotUse(metal.SlotDeploy) })
}

// TestTrapLimitsAreCheckThenAct: three servers accept at once, each in several transactions at a time. As many as may are accepted, and
// whoever looks meanwhile never sees more.
func TestTrapLimitsAreCheckThenAct(t *testing.T) { each(t, testSlotsAreNeverOverdrawn) }

func testSlotsAreNeverOverdrawn(t *testing.T, open opener) {
	const limit, asked = 12, 48
	servers := []*DB{open(t), open(t), open(t)}
	var nodes []*metal.Node
	for i := range asked {
		nodes = append(nodes, addNode(t, servers[0], i+1))
	}
	over := make(chan struct{})
	var looking, asking sync.WaitGroup
	looking.Go(func() {
		for {
			if u := use(t, servers[1]); u.Held > limit {
				t.Errorf("%d slots are held", u.Held)
			}
			select {
			case <-over:
				return
			default:
			}
		}
	})
	var accepted, refused sync.Map
	for i, n := range nodes {
		asking.Go(func() {
			err := servers[i%3].Write(t.Context(), func(tx *Tx) error {
				if _, err := tx.NodeByID(n.ID); err != nil {
					return err
				}
				u, err := tx.HoldSlots(metal.SlotDeploy)
				if err != nil || u.Full(limit) {
					refused.Store(i, true)
					return err
				}
				accepted.Store(i, true)
				return tx.CreateOperation(&Operation{UUID: id(i), NodeID: n.ID, Exclusive: true, Driver: "fake", Slot: metal.SlotDeploy})
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	asking.Wait()
	close(over)
	looking.Wait()
	count := func(m *sync.Map) (n int) {
		m.Range(func(any, any) bool { n++; return true })
		return n
	}
	if a, r := count(&accepted), count(&refused); a != limit || r != asked-limit || use(t, servers[2]).Held != limit {
		t.Errorf("%d accepted, %d refused, %d held", a, r, use(t, servers[2]).Held)
	}
}

// TestASlotEndsWithItsOperation: whichever way the operation ends, its slot is free at once.
func TestASlotEndsWithItsOperation(t *testing.T) { each(t, testASlotEndsWithItsOperation) }

func testASlotEndsWithItsOperation(t *testing.T, open opener) {
	db := open(t)
	for i, end := range []func(tx *Tx, o *Operation, n *metal.Node) error{
		func(tx *Tx, o *Operation, _ *metal.Node) error { o.Status = Done; return tx.SaveOperation(o) },
		func(tx *Tx, o *Operation, _ *metal.Node) error { o.Status = Failed; return tx.SaveOperation(o) },
		func(tx *Tx, _ *Operation, n *metal.Node) error { return tx.Supersede(n.ID, "somebody else") },
		func(tx *Tx, _ *Operation, n *metal.Node) error { return tx.DeleteNode(n.ID) },
	} {
		n := addNode(t, db, i+1)
		o := ask(t, db, n, i+1, slotted)
		if got := use(t, db); got != (SlotUse{Held: 1}) {
			t.Fatalf("%d: begun: %v", i, got)
		}
		write(t, db, func(tx *Tx) error { return end(tx, o, n) })
		if got := use(t, db); got != (SlotUse{}) {
			t.Errorf("%d: it ended, and %v", i, got)
		}
	}
}

// TestTheLineGoesInItsOrder: free slots go to those that stand longest, as many as there are, and to none that is to be stopped.
func TestTheLineGoesInItsOrder(t *testing.T) { each(t, testTheLineGoesInItsOrder) }

func testTheLineGoesInItsOrder(t *testing.T, open opener) {
	db := open(t)
	runs := ask(t, db, addNode(t, db, 1), 1, slotted)
	for i := range 4 {
		ask(t, db, addNode(t, db, i+2), i+2, lined)
	}
	grant := func(limit int) (n int) {
		write(t, db, func(tx *Tx) (err error) { n, err = tx.GrantSlots(metal.SlotDeploy, limit); return err })
		return n
	}
	if o := claim(t, db, "c1", lease); o == nil || o.ID != runs.ID {
		t.Fatalf("claimed %v, the one that has a slot is due", o)
	}
	if o := claim(t, db, "c1", lease); o != nil {
		t.Fatalf("operation %s in line was claimed", o.UUID)
	}
	if n := grant(1); n != 0 {
		t.Errorf("%d got a slot that there is not", n)
	}
	second := stored(t, db, id(2))
	write(t, db, func(tx *Tx) error { return tx.AskAbort(second.NodeID, "somebody") })
	if n := grant(3); n != 2 {
		t.Errorf("%d got a slot, two are free", n)
	}
	for i, queued := range []bool{false, true, false, false, true} {
		if o := stored(t, db, id(i+1)); o.Queued != queued {
			t.Errorf("operation %d: in line: %v", i+1, o.Queued)
		}
	}
	ahead := read(t, db, func(tx *Tx) (int, error) { return tx.AheadInLine(stored(t, db, id(5))) })
	if got := use(t, db); got != (SlotUse{Held: 3, InLine: 2}) || ahead != 1 {
		t.Errorf("%v, %d ahead of the last", got, ahead)
	}
	var claimed []string
	for o := claim(t, db, "c1", lease); o != nil; o = claim(t, db, "c1", lease) {
		claimed = append(claimed, o.UUID)
	}
	if len(claimed) != 3 { // with the one that is to be stopped
		t.Errorf("claimed %v", claimed)
	}
}

// TestWhoHoldsTheSlotsWaitsForNobody: while somebody takes an operation out of the line, to take a slot himself next, slots are
// given to the others. If that waited for him, each would wait for the other.
func TestWhoHoldsTheSlotsWaitsForNobody(t *testing.T) {
	db := postgres(t)(t)
	leaves, stays := addNode(t, db, 1), addNode(t, db, 2)
	ask(t, db, leaves, 1, lined)
	ask(t, db, stays, 2, lined)
	write(t, db, func(tx *Tx) error {
		if err := tx.Supersede(leaves.ID, "it is torn down"); err != nil {
			return err
		}
		granted := 0
		write(t, db, func(other *Tx) (err error) { granted, err = other.GrantSlots(metal.SlotDeploy, 1); return err })
		if granted != 1 {
			t.Errorf("%d got a slot", granted)
		}
		u, err := tx.HoldSlots(metal.SlotDeploy)
		if u != (SlotUse{Held: 1}) {
			t.Errorf("%+v", u)
		}
		return err
	})
	if o := stored(t, db, id(2)); o.Queued {
		t.Error("it has no slot")
	}
}

// TestSlotsAreFoundByTheirIndex: to count them the live operations are not looked through.
func TestSlotsAreFoundByTheirIndex(t *testing.T) {
	db := openAt(t, t.TempDir())
	for _, query := range []string{"SELECT COUNT(*) FROM operations WHERE status = 'live' AND slot <> '' AND queued = 0 AND slot = 'deploy'",
		"SELECT 1 FROM operations WHERE status = 'live' AND slot <> '' AND queued = 1",
		"SELECT id FROM operations WHERE status = 'live' AND slot <> '' AND queued = 1 AND slot = 'deploy' AND abort = '' ORDER BY id LIMIT 5"} {
		var plan []string
		err := db.Read(t.Context(), func(tx *Tx) error {
			rows, err := tx.rows("EXPLAIN QUERY PLAN " + query)
			if err != nil {
				return err
			}
			defer rows.Close()
			for rows.Next() {
				var line string
				if err := rows.Scan(new(int), new(int), new(int), &line); err != nil {
					return err
				}
				plan = append(plan, line)
			}
			return rows.Err()
		})
		if all := strings.Join(plan, "; "); err != nil || !strings.Contains(all, "operations_slots (queued=?") || strings.Contains(all, "TEMP B-TREE") {
			t.Errorf("%s: %s %v", query, all, err)
		}
	}
}

// BenchmarkHoldSlots is what it costs to be accepted while so many are.
func BenchmarkHoldSlots(b *testing.B) {
	for _, e := range []struct {
		name string
		open opener
	}{{"sqlite", func(t testing.TB) *DB { return openAt(t, t.TempDir()) }}, {"postgres", postgres(b)}} {
		db := e.open(b)
		held := 0
		for _, n := range []int{250, 3000} {
			write(b, db, func(tx *Tx) error {
				for ; held < n; held++ {
					node := &metal.Node{UUID: id(held), Driver: "fake", ProvisionState: metal.Deploying}
					if err := tx.CreateNode(node); err != nil {
						return err
					}
					o := &Operation{UUID: id(held), NodeID: node.ID, Exclusive: true, Driver: "fake", Slot: metal.SlotDeploy}
					if err := tx.CreateOperation(o); err != nil {
						return err
					}
				}
				return nil
			})
			b.Run(fmt.Sprintf("%s/%d", e.name, n), func(b *testing.B) {
				err := db.Write(b.Context(), func(tx *Tx) error {
					for b.Loop() {
						if u, err := tx.HoldSlots(metal.SlotDeploy); err != nil || u.Held != n {
							return fmt.Errorf("%v: %w", u, err)
						}
					}
					return nil
				})
				if err != nil {
					b.Fatal(err)
				}
			})
		}
	}
}
