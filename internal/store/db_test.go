package store

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/secret"
)

func TestMigrations(t *testing.T) {
	dir := t.TempDir()
	db := openAt(t, dir)
	n := addNode(t, db, 1)
	tables := map[string]bool{}
	version := int64(0)
	look := func(db *DB) {
		clear(tables)
		write(t, db, func(tx *Tx) error {
			rows, err := tx.rows("SELECT name FROM sqlite_master WHERE type = 'table'")
			if err != nil {
				return err
			}
			defer rows.Close()
			for rows.Next() {
				var name string
				if err := rows.Scan(&name); err != nil {
					return err
				}
				tables[name] = true
			}
			return errors.Join(rows.Err(), tx.row("SELECT MAX(version_id) FROM goose_db_version").Scan(&version))
		})
	}
	look(db)
	for _, name := range []string{"nodes", "ports", "operations", "events", "agents", "conductors", "logs"} {
		if !tables[name] {
			t.Errorf("there is no table %s", name)
		}
	}
	files, err := migrations.ReadDir("migrations")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	newest, err := strconv.ParseInt(files[len(files)-1].Name()[:4], 10, 64) // they are numbered, and sorted by name
	if err != nil || version != newest {
		t.Errorf("version %d, the newest file is of %d, %v", version, newest, err)
	}
	if info, err := os.Stat(filepath.Join(dir, "ingot.db")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the database file: %v, %v", info, err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	again := openAt(t, dir)
	look(again)
	same(t, read(t, again, func(tx *Tx) (*metal.Node, error) { return tx.Node(n.UUID) }),
		read(t, again, func(tx *Tx) (*metal.Node, error) { return tx.NodeByID(n.ID) }))
	if version != newest {
		t.Errorf("version %d after the second opening", version)
	}
}

func TestAnErrorUndoesAll(t *testing.T) { each(t, testAnErrorUndoesAll) }

func testAnErrorUndoesAll(t *testing.T, open opener) {
	db := open(t)
	broken := errors.New("broken on purpose")
	changed := db.Changed()
	err := db.Write(t.Context(), func(tx *Tx) error {
		n := &metal.Node{UUID: id(1)}
		return errors.Join(tx.CreateNode(n), tx.CreateOperation(&Operation{UUID: id(2), NodeID: n.ID, Driver: "fake"}), broken)
	})
	if !errors.Is(err, broken) {
		t.Fatal(err)
	}
	select {
	case <-changed:
		t.Error("a change that was undone was announced")
	default:
	}
	err = db.Read(t.Context(), func(tx *Tx) error { _, err := tx.Node(id(1)); return err })
	if fault.KindOf(err) != fault.NotFound {
		t.Errorf("the node: %v", err)
	}
	addNode(t, db, 1) // the writer is free
	err = db.Read(t.Context(), func(tx *Tx) error { return tx.CreateNode(&metal.Node{UUID: id(3)}) })
	if err == nil {
		t.Error("a reader wrote")
	}
}

// TestChangedWakes lets a waiter hear of a commit by another goroutine, however they are interleaved.
func TestChangedWakes(t *testing.T) { each(t, testChangedWakes) }

func testChangedWakes(t *testing.T, open opener) {
	db := open(t)
	n := addNode(t, db, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	found := make(chan error, 1)
	go func() {
		for {
			changed := db.Changed() // before looking
			var o *Operation
			err := db.Read(ctx, func(tx *Tx) (err error) { o, err = tx.LiveOperation(n.ID); return err })
			if err != nil || o != nil {
				found <- err
				return
			}
			select {
			case <-changed:
			case <-ctx.Done():
				found <- ctx.Err()
				return
			}
		}
	}()
	ask(t, db, n, 1)
	if err := <-found; err != nil {
		t.Error(err)
	}
}

// TestReadersAndWriters runs both at once on two servers' connections: nobody is turned away, and every look
// is consistent.
func TestReadersAndWriters(t *testing.T) { each(t, testReadersAndWriters) }

func testReadersAndWriters(t *testing.T, open opener) {
	servers := []*DB{open(t), open(t)}
	n := addNode(t, servers[0], 1)
	const writers, writes, looks = 4, 25, 50
	var all sync.WaitGroup
	for i := range writers {
		all.Go(func() {
			for range writes {
				err := servers[i%2].Write(t.Context(), func(tx *Tx) error {
					got, err := tx.NodeByID(n.ID)
					if err != nil {
						return err
					}
					count, _ := got.Extra["count"].(float64)
					got.Extra = map[string]any{"count": count + 1}
					got.DriverInfo = secret.NewMap(map[string]any{"count": count + 1})
					return tx.SaveNode(got)
				})
				if err != nil {
					t.Errorf("a writer: %v", err)
					return
				}
			}
		})
		all.Go(func() {
			for range looks {
				err := servers[i%2].Read(t.Context(), func(tx *Tx) error {
					a, err := tx.NodeByID(n.ID)
					if err != nil {
						return err
					}
					b, err := tx.Nodes(NodeFilter{}, Page{Limit: 10})
					if err != nil {
						return err
					}
					x, y := a.Extra["count"], b[0].DriverInfo.Expose()["count"]
					if x != y {
						t.Errorf("one transaction saw %v and then %v", x, y)
					}
					return nil
				})
				if err != nil {
					t.Errorf("a reader: %v", err)
					return
				}
			}
		})
	}
	all.Wait()
	end := read(t, servers[1], func(tx *Tx) (*metal.Node, error) { return tx.NodeByID(n.ID) })
	if end.Extra["count"] != float64(writers*writes) {
		t.Errorf("%v of %d changes are there", end.Extra["count"], writers*writes)
	}
}

func TestNowIsOneMomentOfATransaction(t *testing.T) { each(t, testNowIsOneMomentOfATransaction) }

func testNowIsOneMomentOfATransaction(t *testing.T, open opener) {
	db := open(t)
	write(t, db, func(tx *Tx) error {
		a, err := tx.Now()
		if err != nil {
			return err
		}
		b, err := tx.Now()
		if !a.Equal(b) || a.Location() != time.UTC || time.Since(a).Abs() > time.Minute {
			t.Errorf("now is %v and %v", a, b)
		}
		return err
	})
}

func TestACallerWhoGoesLeavesTheWriterFree(t *testing.T) {
	each(t, testACallerWhoGoesLeavesTheWriterFree)
}

func testACallerWhoGoesLeavesTheWriterFree(t *testing.T, open opener) {
	db := open(t)
	ctx, cancel := context.WithCancel(t.Context())
	err := db.Write(ctx, func(tx *Tx) error {
		cancel()
		return tx.CreateNode(&metal.Node{UUID: id(1)})
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("a write whose caller went: %v", err)
	}
	addNode(t, db, 1)
}
