package store

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ingot/internal/fault"
	"ingot/internal/secret"
)

// TestDatabaseOutOfReach asks a port that nobody listens on: whoever starts a server is told why, and not the
// password.
func TestDatabaseOutOfReach(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	where := secret.New(fmt.Sprintf("postgres://ingot:sesame@%s/ingot", address))
	_, opened := OpenPostgres(t.Context(), where, testKey(t, t.TempDir()))
	_, plain := PlainPostgres(t.Context(), where)
	for _, err := range []error{opened, plain} {
		said, ok := fault.PublicOf(err)
		if !ok || fault.KindOf(err) != fault.Unavailable {
			t.Fatalf("%v is not a database out of reach", err)
		}
		if !strings.Contains(said, "connection refused") || strings.Count(said, address) != 2 {
			t.Errorf("%q does not say once what happened, or where", said)
		}
		if strings.Contains(err.Error(), "sesame") {
			t.Errorf("%v shows the password", err)
		}
	}
}

// TestNoDatabase opens a file that is something else.
func TestNoDatabase(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "ingot.db")
	if err := os.WriteFile(path, []byte(strings.Repeat("no database ", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	key := testKey(t, folder)
	_, opened := OpenSQLite(t.Context(), path, key)
	db, err := PlainSQLite(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	_, checked := Check(t.Context(), db, key)
	for _, err := range []error{opened, checked} {
		if err == nil || !strings.Contains(err.Error(), "ingot db restore") {
			t.Errorf("%v does not say what to do", err)
		}
	}
}
