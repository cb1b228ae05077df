package store

import (
	"errors"
	"sync"
	"testing"
	"time"

	"ingot/internal/metal"
)

func TestPollsAreClaimedWhileAwaited(t *testing.T) { each(t, testPollsAreClaimedWhileAwaited) }

func testPollsAreClaimedWhileAwaited(t *testing.T, open opener) {
	db := open(t)
	scope := Scope{Drivers: []string{"d"}}
	n := awaitedNode(t, db, 1)
	claim := func(who string) []*Poll {
		return written(t, db, func(tx *Tx) ([]*Poll, error) {
			out, _, err := tx.ClaimPolls(who, scope, 10, time.Minute)
			return out, err
		})
	}
	next := func() time.Time { return read(t, db, func(tx *Tx) (time.Time, error) { return tx.NextPoll(scope) }) }
	if !next().IsZero() || len(claim("c1")) != 0 {
		t.Fatal("an agent that nobody awaits is asked")
	}
	wait := &Poll{NodeID: n.ID, Boot: "b1", Awaits: AwaitAnswer, Wait: "op/1", Driver: "d", DueAt: time.UnixMicro(7)}
	write(t, db, func(tx *Tx) error { return tx.AwaitAgent(wait) })
	if got := next(); !got.Equal(time.UnixMicro(7)) {
		t.Errorf("due at %v", got)
	}
	if other := read(t, db, func(tx *Tx) (time.Time, error) { return tx.NextPoll(Scope{Drivers: []string{"d"}, Group: "g"}) }); !other.IsZero() {
		t.Error("another group's conductor asks")
	}
	got := claim("c1")
	if len(got) != 1 || got[0].Boot != "b1" || got[0].Awaits != AwaitAnswer || !got[0].DueAt.Equal(time.UnixMicro(7)) {
		t.Fatalf("claimed %+v", got)
	}
	if len(claim("c2")) != 0 {
		t.Error("two hold one row")
	}
	holds := func(p *Poll) bool { return read(t, db, func(tx *Tx) (bool, error) { return tx.HoldsPoll(p) }) }
	if !holds(got[0]) {
		t.Error("the claimer does not hold its row")
	}
	write(t, db, func(tx *Tx) error { return tx.AwaitAgent(wait) }) // the same wait: whoever asks goes on
	if !holds(got[0]) {
		t.Error("a wait that is known took the lease away")
	}
	p := *got[0]
	p.DueAt, p.Failures, p.Address, p.Error, p.Every = time.UnixMicro(9).UTC(), 3, "192.0.2.1:9999", "connection refused", time.Second
	write(t, db, func(tx *Tx) error { return tx.SavePoll(&p) })
	kept := read(t, db, func(tx *Tx) (*Poll, error) { return tx.PollOf(n.ID) })
	same(t, kept, &p)

	got = claim("c1")
	write(t, db, func(tx *Tx) error { return tx.DropPollLeases("c1") })
	if holds(got[0]) {
		t.Error("a holder that is dead holds its row")
	}
	if again := claim("c2"); len(again) != 1 {
		t.Errorf("after its holder's death: %+v", again)
	}
	err := db.Write(t.Context(), func(tx *Tx) error { return tx.SavePoll(got[0]) })
	if !errors.Is(err, ErrFenced) {
		t.Errorf("the dead one's write: %v", err)
	}

	wait.Wait, wait.Awaits = "op/2", AwaitCommand // another wait: due at once, and nobody's
	write(t, db, func(tx *Tx) error { return tx.AwaitAgent(wait) })
	got = claim("c1")
	if len(got) != 1 || got[0].Failures != 0 || got[0].Error != "" || got[0].Address != "192.0.2.1:9999" {
		t.Fatalf("a new wait gives %+v", got)
	}
	write(t, db, func(tx *Tx) error { return tx.ForgetAgent(n.ID) })
	if p := read(t, db, func(tx *Tx) (*Poll, error) { return tx.PollOf(n.ID) }); p != nil {
		t.Errorf("a boot that is over is asked: %+v", p)
	}
}

// TestPollsAreEachClaimedOnce has several holders claim at the same time.
func TestPollsAreEachClaimedOnce(t *testing.T) { each(t, testPollsAreEachClaimedOnce) }

