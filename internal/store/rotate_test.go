package store

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/osdef"
	"ingot/internal/secret"
)

// sealedOfAll fills what everything leaves out, so that every place of private values has one.
func sealedOfAll(t *testing.T, db *DB) {
	t.Helper()
	everything(t, db)
	write(t, db, func(tx *Tx) error {
		o, err := tx.Operation(id(1))
		if err != nil {
			return err
		}
		o.Result = `{"answer": "` + canary + `"}`
		if _, err := tx.SigningKey(); err != nil {
			return err
		}
		boot := &metal.NetworkBoot{NodeUUID: id(1), Generation: "g", Key: secret.New(canary), Config: secret.New(canary), Expires: time.Now().Add(time.Hour), MACs: []string{"52:54:00:00:00:01"}}
		instance := &Instance{Seed: secret.New(canary), Answers: secret.New(canary), Request: secret.New(canary)}
		node := &metal.Node{ID: o.NodeID, UUID: id(1)}
		bundle := osBundle(t, canary)
		definition := osRecord(t, 1, "debian", bundle)
		install := &OSInstall{Parameters: osdef.Classes{Private: map[string]secret.Secret{"token": secret.New(canary)}}}
		return errors.Join(tx.CreateOSDefinition(definition, bundle), tx.SaveOSInstall(node, install), tx.OpenOSChannel(node, "deploy"), tx.PutOSMessage(node, "deploy", ToMachine, []byte(canary), nil), tx.SaveInstance(node, instance), tx.SetInstancePassword(node, instance.Deploy, secret.New(canary)), tx.SaveOperation(o), tx.CreateRule(&metal.InspectionRule{UUID: id(1)}), tx.CreateTemplate(&metal.DeployTemplate{UUID: id(1), Name: "CUSTOM_A"}),
			tx.CreateRunbook(&metal.Runbook{UUID: id(1), Name: "CUSTOM_B"}), tx.SaveNetworkBoot(o.NodeID, boot))
	})
}

