package store

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"ingot/internal/metal"
	"ingot/internal/secret"
	"ingot/internal/store/pgtest"
)

// BenchmarkStore measures both engines side by side in one run, each with every commit on disk.
func BenchmarkStore(b *testing.B) {
	engines := []struct {
		name string
		open func(testing.TB) *DB
	}{
		{"sqlite", func(t testing.TB) *DB { return openAt(t, t.TempDir()) }},
		{"postgres", func(t testing.TB) *DB {
			c := pgtest.NewCluster(t, "fsync=on", "full_page_writes=on", "autovacuum=on")
			db, err := OpenPostgres(t.Context(), secret.New(c.URL("postgres")), testKey(t, t.TempDir()))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = db.Close() })
			return db
		}},
	}
	for _, e := range engines {
		b.Run(e.name, func(b *testing.B) {
			db := e.open(b)
			ids := benchNodes(b, db, 1000)
			for _, c := range []struct {
				name string
				run  func(*testing.B, *DB, []int64)
			}{
				{"enrol", benchEnrol}, {"get", benchGet}, {"page of 1000", benchPage}, {"change", benchChange},
				{"change by many", benchChangeByMany}, {"claim and step", benchStep}, {"nothing is due", benchNothingDue},
			} {
				b.Run(c.name, func(b *testing.B) { c.run(b, db, ids) })
			}
		})
	}
}

var benched atomic.Int64

func benchNode() *metal.Node {
	i := benched.Add(1)
	text := map[string]any{"model": "ACME Server 9000", "serial": fmt.Sprint("S", i), "position": "rack 4, unit 12"}
	return &metal.Node{UUID: fmt.Sprintf("%08d-0000-4000-8000-000000000000", i), Name: fmt.Sprint("bench-", i), Driver: "fake",
		ProvisionState: metal.Available, Properties: text, Extra: text, DriverInfo: secret.NewMap(text), InstanceInfo: secret.NewMap(text)}
}

func benchNodes(b *testing.B, db *DB, n int) (ids []int64) {
	b.Helper()
	write(b, db, func(tx *Tx) error {
		for range n {
			node := benchNode()
			if err := tx.CreateNode(node); err != nil {
				return err
			}
			ids = append(ids, node.ID)
		}
		return nil
	})
	return ids
}

func benchEnrol(b *testing.B, db *DB, _ []int64) {
	for b.Loop() {
		benchNodes(b, db, 1)
	}
}

func benchGet(b *testing.B, db *DB, ids []int64) {
	i := 0
	for b.Loop() {
		i++
		read(b, db, func(tx *Tx) (*metal.Node, error) { return tx.NodeByID(ids[i%len(ids)]) })
	}
}

func benchPage(b *testing.B, db *DB, _ []int64) {
	for b.Loop() {
		if got := read(b, db, func(tx *Tx) ([]*metal.Node, error) { return tx.Nodes(NodeFilter{}, Page{Limit: 1000}) }); len(got) != 1000 {
			b.Fatalf("%d nodes", len(got))
		}
	}
}

func change(b *testing.B, db *DB, id int64) {
	write(b, db, func(tx *Tx) error {
		n, err := tx.NodeByID(id)
		if err != nil {
			return err
		}
		n.LastError = fmt.Sprint(benched.Add(1))
		return tx.SaveNode(n)
	})
}

func benchChange(b *testing.B, db *DB, ids []int64) {
	i := 0
	for b.Loop() {
		i++
		change(b, db, ids[i%len(ids)])
	}
}

// benchChangeByMany lets eight write at once, each another node.
func benchChangeByMany(b *testing.B, db *DB, ids []int64) {
	var next atomic.Int64
	b.SetParallelism(4)
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			change(b, db, ids[int(next.Add(1))%len(ids)])
		}
	})
}

// benchStep is what the engine does for one step: claim, save node, history and operation.
func benchStep(b *testing.B, db *DB, ids []int64) {
	n := read(b, db, func(tx *Tx) (*metal.Node, error) { return tx.NodeByID(ids[0]) })
	ask(b, db, n, int(benched.Add(1)))
	for b.Loop() {
		o := claim(b, db, "c1", time.Minute)
		o.LeaseOwner, o.DueAt = "", time.Time{}
		write(b, db, func(tx *Tx) error {
			n, err := tx.NodeByID(n.ID)
			if err != nil {
				return err
			}
			if err := tx.AppendEvent(n.ID, metal.HistoryEvent{Kind: "step", Why: "done"}); err != nil {
				return err
			}
			if err := tx.SaveOperation(o); err != nil {
				return err
			}
			return tx.SaveNode(n)
		})
	}
	write(b, db, func(tx *Tx) error { return tx.Supersede(n.ID, "the end") })
}

func benchNothingDue(b *testing.B, db *DB, _ []int64) {
	for b.Loop() {
		if at := read(b, db, func(tx *Tx) (time.Time, error) { return tx.NextDue(served) }); !at.IsZero() {
			b.Fatalf("something is due at %v", at)
		}
	}
}
