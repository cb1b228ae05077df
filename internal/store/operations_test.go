package store

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ingot/internal/fault"
	"ingot/internal/metal"
)

const lease = time.Minute

// served is what the conductors here serve.
var served = Scope{Drivers: []string{"fake", "other"}}

// over is a lease that has run out when it is taken: its holder is dead.
const over = -time.Second

// ask writes operation number i of a node.
func ask(t testing.TB, db *DB, n *metal.Node, i int, change ...func(*Operation)) *Operation {
	t.Helper()
	o := &Operation{UUID: id(i), NodeID: n.ID, Exclusive: true, Verb: "manage", Plan: "verify", Driver: "fake", Group: n.ConductorGroup}
	for _, f := range change {
		f(o)
	}
	write(t, db, func(tx *Tx) error { return tx.CreateOperation(o) })
	return o
}

// claim takes the next operation, nil if there is none.
func claim(t testing.TB, db *DB, owner string, lease time.Duration) (o *Operation) {
	t.Helper()
	write(t, db, func(tx *Tx) (err error) {
		o, err = tx.Claim(owner, served, lease)
		return err
	})
	return o
}

func stored(t testing.TB, db *DB, uuid string) *Operation {
	t.Helper()
	return read(t, db, func(tx *Tx) (*Operation, error) { return tx.Operation(uuid) })
}

func TestOperationKeepsEveryField(t *testing.T) { each(t, testOperationKeepsEveryField) }

func testOperationKeepsEveryField(t *testing.T, open opener) {
	db := open(t)
	n := addNode(t, db, 1)
	o := &Operation{}
	fill(t, o, "Broken", "TakenOverFrom", "FinishedAt", "Abort")
	o.UUID, o.NodeID, o.LeaseUntil, o.DueAt, o.Driver, o.Group = id(2), n.ID, time.Time{}, time.UnixMicro(7).UTC(), "fake", "far"
	write(t, db, func(tx *Tx) error { return tx.CreateOperation(o) })
	if o.Status != Live || o.CreatedAt.IsZero() {
		t.Fatalf("a new operation is %q, made %v", o.Status, o.CreatedAt)
	}
	same(t, stored(t, db, o.UUID), o)

	write(t, db, func(tx *Tx) (err error) {
		o, err = tx.Claim("c1", Scope{Drivers: []string{"fake"}, Group: "far"}, lease)
		return err
	})
	keep := *o
	fill(t, o, "TakenOverFrom")
	// The identity and what belongs to callers are not the holder's to change.
	o.ID, o.UUID, o.NodeID, o.Verb, o.Generation, o.Abort = keep.ID, keep.UUID, keep.NodeID, keep.Verb, keep.Generation, "not me"
	o.Exclusive, o.RequestedBy, o.RequestID, o.Driver, o.Group, o.CreatedAt, o.Status = keep.Exclusive, keep.RequestedBy, keep.RequestID, keep.Driver, keep.Group, keep.CreatedAt, Done
	write(t, db, func(tx *Tx) error { return tx.SaveOperation(o) })
	o.Abort, o.LeaseUntil = "", keep.LeaseUntil // the lease is as it was last renewed
	same(t, stored(t, db, o.UUID), o)
}

func TestOneLiveExclusiveOperation(t *testing.T) { each(t, testOneLiveExclusiveOperation) }

func testOneLiveExclusiveOperation(t *testing.T, open opener) {
	db := open(t)
	n := addNode(t, db, 1)
	ask(t, db, n, 1)
	ask(t, db, n, 2, func(o *Operation) { o.Exclusive = false }) // a question does not need the node
	second := &Operation{UUID: id(3), NodeID: n.ID, Exclusive: true, Driver: "fake"}
	err := db.Write(t.Context(), func(tx *Tx) error { return tx.CreateOperation(second) })
	if fault.KindOf(err) != fault.Locked {
		t.Fatalf("a second operation: %v", err)
	}
	first := claim(t, db, "c1", lease)
	first.Status = Failed
	write(t, db, func(tx *Tx) error { return tx.SaveOperation(first) })
	write(t, db, func(tx *Tx) error { return tx.CreateOperation(second) })
	live := read(t, db, func(tx *Tx) (*Operation, error) { return tx.LiveOperation(n.ID) })
	last := read(t, db, func(tx *Tx) (*Operation, error) { return tx.LastOperation(n.ID) })
	if live == nil || live.UUID != id(3) || last.UUID != id(3) {
		t.Errorf("live %v, last %v", live, last)
	}
}