// sealedBy counts the values of every column by the key that sealed them, and opens each.
func sealedBy(t *testing.T, db *DB) map[string]map[string]int {
	t.Helper()
	out := map[string]map[string]int{}
	err := db.Read(t.Context(), func(tx *Tx) error {
		for _, c := range sealedColumns {
			out[c.what] = map[string]int{}
			rows, err := tx.rows(c.newestFirst(), 1000)
			if err != nil {
				return err
			}
			for rows.Next() {
				var row, field string
				var value []byte
				if err := rows.Scan(&row, &field, &value); err != nil {
					return err
				}
				sealed, err := c.out(value)
				if err == nil {
					_, err = db.key.open(sealed, row, field)
				}
				if err != nil {
					t.Errorf("%s of %s: %v", c.what, row, err)
				}
				out[c.what][c.keyOf(value, db.key.ring.base().id)]++
			}
			if err := errors.Join(rows.Err(), rows.Close()); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func live(t *testing.T, db *DB, name string) {
	t.Helper()
	write(t, db, func(tx *Tx) error { return tx.SaveServer(Server{Name: name, Place: name}, time.Minute) })
}

// TestRotation rotates the keys of a database that two servers serve, step by step, and looks after each that both read
// everything.
func TestRotation(t *testing.T) { each(t, testRotation) }

func testRotation(t *testing.T, open opener) {
	one, two := open(t), open(t)
	ctx := t.Context()
	sealedOfAll(t, one)
	derived := one.key.Derive("x").Expose()
	old := one.KeyID()
	for what, by := range sealedBy(t, one) {
		if by[old] == 0 || len(by) != 1 {
			t.Fatalf("%s before: %v; this test would show nothing of it", what, by)
		}
	}
	write(t, one, func(tx *Tx) error { return tx.ForgetServer("c1", "p") })
	live(t, one, "one")
	live(t, two, "two")
	worker := open(t) // whoever runs the rotation
	next := testKey(t, t.TempDir())
	if fresh, err := worker.BeginRotation(ctx, next); err != nil || !fresh {
		t.Fatalf("begin: %v, %v", fresh, err)
	}
	if fresh, err := worker.BeginRotation(ctx, next); err != nil || fresh {
		t.Errorf("begin again: %v, %v", fresh, err)
	}
	if _, err := worker.BeginRotation(ctx, testKey(t, t.TempDir())); fault.KindOf(err) != fault.Conflict {
		t.Errorf("begin with another key: %v", err)
	}
	waits := func(step string, f func(context.Context, time.Duration) ([]Lagging, error), want ...string) {
		t.Helper()
		got, err := f(ctx, time.Minute)
		var names []string
		for _, l := range got {
			names = append(names, l.Name)
			if l.Old {
				t.Errorf("%s: %s is said to be old", step, l.Name)
			}
		}
		if err != nil || !slices.Equal(names, want) {
			t.Fatalf("%s waits for %v, want %v, %v", step, names, want, err)
		}
	}
	learns := func(name string, db *DB, fresh bool) {
		t.Helper()
		if got, err := db.RefreshKeys(ctx); err != nil || got != fresh {
			t.Fatalf("%s reads the keys: %v, %v", name, got, err)
		}
		live(t, db, name)
	}
	waits("use", worker.UseComing, "one", "two")
	learns("one", one, true)
	waits("use", worker.UseComing, "two")
	learns("two", two, true)
	waits("use", worker.UseComing)
	learns("two", two, true)
	addNode(t, two, 50) // sealed with the new key, and read by a server that still seals with the old
	if by := sealedBy(t, one)["driver_info of nodes"]; len(by) != 2 || by[old] == 0 {
		t.Errorf("while two seals with the new key: %v", by)
	}
	waits("sealing", worker.SealingOther, "one")
	learns("one", one, true)
	waits("sealing", worker.SealingOther)

	batches := 0
	if all, err := worker.Reseal(ctx, func(Resealed) { batches++ }); err != nil || all.Values < len(sealedColumns) || all.Broken != 0 || batches < len(sealedColumns) {
		t.Errorf("resealed %+v in %d batches, %v", all, batches, err)
	}
	if retired, err := worker.RetireOld(ctx); err != nil || !slices.Equal(retired, []string{old}) {
		t.Errorf("retired %v, %v", retired, err)
	}
	use, err := KeyUse(ctx, worker)
	if current := worker.key.ring.sealing().id; err != nil || use[old] != 0 || use[current] == 0 || len(use) != 1 {
		t.Errorf("in use: %v, %v", use, err)
	}
	for what, by := range sealedBy(t, one) {
		if by[old] != 0 || len(by) != 1 {
			t.Errorf("%s afterwards: %v", what, by)
		}
	}
	theLastStep(t, worker, one, two, next, old)
	if got := one.key.Derive("x").Expose(); got != derived {
		t.Error("what is derived is another key now")
	}
	if by := sealedBy(t, two); len(by) != len(sealedColumns) {
		t.Errorf("two reads %d columns", len(by))
	}
	keys, err := ListKeys(ctx, worker)
	if err != nil || Unfinished(keys) || keys[0].State != KeyRetired || keys[0].RetiredAt.IsZero() || !keys[0].First {
		t.Errorf("the keys afterwards: %+v, %v", keys, err)
	}
}

// theLastStep takes the old key its power to open the database.
func theLastStep(t *testing.T, worker, one, two *DB, next Key, old string) {
	t.Helper()
	ctx := t.Context()
	forget := func(want int) {
		t.Helper()
		if wait, err := worker.ForgetMasters(ctx, time.Minute); err != nil || len(wait) != want {
			t.Errorf("forget waits for %v, %v", wait, err)
		}
	}
	if err := worker.GiveKey(ctx, testKey(t, t.TempDir())); !errors.Is(err, ErrSealed) {
		t.Errorf("a key that is none of the database's: %v", err)
	}
	if err := errors.Join(worker.GiveKey(ctx, next), one.GiveKey(ctx, next)); err != nil {
		t.Fatal(err)
	}
	live(t, one, "one")
	forget(1)
	if err := two.GiveKey(ctx, next); err != nil {
		t.Fatal(err)
	}
	live(t, two, "two")
	forget(0)
	masters, err := Masters(ctx, worker)
	if err != nil || !slices.Equal(masters, []string{next.ID()}) {
		t.Errorf("it opens with %v, %v; the old one was %s", masters, err, old)
	}
}

// TestOldKeyIsRefused: after a rotation the old key is a wrong one, and the error says which is right.
func TestOldKeyIsRefused(t *testing.T) {
	dir := t.TempDir()
	db := openAt(t, dir)
	addNode(t, db, 1, func(n *metal.Node) { n.DriverInfo = secret.NewMap(map[string]any{"password": canary}) })
	next := testKey(t, t.TempDir())
	rotateAlone(t, db, next)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "ingot.db")
	if _, err := OpenSQLite(t.Context(), file, testKey(t, dir)); !errors.Is(err, ErrSealed) || !strings.Contains(err.Error(), next.ID()) {
		t.Errorf("with the old key: %v", err)
	}
	again, err := OpenSQLite(t.Context(), file, next)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if n := read(t, again, func(tx *Tx) (*metal.Node, error) { return tx.Node(id(1)) }); n.DriverInfo.Public("password") != canary {
		t.Error("with the new key the password is another")
	}
	found, err := Check(t.Context(), again, next)
	for _, f := range found {
		if f.Bad {
			t.Errorf("check: %s", f.Text)
		}
	}
	if err != nil {
		t.Error(err)
	}
}

// rotateAlone does a whole rotation where no server runs.
func rotateAlone(t *testing.T, db *DB, next Key) {
	t.Helper()
	ctx := t.Context()
	_, err := db.BeginRotation(ctx, next)
	if err == nil {
		_, err = db.UseComing(ctx, time.Minute)
	}
	if err == nil {
		_, err = db.Reseal(ctx, func(Resealed) {})
	}
	if err == nil {
		_, err = db.RetireOld(ctx)
	}
	if err == nil {
		err = db.GiveKey(ctx, next)
	}
	if err == nil {
		_, err = db.ForgetMasters(ctx, time.Minute)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestWritersDuringReseal: nodes are changed all the while by two servers, one of which still seals with the old key; no change is
// lost, and in the end nothing is left under the old key.
func TestWritersDuringReseal(t *testing.T) { each(t, testWritersDuringReseal) }

func testWritersDuringReseal(t *testing.T, open opener) {
	old, fresh := open(t), open(t)
	ctx := t.Context()
	const nodes, writes = 4, 20
	for i := range nodes {
		addNode(t, old, i+1)
	}
	next := testKey(t, t.TempDir())
	if _, err := fresh.BeginRotation(ctx, next); err != nil {
		t.Fatal(err)
	}
	if _, err := old.RefreshKeys(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := fresh.UseComing(ctx, time.Minute); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for i, db := range []*DB{old, fresh} {
		all.Go(func() {
			for w := range writes {
				err := db.Write(ctx, func(tx *Tx) error {
					n, err := tx.Node(id(w%nodes + 1))
					if err != nil {
						return err
					}
					n.DriverInfo = n.DriverInfo.With(string(rune('a'+i))+"-"+id(w), canary)
					return tx.SaveNode(n)
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 5 {
		if _, err := fresh.Reseal(ctx, func(Resealed) {}); err != nil {
			t.Error(err)
		}
	}
	all.Wait()
	written := 0
	for i := range nodes {
		n := read(t, fresh, func(tx *Tx) (*metal.Node, error) { return tx.Node(id(i + 1)) })
		written += n.DriverInfo.Len()
	}
	if written != 2*writes {
		t.Errorf("%d of %d changes are there", written, 2*writes)
	}
	if _, err := fresh.Reseal(ctx, func(Resealed) {}); err != nil {
		t.Fatal(err)
	}
	if use, err := KeyUse(ctx, fresh); err != nil || len(use) != 1 {
		t.Errorf("in use: %v, %v", use, err)
	}
}

// TestUnreadKey: what a key sealed that this server has not read is unavailable for now, and not broken; an operation's
// record neither.
func TestUnreadKey(t *testing.T) {
	dir := t.TempDir()
	frozen, db := openAt(t, dir), openAt(t, dir)
	n := addNode(t, db, 1)
	ask(t, db, n, 1)
	rotateAlone(t, db, testKey(t, t.TempDir()))
	for what, f := range map[string]func(*Tx) error{
		"node":      func(tx *Tx) error { _, err := tx.Node(id(1)); return err },
		"operation": func(tx *Tx) error { _, err := tx.Operation(id(1)); return err },
	} {
		if err := frozen.Read(t.Context(), f); fault.KindOf(err) != fault.Unavailable {
			t.Errorf("%s: %v", what, err)
		}
	}
	select {
	case <-frozen.KeysMissed():
	default:
		t.Error("the server does not hear that it misses a key")
	}
}

// TestSealedColumnsAreAll: every column of bytes is sealed and rotated, or named here as one that is not.
func TestSealedColumnsAreAll(t *testing.T) {
	other := []string{"sealing_key_wraps.wrapped"} // keys themselves
	listed := slices.Clone(other)
	for _, c := range sealedColumns {
		listed = append(listed, c.table+"."+c.column)
	}
	db := openAt(t, t.TempDir())
	var found []string
	err := db.look(t.Context(), func(r raw) (err error) {
		found, err = r.list("SELECT m.name || '.' || c.name FROM sqlite_master m JOIN pragma_table_info(m.name) c WHERE m.type = 'table' AND c.type = 'BLOB'")
		return err
	})
	if err != nil || len(found) < 10 {
		t.Fatalf("columns %v, %v", found, err)
	}
	for _, name := range found {
		if !slices.Contains(listed, name) {
			t.Errorf("%s holds bytes and is not in sealedColumns: a rotation would leave it behind", name)
		}
	}
}

// TestNoKeyInTheDatabase looks for the bytes of all keys in the files of a rotated database, and for the old values under
// the old key in what is copied of it.
func TestNoKeyInTheDatabase(t *testing.T) {
	dir := t.TempDir()
	db := openAt(t, dir)
	addNode(t, db, 1, func(n *metal.Node) { n.DriverInfo = secret.NewMap(map[string]any{"password": canary}) })
	next := testKey(t, t.TempDir())
	rotateAlone(t, db, next)
	all := maps.Clone(db.key.ring.keys)
	all["given"] = next.ring.given()
	files, err := filepath.Glob(filepath.Join(dir, "ingot.db*"))
	if err != nil || len(files) < 2 {
		t.Fatalf("files %v, %v", files, err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for id, k := range all {
			k.raw.Use(func(b []byte) {
				if bytes.Contains(text, b) {
					t.Errorf("%s holds the key %s", filepath.Base(name), id)
				}
			})
		}
		if bytes.Contains(text, []byte(canary)) {
			t.Errorf("%s holds the password", filepath.Base(name))
		}
	}
}
