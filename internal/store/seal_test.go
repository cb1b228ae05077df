package store

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ingot/internal/agentapi"
	"ingot/internal/metal"
	"ingot/internal/secret"
)

const canary = "canary-7f3a91"

// TestNoSecretInTheFiles plants values wherever private ones are kept and looks for them in every byte of the
// database, while it is open and after it was closed.
func TestNoSecretInTheFiles(t *testing.T) {
	dir := t.TempDir()
	db := openAt(t, dir)
	for round := range 3 { // written anew: what was before lies about in free pages
		plant := func(what string) string { return fmt.Sprintf("%s-%s-%d", canary, what, round) }
		write(t, db, func(tx *Tx) error {
			n := &metal.Node{UUID: id(1), Name: "in-clear", ProvisionState: metal.Enroll}
			if round > 0 {
				var err error
				if n, err = tx.Node(id(1)); err != nil {
					return err
				}
			} else if err := tx.CreateNode(n); err != nil {
				return err
			}
			n.DriverInfo = secret.NewMap(map[string]any{"redfish_password": plant("bmc"), "deep": map[string]any{"x": []any{plant("deep")}}, plant("key"): 1})
			n.InstanceInfo = secret.NewMap(map[string]any{"configdrive": plant("drive") + strings.Repeat("x", 20000)})
			if err := tx.SaveNode(n); err != nil {
				return err
			}
			o := &Operation{UUID: id(10 + round), NodeID: n.ID, Record: []byte(`{"x": "` + plant("record") + `"}`), Driver: "fake"}
			if err := tx.CreateOperation(o); err != nil {
				return err
			}
			o.Record = []byte(`{"x": "` + plant("saved record") + `"}`)
			if err := tx.SaveOperation(o); err != nil {
				return err
			}
			a := &Agent{NodeID: n.ID, NodeUUID: n.UUID, Boot: fmt.Sprint("boot", round), Token: secret.New(plant("token")),
				AgentKey: secret.New(plant("agent key")), Commander: agentapi.Pair{Certificate: "c", Key: secret.New(plant("commander key"))}}
			return errors.Join(tx.SaveAgent(a), tx.AddLog(n, o.UUID, "agent", []byte(plant("log"))))
		})
	}
	look := func(when string, atLeast int) {
		files, err := filepath.Glob(filepath.Join(dir, "ingot.db*"))
		if err != nil || len(files) < atLeast {
			t.Fatalf("%s the files are %v, %v", when, files, err)
		}
		control := false
		for _, name := range files {
			raw, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if at := bytes.Index(raw, []byte(canary)); at >= 0 {
				t.Errorf("%s a secret is in %s: %q", when, filepath.Base(name), raw[at:min(at+60, len(raw))])
			}
			control = control || bytes.Contains(raw, []byte("in-clear"))
		}
		if !control {
			t.Errorf("%s not even the node's name is found: the search is broken", when)
		}
	}
	look("while open", 3) // with -wal and -shm
	n := read(t, db, func(tx *Tx) (*metal.Node, error) { return tx.Node(id(1)) })
	if got := n.DriverInfo.Public("redfish_password"); got != canary+"-bmc-2" {
		t.Errorf("the password comes back as %q", got)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	look("after close", 1)
}

// TestSealedValuesStay moves sealed values to where they do not belong, and alters them.
func TestSealedValuesStay(t *testing.T) { each(t, testSealedValuesStay) }

func testSealedValuesStay(t *testing.T, open opener) {
	db := open(t)
	var nodes []*metal.Node
	for i := 1; i <= 2; i++ {
		n := addNode(t, db, i, func(n *metal.Node) {
			n.DriverInfo, n.InstanceInfo = secret.NewMap(map[string]any{"a": "b"}), secret.NewMap(map[string]any{"c": "d"})
		})
		nodes = append(nodes, n)
		ask(t, db, n, i)
		write(t, db, func(tx *Tx) error {
			return errors.Join(tx.SaveAgent(&Agent{NodeID: n.ID, NodeUUID: n.UUID, Boot: "b", Token: secret.New("t")}),
				tx.AddLog(n, "", "agent", []byte("x")), tx.AddLog(n, "", "console", []byte("y")))
		})
	}
	n := nodes[0]
	node := func(tx *Tx) error { _, err := tx.NodeByID(n.ID); return err }
	operation := func(tx *Tx) error { // a record that does not open is the row's, and not a reader's failure
		o, err := tx.Operation(id(1))
		return errors.Join(err, o.Broken)
	}
	agent := func(tx *Tx) error { _, err := tx.Agent(n); return err }
	log := func(tx *Tx) error { _, err := tx.LogData(n, "agent"); return err }
	for _, c := range []struct {
		what, change string
		look         func(*Tx) error
	}{
		{"to another node", "UPDATE nodes SET driver_info = (SELECT driver_info FROM nodes WHERE id = 2) WHERE id = 1", node},
		{"to another field", "UPDATE nodes SET driver_info = instance_info WHERE id = 1", node},
		{"a bit changed", "UPDATE nodes SET instance_info = CAST(substr(instance_info, 1, 20) || X'00' || substr(instance_info, 22) AS BLOB) WHERE id = 1", node},
		{"another version", "UPDATE nodes SET instance_info = CAST(X'03' || substr(instance_info, 2) AS BLOB) WHERE id = 1", node},
		{"cut short", "UPDATE nodes SET instance_info = X'01' WHERE id = 1", node},
		{"in clear", "UPDATE nodes SET driver_info = CAST('{}' AS BLOB) WHERE id = 1", node},
		{"record of another operation", "UPDATE operations SET record = (SELECT record FROM operations WHERE id = 2) WHERE id = 1", operation},
		{"token of another node", "UPDATE agents SET token = (SELECT token FROM agents WHERE node_id = 2) WHERE node_id = 1", agent},
		{"token of another boot", "UPDATE agents SET boot = 'b2' WHERE node_id = 1", agent},
		{"log of another node", "UPDATE logs SET data = (SELECT data FROM logs WHERE node_id = 2 AND name = 'agent') WHERE node_id = 1 AND name = 'agent'", log},
		{"log of another name", "UPDATE logs SET data = (SELECT data FROM logs WHERE node_id = 1 AND name = 'console') WHERE node_id = 1 AND name = 'agent'", log},
	} {
		undo := errors.New("undo")
		err := db.Write(t.Context(), func(tx *Tx) error {
			if err := c.look(tx); err != nil {
				t.Fatalf("%s: it does not open before: %v", c.what, err)
			}
			change := c.change
			if tx.db.dialect == &postgresDialect {
				change = inPostgres.Replace(change)
			}
			res, err := tx.exec(change)
			if err != nil {
				t.Fatalf("%s: %v", c.what, err)
			}
			if rows, err := res.RowsAffected(); rows != 1 || err != nil {
				t.Fatalf("%s: %d rows changed, %v", c.what, rows, err)
			}
			if err := c.look(tx); !errors.Is(err, ErrSealed) {
				t.Errorf("%s: %v, want ErrSealed", c.what, err)
			}
			return undo
		})
		if !errors.Is(err, undo) {
			t.Fatal(err)
		}
	}
}

// inPostgres writes bytes as PostgreSQL does.
var inPostgres = strings.NewReplacer("BLOB", "BYTEA", "X'00'", `CAST('\x00' AS BYTEA)`, "X'03'", `CAST('\x03' AS BYTEA)`, "X'01'", `CAST('\x01' AS BYTEA)`)

// A key that is not the database's is refused at once, and so is a missing one: a new one is not made beside
// what an old one sealed.
func TestWrongKey(t *testing.T) {
	dir := t.TempDir()
	db := openAt(t, dir)
	addNode(t, db, 1)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	database := filepath.Join(dir, "ingot.db")
	other, err := LoadKey(filepath.Join(dir, "other key"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenSQLite(t.Context(), database, other); !errors.Is(err, ErrSealed) {
		t.Errorf("open with the wrong key: %v, want ErrSealed", err)
	}
	missing := filepath.Join(dir, "gone")
	if _, err := KeyFor(database, missing); err == nil || !strings.Contains(err.Error(), "backup") {
		t.Errorf("the key of a database is missing: %v", err)
	}
	if _, err := os.Stat(missing); err == nil {
		t.Error("a new key was made beside an old database")
	}
	if _, err := KeyFor(filepath.Join(dir, "new.db"), missing); err != nil {
		t.Errorf("a new database: %v", err)
	}
}

func TestKeyFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "deep", "key")
	key, err := LoadKey(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 || info.Size() != keySize {
		t.Fatalf("the key file: %v, %v", info, err)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	again, err := LoadKey(path)
	if err != nil || key.ID() != again.ID() {
		t.Errorf("the second reading: %v", err)
	}
	if a, b := key.Derive("one"), key.Derive("two"); a.Equal(b.Expose()) || a.Equal(hex.EncodeToString(raw)) || !a.Equal(again.Derive("one").Expose()) {
		t.Error("derived keys must differ by purpose, and only by it")
	}
	for _, mode := range []os.FileMode{0o644, 0o640, 0o604, 0o660} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadKey(path); err == nil || !strings.Contains(err.Error(), "chmod 600") {
			t.Errorf("mode %04o: %v", mode, err)
		}
	}
	short := filepath.Join(dir, "short")
	if err := os.WriteFile(short, make([]byte, keySize-1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadKey(short); err == nil {
		t.Error("a short key was taken")
	}
	if out := fmt.Sprintf("%v %+v %#v", key, key, &key); strings.Contains(out, string(raw)) || strings.Contains(out, fmt.Sprint(raw[:8])[1:]) {
		t.Error("the key can be printed")
	}
}
