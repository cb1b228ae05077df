package conductor

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"ingot/internal/secret"
	"ingot/internal/store"
	"ingot/internal/store/pgtest"
	"ingot/internal/store/storetest"
)

// onEach runs a test on each engine. A world lives on PostgreSQL if its test, or one around it, is named so.
func onEach(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	t.Run("sqlite", f)
	t.Run("postgres", func(t *testing.T) {
		pgtest.Shared(t) // skips where there is none
		f(t)
	})
}

func onPostgres(t *testing.T) bool { return slices.Contains(strings.Split(t.Name(), "/"), "postgres") }

// openDatabase gives the world a database with its node.
func (w *world) openDatabase() {
	w.t.Helper()
	if onPostgres(w.t) {
		d := takePostgres(w.t)
		w.db, w.end = d.db, append(w.end, func() { d.giveBack(w.t) })
		return
	}
	w.dir = copyOfDatabase(w.t)
	db, err := openSQLite(w.dir)
	if err != nil {
		w.t.Fatal(err)
	}
	w.db, w.end = db, append(w.end, func() {
		db.Close()
		_ = os.RemoveAll(w.dir)
	})
}

// database is one that worlds use one after another.
type database struct {
	db    *store.DB
	again func() error
}

// free are those that no world has; they stay open until the process ends.
var free struct {
	sync.Mutex
	list []*database
}

func takePostgres(t *testing.T) *database {
	t.Helper()
	free.Lock()
	defer free.Unlock()
	if n := len(free.list); n > 0 {
		d := free.list[n-1]
		free.list = free.list[:n-1]
		return d
	}
	url, again := newPostgres.Keep(t)
	db, err := openPostgres(url)
	if err != nil {
		t.Fatal(err)
	}
	return &database{db, again}
}

func (d *database) giveBack(t *testing.T) {
	if err := d.again(); err != nil {
		t.Errorf("put a database back: %v", err)
		return
	}
	free.Lock()
	defer free.Unlock()
	free.list = append(free.list, d)
}

// close ends the world before its test does: some tests have a hundred.
func (w *world) close() {
	slices.Reverse(w.end)
	for _, f := range w.end {
		f()
	}
	w.end = nil
}

func copyOfDatabase(t *testing.T) (dir string) {
	t.Helper()
	dir = storetest.Folder(t)
	files, err := newDatabase()
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func openSQLite(dir string) (*store.DB, error) {
	key, err := store.LoadKey(filepath.Join(dir, "key"))
	if err != nil {
		return nil, err
	}
	return store.OpenSQLite(context.Background(), filepath.Join(dir, "ingot.db"), key)
}

// newDatabase is the files of a migrated database with one node. It is made once, and each world starts from a
// copy: there are hundreds of worlds.
var newDatabase = sync.OnceValues(func() (map[string][]byte, error) {
	dir, err := os.MkdirTemp("", "conductor-test-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	db, err := openSQLite(dir)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(db.Write(context.Background(), createNode), db.Close()); err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	for _, name := range []string{"key", "ingot.db"} { // closed in good order, it has no -wal
		if files[name], err = os.ReadFile(filepath.Join(dir, name)); err != nil {
			return nil, err
		}
	}
	return files, nil
})

// postgresKey is the key of all PostgreSQL databases here.
var postgresKey = sync.OnceValues(func() (store.Key, error) {
	dir, err := os.MkdirTemp("", "conductor-test-")
	if err != nil {
		return store.Key{}, err
	}
	defer os.RemoveAll(dir)
	return store.LoadKey(filepath.Join(dir, "key"))
})

func openPostgres(url string) (*store.DB, error) {
	key, err := postgresKey()
	if err != nil {
		return nil, err
	}
	return store.OpenPostgres(context.Background(), secret.New(url), key)
}

// newPostgres is newDatabase on PostgreSQL.
var newPostgres = pgtest.NewTemplate(func(url string) error {
	db, err := openPostgres(url)
	if err != nil {
		return err
	}
	return errors.Join(db.Write(context.Background(), createNode), db.Close())
})
