package store

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ingot/internal/agentapi"
	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/secret"
	"ingot/internal/store/pgtest"
)

// everything fills a database with rows of all kinds, some of them gone again.
func everything(t *testing.T, db *DB) {
	t.Helper()
	for i := 1; i <= 3; i++ {
		n := &metal.Node{}
		fill(t, n, "Reservation", "AllocationUUID")
		n.UUID, n.Name, n.InstanceUUID, n.Driver, n.ConductorGroup = id(i), "node "+id(i), id(100+i), "fake", ""
		n.InstanceInfo = secret.NewMap(map[string]any{"configdrive": canary + strings.Repeat("x", 300_000)}) // more than one INSERT carries
		write(t, db, func(tx *Tx) error {
			return errors.Join(tx.CreateNode(n), tx.CreatePort(&metal.Port{UUID: id(i), NodeUUID: n.UUID, Address: "52:54:00:00:00:0" + string(rune('0'+i))}),
				tx.SaveAgent(&Agent{NodeID: n.ID, NodeUUID: n.UUID, Boot: "b", Token: secret.New(canary),
					AgentKey: secret.New(canary), Commander: agentapi.Pair{Certificate: "c", Key: secret.New(canary)}}), tx.AddLog(n, "op", "agent", []byte(canary)),
				tx.AppendEvent(n.ID, metal.HistoryEvent{Kind: "step", Why: "ünïcode \\ \"quoted\" 'and' more"}), tx.SaveInventory(n.ID, []byte("{}"), []byte("{}")),
				tx.SaveReport(&Report{NodeID: n.ID, Boot: "b", Inventory: []byte("{}"), Plugins: []byte("{}")}),
				tx.CreatePortgroup(&metal.Portgroup{UUID: id(i), NodeUUID: n.UUID}), tx.CreateChassis(&metal.Chassis{UUID: id(i)}),
				tx.CreateConnector(&metal.VolumeConnector{UUID: id(i), NodeUUID: n.UUID, ConnectorID: id(i)}),
				tx.CreateTarget(&metal.VolumeTarget{UUID: id(i), NodeUUID: n.UUID, Properties: secret.NewMap(map[string]any{"password": canary})}),
				tx.EnsureSweeps([]Sweep{{Kind: "check", NodeID: n.ID}, {Kind: "power", Driver: "fake"}}))
		})
		ask(t, db, n, i, func(o *Operation) { o.Record = []byte(`{"x": "` + canary + `"}`) })
	}
	write(t, db, func(tx *Tx) error {
		n, err := tx.Node(id(3))
		if err != nil {
			return err
		}
		return errors.Join(tx.DeleteNode(n.ID), // its ids are never given again
			tx.SaveConductor("c1", "g", []metal.HardwareType{{Name: "fake"}}), tx.SaveServer(Server{Name: "c1", Place: "p"}, time.Minute), tx.DenyPeer("c9", "alice"))
	})
	claim(t, db, "c1", time.Hour)
	if err := db.Place(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// contents are what the tables of a database come to, and their counters.
func contents(t *testing.T, db *DB) (sums map[string]sum, last map[string]int64) {
	t.Helper()
	sums, last = map[string]sum{}, map[string]int64{}
	err := db.look(t.Context(), func(r raw) error {
		all, err := r.tables()
		if err != nil {
			return err
		}
		for _, tb := range all {
			if sums[tb.name], err = r.sum(tb); err != nil {
				return err
			}
			if tb.counts {
				if last[tb.name], err = r.lastID(tb); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return sums, last
}

func sameContents(t *testing.T, where string, got, want *DB) {
	t.Helper()
	g, gl := contents(t, got)
	w, wl := contents(t, want)
	if len(w) == 0 || len(g) != len(w) {
		t.Fatalf("%s: %d tables of %d", where, len(g), len(w))
	}
	for name := range w {
		if g[name] != w[name] || gl[name] != wl[name] {
			t.Errorf("%s: table %s has %d rows and counts to %d, want %d and %d, and the same", where, name, g[name].rows, gl[name], w[name].rows, wl[name])
		}
		if w[name].rows == 0 {
			t.Logf("table %s is empty: this test shows nothing of it", name)
		}
	}
}

// plain opens a database for maintenance.
func plain(t *testing.T, db *DB, err error) *DB {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// TestThereAndBack copies a database with everything in it from SQLite to PostgreSQL, backs that up, and restores
// the backup into both: all are equal, and an operation that was under way goes on.
func TestThereAndBack(t *testing.T) {
	dir, ctx := t.TempDir(), t.Context()
	key := testKey(t, dir)
	source := openAt(t, dir)
	everything(t, source)

	url := secret.New(migrated.Copy(t))
	open := func() *DB { db, err := PlainPostgres(ctx, url); return plain(t, db, err) }
	target := open()
	from, err := PlainSQLite(ctx, filepath.Join(dir, "ingot.db"))
	from = plain(t, from, err)
	tables, err := Copy(ctx, from, target)
	if err != nil {
		t.Fatal(err)
	}
	if len(tables) < 8 || tables[0].Rows == 0 {
		t.Errorf("copied %v", tables)
	}
	sameContents(t, "the copy", target, source)
	if _, err := Copy(ctx, from, target); fault.KindOf(err) != fault.Conflict || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("a second copy: %v", err)
	}

	file := filepath.Join(dir, "backup.db")
	if err := Backup(ctx, target, file); err != nil {
		t.Fatal(err)
	}
	checkFile(t, file)
	if err := Backup(ctx, target, file); fault.KindOf(err) != fault.Conflict {
		t.Errorf("a backup over another: %v", err)
	}
	back := filepath.Join(dir, "restored", "ingot.db")
	if err := os.Mkdir(filepath.Dir(back), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Restored(ctx, file, back); err != nil {
		t.Fatal(err)
	}
	if err := Restored(ctx, file, back); fault.KindOf(err) != fault.Conflict {
		t.Errorf("restored over a database: %v", err)
	}
	sameContents(t, "restored to SQLite", plainAt(t, back), source)
	other, err := PlainPostgres(ctx, secret.New(migrated.Copy(t)))
	other = plain(t, other, err)
	if _, err := RestoredTo(ctx, file, other); err != nil {
		t.Fatal(err)
	}
	sameContents(t, "restored to PostgreSQL", other, source)

	server, err := OpenPostgres(ctx, url, key)
	server = plain(t, server, err)
	goesOn(t, server)
	restored, err := OpenSQLite(ctx, back, key)
	goesOn(t, plain(t, restored, err))
	if _, err := OpenPostgres(ctx, url, testKey(t, t.TempDir())); !errors.Is(err, ErrSealed) {
		t.Errorf("the copy with another key: %v", err)
	}
}

func plainAt(t *testing.T, path string) *DB {
	t.Helper()
	db, err := PlainSQLite(t.Context(), path)
	return plain(t, db, err)
}

// goesOn takes over the operation of a server that is gone, adds rows with new ids, and reads what is sealed.
func goesOn(t *testing.T, db *DB) {
	t.Helper()
	write(t, db, func(tx *Tx) error { return tx.DropLeases("c1") })
	o := claim(t, db, "c2", lease)
	if o != nil && o.UUID == id(2) { // nobody had begun that one
		o = claim(t, db, "c2", lease)
	}
	if o == nil || o.TakenOverFrom != "c1" || !bytes.Contains(o.Record, []byte(canary)) || o.Broken != nil {
		t.Fatalf("the operation under way: %+v", o)
	}
	n := addNode(t, db, 9)
	if n.ID != 4 {
		t.Errorf("the next node's row is %d, want 4: 3 was one that is gone", n.ID)
	}
	first := read(t, db, func(tx *Tx) (*metal.Node, error) { return tx.Node(id(1)) })
	drive, _ := read(t, db, func(tx *Tx) (any, error) { return tx.ConfigDrive(first) }).(string)
	if !strings.HasPrefix(drive, canary) || first.InstanceInfo.Public("configdrive") != secret.Mask {
		t.Error("a sealed value is another")
	}
}

func checkFile(t *testing.T, path string) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the backup: %v, %v", info, err)
	}
	left, err := filepath.Glob(filepath.Join(filepath.Dir(path), ".ingot-*"))
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	text, err := os.ReadFile(path)
	if err != nil || bytes.Contains(text, []byte(canary)) || !bytes.Contains(text, []byte("node "+id(1))) {
		t.Errorf("the backup holds a secret, or not even a name: %v", err)
	}
}

// TestBackupWhileServersWork backs up while a writer changes two tables together: the copy never has one of
// the changes without the other.
func TestBackupWhileServersWork(t *testing.T) { each(t, testBackupWhileServersWork) }

func testBackupWhileServersWork(t *testing.T, open opener) {
	db := open(t)
	n := addNode(t, db, 1)
	ctx, cancel := context.WithCancel(t.Context())
	wrote, ended := make(chan struct{}, 1), make(chan struct{})
	go func() {
		defer close(ended)
		for i := 0; ctx.Err() == nil; i++ {
			_ = db.Write(ctx, func(tx *Tx) error {
				n, err := tx.NodeByID(n.ID)
				if err != nil {
					return err
				}
				n.Extra = map[string]any{"events": i + 1}
				return errors.Join(tx.SaveNode(n), tx.AppendEvent(n.ID, metal.HistoryEvent{Kind: "step"}))
			})
			select {
			case wrote <- struct{}{}:
			default:
			}
		}
	}()
	defer func() { cancel(); <-ended }()
	for range 3 {
		<-wrote
		file := filepath.Join(t.TempDir(), "b.db")
		if err := Backup(t.Context(), db, file); err != nil {
			t.Fatal(err)
		}
		copied := plainAt(t, file)
		copied.key = db.key
		got := read(t, copied, func(tx *Tx) (*metal.Node, error) { return tx.NodeByID(n.ID) })
		events := read(t, copied, func(tx *Tx) ([]metal.HistoryEvent, error) { return tx.Events(got, Page{}) })
		if count, _ := got.Extra["events"].(float64); int(count) != len(events) {
			t.Errorf("the node tells of %v events, there are %d", count, len(events))
		}
	}
}

func TestCheck(t *testing.T) { each(t, testCheck) }

func testCheck(t *testing.T, open opener) {
	db := open(t)
	everything(t, db)
	look := func(db *DB, key Key) (good, bad string) {
		t.Helper()
		found, err := Check(t.Context(), db, key)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range found {
			if f.Bad {
				bad += f.Text + "\n"
			} else {
				good += f.Text + "\n"
			}
		}
		return good, bad
	}
	write(t, db, func(tx *Tx) error {
		return tx.CreateTemplate(&metal.DeployTemplate{UUID: id(77), Name: "CUSTOM_CHECKED", Steps: []metal.Step{{Interface: "deploy", Step: "tune"}}})
	})
	good, bad := look(db, db.key)
	for _, want := range []string{"this program's", "nodes 2", "the key is this database's", "driver_info of nodes: 2 opened", "tokens of agents: 2 opened", "logs: 2 opened", "records of operations: 2 opened", "steps of deploy templates: 1 opened",
		"properties of volume targets: 2 opened"} {
		if !strings.Contains(good, want) {
			t.Errorf("not found: %q in\n%s", want, good)
		}
	}
	if bad != "" || strings.Contains(good, canary) {
		t.Errorf("a good database: %s", bad)
	}
	if _, bad := look(db, testKey(t, t.TempDir())); !strings.Contains(bad, "opens with the key") {
		t.Errorf("another key: %q", bad)
	}
	write(t, db, func(tx *Tx) error {
		_, err := tx.exec("UPDATE nodes SET driver_info = instance_info WHERE uuid = ?", id(2))
		return err
	})
	if good, bad := look(db, db.key); !strings.Contains(bad, "driver_info of nodes: a value of "+id(2)) || !strings.Contains(good, "driver_info of nodes: 1 opened") {
		t.Errorf("a moved value: %q", bad)
	}
}

// TestBadBackups: what is no backup is not restored.
func TestBadBackups(t *testing.T) {
	dir := t.TempDir()
	everything(t, openAt(t, dir))
	good, to := filepath.Join(dir, "good.db"), filepath.Join(dir, "to.db")
	if err := Backup(t.Context(), plainAt(t, filepath.Join(dir, "ingot.db")), good); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	damaged := bytes.Clone(text)
	for i := 5 * 4096; i < 9*4096; i++ {
		damaged[i] ^= 0x5a
	}
	future := filepath.Join(dir, "future.db")
	if err := os.WriteFile(future, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := plainAt(t, future).write.Exec("INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1)"); err != nil {
		t.Fatal(err)
	}
	futureText, err := os.ReadFile(future)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		text []byte
		want fault.Kind
	}{
		"text": {[]byte("this is no database, but it is long enough to look like a file of some kind"), fault.Invalid}, "empty": {nil, fault.Invalid},
		"cut": {text[:len(text)/2], fault.Invalid}, "damaged": {damaged, fault.Invalid}, "of a newer program": {futureText, fault.Conflict},
	} {
		file := filepath.Join(dir, "bad "+name)
		if err := os.WriteFile(file, c.text, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := Restored(t.Context(), file, to); fault.KindOf(err) != c.want {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Stat(to); err == nil {
			t.Fatalf("%s: it was restored", name)
		}
	}
	if _, err := PlainSQLite(t.Context(), filepath.Join(dir, "none")); err == nil {
		t.Error("a file that is not there was opened")
	}
	empty, err := PlainPostgres(t.Context(), secret.New(pgtest.Empty(t)))
	empty = plain(t, empty, err)
	if err := Backup(t.Context(), empty, to); fault.KindOf(err) != fault.NotFound {
		t.Errorf("the backup of an empty database: %v", err)
	}
}
