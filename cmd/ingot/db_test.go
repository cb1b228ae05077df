package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ingot/internal/metal"
	"ingot/internal/store"
	"ingot/internal/store/pgtest"
)

// ingot runs a command in this process and gives what it prints.
func ingot(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	c := root()
	c.SetOut(&out)
	c.SetErr(&out)
	c.SetArgs(args)
	err := c.ExecuteContext(t.Context())
	return out.String(), err
}

func mustIngot(t *testing.T, want string, args ...string) {
	t.Helper()
	if out, err := ingot(t, args...); err != nil || !strings.Contains(out, want) {
		t.Fatalf("ingot %s: %v\n%s\nwant %q", strings.Join(args, " "), err, out, want)
	}
}

func refusedIngot(t *testing.T, want string, args ...string) {
	t.Helper()
	if out, err := ingot(t, args...); err == nil || !strings.Contains(err.Error(), want) {
		t.Fatalf("ingot %s: %v\n%s\nwant an error with %q", strings.Join(args, " "), err, out, want)
	}
}

// dataWithNode is a server's data folder with a database of one node.
func dataWithNode(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	key, err := store.LoadKey(filepath.Join(dir, "ingot.key"))
	if err != nil {
		t.Fatal(err)
	}
	db, err := store.OpenSQLite(t.Context(), filepath.Join(dir, "ingot.db"), key)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.Write(t.Context(), func(tx *store.Tx) error {
		return tx.CreateNode(&metal.Node{UUID: "11111111-1111-4111-8111-111111111111", Name: "n1", ProvisionState: metal.Enroll})
	})
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestDatabaseCommands(t *testing.T) {
	data := dataWithNode(t)
	file := filepath.Join(t.TempDir(), "backup.db")
	mustIngot(t, "ok   the key is this database's", "db", "check", "--data", data)
	mustIngot(t, ", from "+filepath.Join(data, "ingot.key"), "db", "backup", file, "--data", data)
	refusedIngot(t, "is not overwritten", "db", "backup", file, "--data", data)
	refusedIngot(t, "is not overwritten", "db", "restore", file, "--data", data)

	other := t.TempDir()
	unlock, err := lockData(other)
	if err != nil {
		t.Fatal(err)
	}
	refusedIngot(t, "in use by another server", "db", "restore", file, "--data", other)
	unlock()
	mustIngot(t, "The key file "+filepath.Join(other, "ingot.key")+" is not there", "db", "restore", file, "--data", other)
	refusedIngot(t, "the key file", "db", "check", "--data", other)
	mustIngot(t, "nodes 1", "db", "check", "--data", other, "--key-file", filepath.Join(data, "ingot.key"))
	wrong := filepath.Join(t.TempDir(), "key")
	if _, err := store.LoadKey(wrong); err != nil {
		t.Fatal(err)
	}
	out, err := ingot(t, "db", "check", "--data", other, "--key-file", wrong)
	if err == nil || !strings.Contains(out, "BAD  the key does not open this database") {
		t.Errorf("the wrong key: %v\n%s", err, out)
	}
	refusedIngot(t, "no such file", "db", "backup", filepath.Join(other, "x"), "--data", filepath.Join(other, "none"))
	refusedIngot(t, "where to copy to", "db", "copy", "--data", data)
}

// TestMoveToPostgres goes the way of an operator whose one server becomes several, and back.
func TestMoveToPostgres(t *testing.T) {
	data, url := dataWithNode(t), pgtest.Empty(t)
	mustIngot(t, "nodes            1 rows, compared", "db", "copy", "--data", data, "--database", url)
	refusedIngot(t, "The target is not empty", "db", "copy", "--data", data, "--database", url)
	mustIngot(t, "nodes 1", "db", "check", "--database", url, "--data", data)
	file := filepath.Join(t.TempDir(), "backup.db")
	mustIngot(t, file, "db", "backup", file, "--database", url)
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the backup: %v, %v", info, err)
	}
	again := pgtest.Empty(t)
	mustIngot(t, "nodes            1 rows, compared", "db", "restore", file, "--database", again, "--data", data)
	refusedIngot(t, "The target is not empty", "db", "restore", file, "--database", again, "--data", data)
	back := t.TempDir()
	mustIngot(t, "was made of", "db", "restore", file, "--data", back, "--key-file", filepath.Join(data, "ingot.key"))
	mustIngot(t, "nodes 1", "db", "check", "--data", back, "--key-file", filepath.Join(data, "ingot.key"))
}

// TestThePasswordInTheConnectionIsNotShown: the URL of the database may hold a password.
func TestThePasswordInTheConnectionIsNotShown(t *testing.T) {
	const canary = "canary-connection-77"
	t.Setenv("INGOT_DATABASE__CONNECTION", "postgres://u:"+canary+"@127.0.0.1:1/db")
	out, err := ingot(t, "config", "show", "--changed")
	if err != nil || strings.Contains(out, canary) || !strings.Contains(out, "connection") {
		t.Errorf("config show: %v\n%s", err, out)
	}
	for _, args := range [][]string{{"db", "check", "--data", dataWithNode(t)}, {"serve", "--data", t.TempDir(), "--listen", "127.0.0.1:0", "--agent-listen", "127.0.0.1:0", "--boot-listen", "127.0.0.1:0"}} {
		out, err := ingot(t, args...)
		if err == nil || strings.Contains(out+err.Error(), canary) || !strings.Contains(err.Error(), "127.0.0.1") {
			t.Errorf("%v: %v\n%s", args, err, out)
		}
	}
}
