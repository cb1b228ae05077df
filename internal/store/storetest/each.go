// Package storetest gives other rooms' tests a database on every engine that the store runs on: SQLite in a
// file, PostgreSQL in a private cluster (pgtest), which is skipped where it is not installed.
package storetest

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"ingot/internal/secret"
	"ingot/internal/store"
	"ingot/internal/store/pgtest"
)

// Each runs a test once per engine, on a database of its own. open opens it: several times, and it is several
// servers on one database, with one key. What was opened is closed at the test's end.
func Each(t *testing.T, f func(t *testing.T, open func() *store.DB)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { f(t, SQLite(t)) })
	t.Run("postgres", func(t *testing.T) { f(t, Postgres(t)) })
}

// SQLite gives a new database in a file.
func SQLite(t testing.TB) (open func() *store.DB) {
	t.Helper()
	path := filepath.Join(Folder(t), "ingot.db")
	key := newKey(t)
	return func() *store.DB {
		t.Helper()
		return opened(t, func(ctx context.Context) (*store.DB, error) { return store.OpenSQLite(ctx, path, key) })
	}
}

// Folder gives a folder for a test's databases, in memory where the system has a place for that: what tests of
// rules commit need not outlive a power cut, and a disk would make them slow. It is gone at the test's end.
func Folder(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "ingot-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// Postgres gives a new database in the process's private cluster.
func Postgres(t testing.TB) (open func() *store.DB) {
	t.Helper()
	url := secret.New(migrated().Copy(t))
	key := newKey(t)
	return func() *store.DB {
		t.Helper()
		return opened(t, func(ctx context.Context) (*store.DB, error) { return store.OpenPostgres(ctx, url, key) })
	}
}

// migrated is a database with the schema and without a key.
var migrated = sync.OnceValue(func() *pgtest.Template {
	return pgtest.NewTemplate(func(url string) error { return store.MigratePostgres(context.Background(), secret.New(url)) })
})

func newKey(t testing.TB) store.Key {
	t.Helper()
	key, err := store.LoadKey(filepath.Join(Folder(t), "key"))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func opened(t testing.TB, open func(context.Context) (*store.DB, error)) *store.DB {
	t.Helper()
	db, err := open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}