func testPollsAreEachClaimedOnce(t *testing.T, open opener) {
	db := open(t)
	const all = 20
	for i := range all {
		n := awaitedNode(t, db, i+1)
		write(t, db, func(tx *Tx) error {
			return tx.AwaitAgent(&Poll{NodeID: n.ID, Boot: "b1", Awaits: AwaitAnswer, Wait: "w", Driver: "d", DueAt: time.UnixMicro(1)})
		})
	}
	var mu sync.Mutex
	times := map[int64]int{}
	var holders sync.WaitGroup
	for range 4 {
		holders.Go(func() {
			for {
				var got []*Poll
				err := db.Write(t.Context(), func(tx *Tx) (err error) {
					got, _, err = tx.ClaimPolls("c", Scope{Drivers: []string{"d"}}, 3, time.Hour)
					return err
				})
				if err != nil {
					t.Error(err)
				}
				if len(got) == 0 {
					return
				}
				mu.Lock()
				for _, p := range got {
					times[p.NodeID]++
				}
				mu.Unlock()
			}
		})
	}
	holders.Wait()
	for node, n := range times {
		if n != 1 {
			t.Errorf("node %d was claimed %d times", node, n)
		}
	}
	if len(times) == 0 || db.dialect == &sqliteDialect && len(times) != all {
		t.Errorf("%d of %d were claimed", len(times), all)
	}
}

// TestPollsNeedSomebodyWaiting goes through what an operation can be like.
func TestPollsNeedSomebodyWaiting(t *testing.T) { each(t, testPollsNeedSomebodyWaiting) }

func testPollsNeedSomebodyWaiting(t *testing.T, open opener) {
	db := open(t)
	n := awaitedNode(t, db, 1)
	write(t, db, func(tx *Tx) error {
		return tx.AwaitAgent(&Poll{NodeID: n.ID, Boot: "b1", Awaits: AwaitAnswer, Wait: "w", Driver: "d", DueAt: time.UnixMicro(1)})
	})
	for change, asked := range map[string]bool{
		"waiting_for = 'agent'": true, "waiting_for = 'unhold'": true, "waiting_for = ''": false, "undoing = 1": false,
		"exclusive = 0": false, "status = 'failed'": false, "status = 'done'": false,
	} {
		write(t, db, func(tx *Tx) error {
			_, err := tx.exec("UPDATE operations SET waiting_for = 'agent', undoing = 0, exclusive = 1, status = 'live' WHERE node_id = ?", n.ID)
			return err
		})
		write(t, db, func(tx *Tx) error {
			_, err := tx.exec("UPDATE operations SET "+change+" WHERE node_id = ?", n.ID)
			return err
		})
		due := read(t, db, func(tx *Tx) (time.Time, error) { return tx.NextPoll(Scope{Drivers: []string{"d"}}) })
		var got []*Poll
		err := db.Write(t.Context(), func(tx *Tx) (err error) {
			got, _, err = tx.ClaimPolls("c", Scope{Drivers: []string{"d"}}, 1, -time.Hour)
			return err
		})
		if err != nil || due.IsZero() == asked || (len(got) == 1) != asked {
			t.Errorf("an operation with %s: next %v, claimed %d (%v), want it asked: %v", change, due, len(got), err, asked)
		}
	}
}

// awaitedNode is a node with an agent and an operation that waits for it.
func awaitedNode(t *testing.T, db *DB, i int) *metal.Node {
	t.Helper()
	n := addNode(t, db, i)
	write(t, db, func(tx *Tx) error {
		if err := tx.SaveAgent(&Agent{NodeID: n.ID, NodeUUID: n.UUID, Boot: "b1", Token: NewToken(), PollOnly: true}); err != nil {
			return err
		}
		return tx.CreateOperation(&Operation{UUID: "op " + n.UUID, NodeID: n.ID, Exclusive: true, Plan: "clean", Driver: "d", WaitingFor: metal.WaitAgent})
	})
	return n
}

// written is read for what writes, too.
func written[T any](t *testing.T, db *DB, f func(*Tx) (T, error)) (out T) {
	t.Helper()
	write(t, db, func(tx *Tx) (err error) { out, err = f(tx); return err })
	return out
}