func TestClaimTakesTheOldestDue(t *testing.T) { each(t, testClaimTakesTheOldestDue) }

func testClaimTakesTheOldestDue(t *testing.T, open opener) {
	db := open(t)
	at := func(us int64) func(*Operation) { return func(o *Operation) { o.DueAt = time.UnixMicro(us) } }
	for i, change := range [][]func(*Operation){
		{at(300)}, {at(100), func(o *Operation) { o.Driver = "other" }}, {at(200)}, {at(100)},
		{at(time.Now().Add(time.Hour).UnixMicro())},                   // not due
		{at(50), func(o *Operation) { o.Driver = "of another host" }}, // not ours
	} {
		ask(t, db, addNode(t, db, i), i, change...)
	}
	far := addNode(t, db, 10, func(n *metal.Node) { n.ConductorGroup = "far" })
	ask(t, db, far, 10, at(10))
	var got []string
	for range 10 {
		o := claim(t, db, "c1", lease)
		if o == nil {
			break
		}
		got = append(got, o.UUID)
		if o.LeaseOwner != "c1" || o.Generation != 1 || o.TakenOverFrom != "" {
			t.Errorf("claimed %+v", o)
		}
	}
	if want := []string{id(1), id(3), id(2), id(0)}; !slices.Equal(got, want) {
		t.Errorf("claimed %v, want %v", got, want)
	}
	write(t, db, func(tx *Tx) error {
		o, err := tx.Claim("c1", Scope{Group: "far"}, lease)
		if o != nil {
			t.Error("who knows no driver was given an operation")
		}
		if err != nil {
			return err
		}
		o, err = tx.Claim("c2", Scope{Drivers: served.Drivers, Group: "far"}, lease)
		if o == nil || o.NodeID != far.ID {
			t.Errorf("the conductor of the group was given %+v", o)
		}
		return err
	})
}

// TestClaimersNeverShare lets four claimers of two servers take a hundred operations.
func TestClaimersNeverShare(t *testing.T) { each(t, testClaimersNeverShare) }

