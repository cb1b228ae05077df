package store

import (
	"slices"
	"sync"
	"testing"

	"ingot/internal/fault"
	"ingot/internal/metal"
)

// TestPortsAreNotOverwritten: many change one port from what they read, through two servers; none of the
// changes is lost.
func TestPortsAreNotOverwritten(t *testing.T) { each(t, testPortsAreNotOverwritten) }

func testPortsAreNotOverwritten(t *testing.T, open opener) {
	servers := []*DB{open(t), open(t)}
	n := addNode(t, servers[0], 1)
	p := &metal.Port{UUID: id(2), NodeUUID: n.UUID, Address: "52:54:00:00:00:01"}
	write(t, servers[0], func(tx *Tx) error { return tx.CreatePort(p) })
	const writers, writes = 4, 15
	var all sync.WaitGroup
	for i := range writers {
		all.Go(func() {
			for range writes {
				err := servers[i%2].Write(t.Context(), func(tx *Tx) error {
					p, err := tx.Port(p.UUID)
					if err != nil {
						return err
					}
					count, _ := p.Extra["count"].(float64)
					p.Extra = map[string]any{"count": count + 1}
					return tx.SavePort(p)
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	end := read(t, servers[1], func(tx *Tx) (*metal.Port, error) { return tx.Port(p.UUID) })
	if end.Extra["count"] != float64(writers*writes) {
		t.Errorf("%v of %d changes are there", end.Extra["count"], writers*writes)
	}
}

// TestWhoWaitsSeesAll: a writer that waited for a node sees what the one before wrote anywhere, and not only
// in the node's row.
func TestWhoWaitsSeesAll(t *testing.T) { each(t, testWhoWaitsSeesAll) }

func testWhoWaitsSeesAll(t *testing.T, open opener) {
	servers := []*DB{open(t), open(t)}
	n := addNode(t, servers[0], 1)
	ask(t, servers[0], n, 1)
	o := claim(t, servers[0], "c1", lease)
	holds, waited := make(chan struct{}), make(chan error)
	go func() {
		<-holds
		waited <- servers[1].Write(t.Context(), func(tx *Tx) error {
			n, err := tx.Node(n.UUID)
			if err == nil && n.Reservation != "" {
				t.Errorf("the node is still reserved by %s", n.Reservation)
			}
			return err
		})
	}()
	write(t, servers[0], func(tx *Tx) error {
		if _, err := tx.NodeByID(n.ID); err != nil {
			return err
		}
		close(holds)
		o.Status = Done
		return tx.SaveOperation(o)
	})
	if err := <-waited; err != nil {
		t.Error(err)
	}
}

// TestOrderIsOfBytes: lists are sorted alike whatever language the database was made for.
func TestOrderIsOfBytes(t *testing.T) { each(t, testOrderIsOfBytes) }

func testOrderIsOfBytes(t *testing.T, open opener) {
	db := open(t)
	names := []string{"b", "A", "a", "B", "_a", "a-b", "aé", "Z", "ab", "é"}
	for i, name := range names {
		addNode(t, db, i+1, func(n *metal.Node) { n.Name, n.Description = name, name })
	}
	sorted := slices.Sorted(slices.Values(names))
	var got []string
	for _, n := range read(t, db, func(tx *Tx) ([]*metal.Node, error) { return tx.Nodes(NodeFilter{}, Page{SortKey: "name"}) }) {
		got = append(got, n.Name)
	}
	if !slices.Equal(got, sorted) {
		t.Errorf("sorted %v, want %v", got, sorted)
	}
	for part, want := range map[string]int{"A": 6, "É": 0, "é": 2} { // only ASCII letters have no case
		if found := read(t, db, func(tx *Tx) ([]*metal.Node, error) { return tx.Nodes(NodeFilter{Contains: part}, Page{}) }); len(found) != want {
			t.Errorf("%d nodes contain %s, want %d", len(found), part, want)
		}
	}
}

// TestNulIsRefused: no engine keeps what another cannot.
func TestNulIsRefused(t *testing.T) { each(t, testNulIsRefused) }

func testNulIsRefused(t *testing.T, open opener) {
	db := open(t)
	n := addNode(t, db, 1)
	for what, f := range map[string]func(*Tx) error{
		"a node":         func(tx *Tx) error { return tx.CreateNode(&metal.Node{UUID: id(2), Description: "a\x00b"}) },
		"a changed node": func(tx *Tx) error { n.LastError = "\x00"; return tx.SaveNode(n) },
		"an event":       func(tx *Tx) error { return tx.AppendEvent(n.ID, metal.HistoryEvent{Why: "\x00"}) },
	} {
		if err := db.Write(t.Context(), f); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%s: %v", what, err)
		}
	}
	write(t, db, func(tx *Tx) error {
		return tx.CreateNode(&metal.Node{UUID: id(3), Extra: map[string]any{"text": "a\x00b"}}) // JSON writes it \u0000
	})
}
