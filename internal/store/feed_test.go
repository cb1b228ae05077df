package store

import (
	"fmt"
	"strconv"
	"sync"
	"testing"

	"ingot/internal/fault"
	"ingot/internal/metal"
)

// feed reads on from a place until nothing is left.
func feed(t testing.TB, db *DB, node, after int64, limit int) (out []metal.HistoryEvent, next int64) {
	t.Helper()
	for {
		if err := db.Place(t.Context()); err != nil {
			t.Fatal(err)
		}
		page := read(t, db, func(tx *Tx) (FeedPage, error) { return tx.Feed(FeedQuery{NodeID: node, After: after, Limit: limit}) })
		out, after = append(out, page.Events...), page.Next
		if len(page.Events) == 0 {
			return out, after
		}
	}
}

// Many write at once, through two servers, while somebody reads along in small pages and begins anew from
// where it stood each time: each event comes once, and those of one writer in the order it wrote them.
func TestFeedGivesEachEventOnce(t *testing.T) { each(t, testFeedGivesEachEventOnce) }

func testFeedGivesEachEventOnce(t *testing.T, open opener) {
	const writers, apiece = 8, 40
	servers := []*DB{open(t), open(t)}
	var nodes []*metal.Node
	for i := range 2 {
		nodes = append(nodes, addNode(t, servers[0], i+1))
	}
	var work sync.WaitGroup
	for w := range writers {
		work.Add(1)
		go func() {
			defer work.Done()
			for i := range apiece {
				err := servers[w%2].Write(t.Context(), func(tx *Tx) error {
					return tx.AppendEvent(nodes[w%2].ID, metal.HistoryEvent{Kind: "step", Who: strconv.Itoa(w), Why: strconv.Itoa(i)})
				})
				if err != nil {
					t.Error(err)
					return
				}
			}
		}()
	}
	written := make(chan struct{})
	go func() { work.Wait(); close(written) }()
	var all []metal.HistoryEvent
	var place int64
	for over := false; !over; {
		select {
		case <-written:
			over = true
		default:
		}
		var more []metal.HistoryEvent
		more, place = feed(t, servers[len(all)%2], 0, place, 7)
		all = append(all, more...)
	}
	next := make([]int, writers)
	for i, e := range all {
		w, err := strconv.Atoi(e.Who)
		if err != nil || e.Why != strconv.Itoa(next[w]) || i > 0 && e.Place <= all[i-1].Place {
			t.Fatalf("event %d of the feed is %+v; want number %d of its writer, behind place %d", i, e, next[w], all[max(i-1, 0)].Place)
		}
		next[w]++
	}
	if len(all) != writers*apiece {
		t.Errorf("%d events, want %d", len(all), writers*apiece)
	}
	if of, _ := feed(t, servers[0], nodes[1].ID, 0, 11); len(of) != writers*apiece/2 || of[0].NodeUUID != nodes[1].UUID {
		t.Errorf("%d events of one node", len(of))
	}
}

// A place is never given twice, whatever is deleted; a place of another database is told.
func TestPlacesAreNotGivenTwice(t *testing.T) { each(t, testPlacesAreNotGivenTwice) }

func testPlacesAreNotGivenTwice(t *testing.T, open opener) {
	db := open(t)
	n := addNode(t, db, 1)
	add := func(id int64, why string) {
		write(t, db, func(tx *Tx) error { return tx.AppendEvent(id, metal.HistoryEvent{Kind: "step", Why: why}) })
	}
	add(n.ID, "before")
	_, place := feed(t, db, 0, 0, 10)
	if err := db.Write(t.Context(), func(tx *Tx) error { return tx.DeleteNode(n.ID) }); err != nil {
		t.Fatal(err)
	}
	other := addNode(t, db, 2)
	add(other.ID, "after")
	found, _ := feed(t, db, 0, place, 10)
	if len(found) != 1 || found[0].Why != "after" || found[0].Place <= place {
		t.Errorf("behind place %d: %+v", place, found)
	}
	err := db.Read(t.Context(), func(tx *Tx) error {
		_, err := tx.Feed(FeedQuery{After: 1000})
		return err
	})
	if fault.KindOf(err) != fault.Invalid {
		t.Errorf("a place that was never given: %v", err)
	}
}