func testClaimersNeverShare(t *testing.T, open opener) {
	servers := []*DB{open(t), open(t)}
	const rows = 100
	write(t, servers[0], func(tx *Tx) error {
		for i := range rows {
			n := &metal.Node{UUID: id(i), ProvisionState: metal.Enroll}
			if err := tx.CreateNode(n); err != nil {
				return err
			}
			if err := tx.CreateOperation(&Operation{UUID: id(i), NodeID: n.ID, Exclusive: true, Driver: "fake"}); err != nil {
				return err
			}
		}
		return nil
	})
	var mu sync.Mutex
	holders := map[string]string{}
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			for range 2 * rows {
				var o *Operation
				err := servers[i%2].Write(t.Context(), func(tx *Tx) (err error) {
					o, err = tx.Claim(fmt.Sprint("c", i), served, lease)
					return err
				})
				if err != nil {
					t.Error(err)
				}
				if err != nil || o == nil {
					return
				}
				mu.Lock()
				if was := holders[o.UUID]; was != "" {
					t.Errorf("operation %s was given to %s and to c%d", o.UUID, was, i)
				}
				holders[o.UUID] = o.LeaseOwner
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if len(holders) != rows {
		t.Errorf("%d operations claimed of %d", len(holders), rows)
	}
}

// TestTrapLocksWithoutFencing lets a holder come back after its lease ran out and another took over.
func TestTrapLocksWithoutFencing(t *testing.T) { each(t, testFencing) }

func testFencing(t *testing.T, open opener) {
	db := open(t)
	n := addNode(t, db, 1)
	ask(t, db, n, 1)
	old := claim(t, db, "c1", over)
	now := claim(t, db, "c2", lease)
	if now == nil || now.TakenOverFrom != "c1" || now.Generation != old.Generation+1 {
		t.Fatalf("the take-over: %+v", now)
	}
	late := func(what string, f func(*Tx) error) {
		t.Helper()
		if err := db.Write(t.Context(), f); !errors.Is(err, ErrFenced) {
			t.Errorf("%s: %v, want ErrFenced", what, err)
		}
	}
	late("a write under the old generation", func(tx *Tx) error {
		n.LastError, old.StepName = "written by the dead", "late"
		return errors.Join(tx.SaveNode(n), tx.AppendEvent(n.ID, metal.HistoryEvent{Kind: "step", Why: "late"}), tx.SaveOperation(old))
	})
	late("a renewal under the old generation", func(tx *Tx) error { _, err := tx.Renew(old, lease); return err })
	if n := read(t, db, func(tx *Tx) (*metal.Node, error) { return tx.NodeByID(n.ID) }); n.LastError != "" || n.Reservation != "c2" {
		t.Errorf("the late write left last_error %q, reservation %q", n.LastError, n.Reservation)
	}
	if e := read(t, db, func(tx *Tx) ([]metal.HistoryEvent, error) { return tx.Events(n, Page{}) }); len(e) != 0 {
		t.Errorf("the late write left events %v", e)
	}
	if o := stored(t, db, id(1)); o.StepName != "" || o.LeaseOwner != "c2" {
		t.Errorf("the late write left %+v", o)
	}
	now.Status = Done
	write(t, db, func(tx *Tx) error { return tx.SaveOperation(now) })
	late("a write to what has ended", func(tx *Tx) error { return tx.SaveOperation(now) })
	late("a renewal of what has ended", func(tx *Tx) error { _, err := tx.Renew(now, lease); return err })
}

func TestRenewAndAbort(t *testing.T) { each(t, testRenewAndAbort) }

func testRenewAndAbort(t *testing.T, open opener) {
	db := open(t)
	n := addNode(t, db, 1)
	ask(t, db, n, 1)
	o := claim(t, db, "c1", time.Second)
	was := o.LeaseUntil
	renew := func() (abort string) {
		t.Helper()
		write(t, db, func(tx *Tx) (err error) { abort, err = tx.Renew(o, lease); return err })
		return abort
	}
	if abort := renew(); abort != "" || !o.LeaseUntil.After(was.Add(lease/2)) || !stored(t, db, o.UUID).LeaseUntil.Equal(o.LeaseUntil) {
		t.Errorf("renewed from %v to %v, abort %q", was, o.LeaseUntil, abort)
	}
	write(t, db, func(tx *Tx) error { return tx.AskAbort(n.ID, "alice") })
	if abort := renew(); abort != "alice" {
		t.Errorf("the holder hears of the abort by %q", abort)
	}
	o.StepName = "next"
	write(t, db, func(tx *Tx) error { return tx.SaveOperation(o) })
	if got := stored(t, db, o.UUID); got.Abort != "alice" || got.StepName != "next" {
		t.Errorf("the holder's write made abort %q", got.Abort)
	}
}

func TestDropLeases(t *testing.T) { each(t, testDropLeases) }

func testDropLeases(t *testing.T, open opener) {
	db := open(t)
	for i := range 3 {
		ask(t, db, addNode(t, db, i), i)
	}
	claim(t, db, "dead", lease)
	claim(t, db, "alive", lease)
	parked := claim(t, db, "dead", lease)
	parked.LeaseOwner, parked.LeaseUntil, parked.DueAt = "", time.Time{}, time.Now().Add(time.Hour)
	write(t, db, func(tx *Tx) error { return tx.SaveOperation(parked) })
	if o := claim(t, db, "c2", lease); o != nil {
		t.Fatalf("operation %s was claimed under a lease", o.UUID)
	}
	write(t, db, func(tx *Tx) error { return tx.DropLeases("dead") })
	if o := claim(t, db, "c2", lease); o == nil || o.UUID != id(0) || o.TakenOverFrom != "dead" {
		t.Errorf("after the leases were dropped: %+v", o)
	}
	if o := claim(t, db, "c2", lease); o != nil {
		t.Errorf("operation %s was taken: it is alive's, or was given back and waits", o.UUID)
	}
}

func TestWakeAndNextDue(t *testing.T) { each(t, testWakeAndNextDue) }

func testWakeAndNextDue(t *testing.T, open opener) {
	db := open(t)
	due := func() time.Time { return read(t, db, func(tx *Tx) (time.Time, error) { return tx.NextDue(served) }) }
	if !due().IsZero() {
		t.Errorf("nothing is due, but at %v", due())
	}
	n := addNode(t, db, 1)
	ask(t, db, n, 1)
	o := claim(t, db, "c1", lease)
	if !due().Equal(o.LeaseUntil) {
		t.Errorf("next due at %v, when the lease ends at %v", due(), o.LeaseUntil)
	}
	later := time.Now().Add(time.Hour).Truncate(time.Microsecond)
	o.LeaseOwner, o.LeaseUntil, o.DueAt, o.WaitingFor = "", time.Time{}, later, "agent"
	write(t, db, func(tx *Tx) error { return tx.SaveOperation(o) })
	if !due().Equal(later) {
		t.Errorf("next due at %v, parked until %v", due(), later)
	}
	changed := db.Changed()
	write(t, db, func(tx *Tx) error { return tx.Wake(n.ID, "something else") })
	write(t, db, func(tx *Tx) error { return tx.Wake(n.ID+1, "agent") })
	select {
	case <-changed:
		t.Error("waking nobody was announced")
	default:
	}
	if claim(t, db, "c1", lease) != nil {
		t.Error("it was woken by another event or another node's")
	}
	write(t, db, func(tx *Tx) error { return tx.Wake(n.ID, "agent") })
	<-changed
	if claim(t, db, "c1", lease) == nil {
		t.Error("it was not woken by its event")
	}
}

func TestSupersede(t *testing.T) { each(t, testSupersede) }

func testSupersede(t *testing.T, open opener) {
	db := open(t)
	n := addNode(t, db, 1)
	ask(t, db, n, 1)
	holder := claim(t, db, "c1", lease)
	write(t, db, func(tx *Tx) error {
		if err := tx.Supersede(n.ID, "ended by a delete"); err != nil {
			return err
		}
		return tx.CreateOperation(&Operation{UUID: id(2), NodeID: n.ID, Exclusive: true, Driver: "fake"})
	})
	if o := stored(t, db, id(1)); o.Status != Failed || o.Error != "ended by a delete" || o.FinishedAt.IsZero() || o.LeaseOwner != "" {
		t.Errorf("the superseded operation: %+v", o)
	}
	err := db.Write(t.Context(), func(tx *Tx) error { return tx.SaveOperation(holder) })
	if !errors.Is(err, ErrFenced) {
		t.Errorf("its holder wrote: %v", err)
	}
	if o := claim(t, db, "c1", lease); o == nil || o.UUID != id(2) {
		t.Errorf("next is %+v", o)
	}
}

func TestPruneForgetsAnsweredRequests(t *testing.T) { each(t, testPruneForgetsAnsweredRequests) }

func testPruneForgetsAnsweredRequests(t *testing.T, open opener) {
	db := open(t)
	n := addNode(t, db, 1)
	question := func(o *Operation) { o.Exclusive = false }
	ask(t, db, n, 1, question)
	ask(t, db, n, 2, question)
	ask(t, db, n, 3)
	for range 3 {
		if o := claim(t, db, "c1", lease); o.UUID != id(2) { // 2 stays live
			o.Status = Done
			write(t, db, func(tx *Tx) error { return tx.SaveOperation(o) })
		}
	}
	write(t, db, func(tx *Tx) error { return tx.PruneOperations(time.Now().Add(time.Hour)) })
	err := db.Read(t.Context(), func(tx *Tx) error { _, err := tx.Operation(id(1)); return err })
	if fault.KindOf(err) != fault.NotFound {
		t.Errorf("an answered request is kept: %v", err)
	}
	if stored(t, db, id(2)).Status != Live || stored(t, db, id(3)).Status != Done {
		t.Error("more was forgotten than answered requests")
	}
}

// A lease that was renewed during a long step stays when the step is saved: the holder's own memory of it is
// older.
func TestSavingKeepsARenewedLease(t *testing.T) { each(t, testSavingKeepsARenewedLease) }

func testSavingKeepsARenewedLease(t *testing.T, open opener) {
	db := open(t)
	n := addNode(t, db, 1)
	ask(t, db, n, 1)
	o := claim(t, db, "c1", time.Hour)
	kept := *o
	write(t, db, func(tx *Tx) error { _, err := tx.Renew(&kept, 2*time.Hour); return err })
	o.LeaseUntil = time.Unix(1, 0) // as stale as can be
	write(t, db, func(tx *Tx) error { return tx.SaveOperation(o) })
	if got := stored(t, db, o.UUID); !got.LeaseUntil.Equal(kept.LeaseUntil) {
		t.Errorf("the lease ends %v, it was renewed until %v", got.LeaseUntil, kept.LeaseUntil)
	}
	if other := claim(t, db, "c2", time.Hour); other != nil {
		t.Error("another holder took an operation under a live lease")
	}
	o.LeaseOwner = ""
	write(t, db, func(tx *Tx) error { return tx.SaveOperation(o) })
	if other := claim(t, db, "c2", time.Hour); other == nil || other.TakenOverFrom != "" {
		t.Errorf("a lease that was given back: %+v", other)
	}
}

// TestAnswersAreSealed: what a machine answered may hold a password, as may the requests.
func TestAnswersAreSealed(t *testing.T) { each(t, testAnswersAreSealed) }

func testAnswersAreSealed(t *testing.T, open opener) {
	db := open(t)
	ask(t, db, addNode(t, db, 1), 2)
	o := claim(t, db, "c1", lease)
	o.Result = `[{"image": "https://user:canary@images.example.org/x.iso"}]`
	want := o.Result
	write(t, db, func(tx *Tx) error { return tx.SaveOperation(o) })
	raw := read(t, db, func(tx *Tx) (s string, err error) {
		return s, tx.row("SELECT result FROM operations WHERE uuid = ?", o.UUID).Scan(&s)
	})
	if strings.Contains(raw, "canary") || raw == "" {
		t.Errorf("the database has %q", raw)
	}
	if got := stored(t, db, o.UUID).Result; got != want {
		t.Errorf("read again it is %q", got)
	}
	write(t, db, func(tx *Tx) error { // as servers wrote it before
		_, err := tx.exec("UPDATE operations SET result = ? WHERE uuid = ?", want, o.UUID)
		return err
	})
	if got := stored(t, db, o.UUID); got.Result != want || got.Broken != nil {
		t.Errorf("an old one reads %q, %v", got.Result, got.Broken)
	}
	write(t, db, func(tx *Tx) error {
		_, err := tx.exec("UPDATE operations SET result = ? WHERE uuid = ?", raw[:len(raw)-8]+"AAAAAAA=", o.UUID)
		return err
	})
	if got := stored(t, db, o.UUID); got.Result != "" || got.Broken == nil {
		t.Errorf("a forged one reads %q, %v", got.Result, got.Broken)
	}
}