func TestLiveOperationsAreChosen(t *testing.T) { each(t, testLiveOperationsAreChosen) }

func testLiveOperationsAreChosen(t *testing.T, open opener) {
	db := open(t)
	var nodes []*metal.Node
	for i := range 3 {
		n := addNode(t, db, i+1)
		nodes = append(nodes, n)
		write(t, db, func(tx *Tx) error {
			o := &Operation{UUID: fmt.Sprintf("op-%d", i), NodeID: n.ID, Exclusive: true, Verb: "active", Plan: "deploy", Driver: n.Driver, Group: n.ConductorGroup, TraceParent: "00-1-2-01"}
			if i == 2 {
				o.WaitingFor = "heartbeat"
			}
			return tx.CreateOperation(o)
		})
	}
	for _, c := range []struct {
		q    OperationQuery
		want []string
	}{
		{OperationQuery{}, []string{"op-0", "op-1", "op-2"}},
		{OperationQuery{Limit: 1}, []string{"op-0"}},
		{OperationQuery{Marker: "op-0"}, []string{"op-1", "op-2"}},
		{OperationQuery{Event: "heartbeat"}, []string{"op-2"}},
		{OperationQuery{Holder: "c1"}, nil},
		{OperationQuery{State: nodes[0].ProvisionState}, []string{"op-0", "op-1", "op-2"}},
		{OperationQuery{State: metal.Rescue}, nil},
	} {
		got := read(t, db, func(tx *Tx) ([]OperationOf, error) { return tx.LiveOperations(c.q) })
		var ids []string
		for _, o := range got {
			ids = append(ids, o.UUID)
			if o.Node == "" || o.TraceParent != "00-1-2-01" {
				t.Errorf("%+v", o)
			}
		}
		if fmt.Sprint(ids) != fmt.Sprint(c.want) {
			t.Errorf("%+v: %v, want %v", c.q, ids, c.want)
		}
	}
}

// A transaction that took the lower id commits after one with a higher id was read: its event comes all the
// same, and once. Only an engine with many writers can play it.
func TestFeedMissesNoLateCommit(t *testing.T) {
	each(t, func(t *testing.T, open opener) {
		db := open(t)
		if !db.dialect.dollars {
			t.Skip("this engine has one writer at a time")
		}
		n := addNode(t, db, 1)
		begun, goOn, over := make(chan struct{}), make(chan struct{}), make(chan error)
		go func() {
			over <- db.Write(t.Context(), func(tx *Tx) error {
				err := tx.AppendEvent(n.ID, metal.HistoryEvent{Kind: "step", Why: "late"})
				close(begun)
				<-goOn
				return err
			})
		}()
		<-begun
		write(t, db, func(tx *Tx) error { return tx.AppendEvent(n.ID, metal.HistoryEvent{Kind: "step", Why: "early"}) })
		first, place := feed(t, db, 0, 0, 10)
		close(goOn)
		if err := <-over; err != nil {
			t.Fatal(err)
		}
		rest, _ := feed(t, db, 0, place, 10)
		if len(first) != 1 || first[0].Why != "early" || len(rest) != 1 || rest[0].Why != "late" {
			t.Errorf("first %+v, then %+v", first, rest)
		}
	})
}

// A history older than the feed gets its places in several transactions, in its order.
func TestLongHistoryIsPlaced(t *testing.T) {
	each(t, func(t *testing.T, open opener) {
		db := open(t)
		n := addNode(t, db, 1)
		const all = 2*placedAtOnce + 50
		write(t, db, func(tx *Tx) error {
			for i := range all {
				if err := tx.AppendEvent(n.ID, metal.HistoryEvent{Kind: "step", Why: strconv.Itoa(i)}); err != nil {
					return err
				}
			}
			return nil
		})
		found, next := feed(t, db, 0, 0, 500)
		if len(found) != all || next != all || found[all-1].Why != strconv.Itoa(all-1) {
			t.Errorf("%d events, next %d", len(found), next)
		}
	})
}
