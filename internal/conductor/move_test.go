package conductor

import (
	"path/filepath"
	"testing"
	"time"

	"ingot/internal/secret"
	"ingot/internal/store"
	"ingot/internal/store/pgtest"
)

// TestADeployGoesOnAfterTheMove kills a conductor in the middle of a deploy on SQLite, copies the database to
// PostgreSQL, and lets another conductor finish there.
func TestADeployGoesOnAfterTheMove(t *testing.T) {
	url := pgtest.Empty(t)
	j := journeyNamed("deploy")
	w := j.begin(t)
	dead := false
	first := w.conductor("c1", func(where string) error {
		if dead = dead || where == "after wait for agent"; dead {
			return errStop
		}
		return nil
	})
	for !dead {
		w.callBack()
		row, err := first.claim(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if row != nil {
			first.work(t.Context(), row, time.Now())
		}
	}
	if err := w.db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := store.MigratePostgres(t.Context(), secret.New(url)); err != nil {
		t.Fatal(err)
	}
	from, err := store.PlainSQLite(t.Context(), filepath.Join(w.dir, "ingot.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	to, err := store.PlainPostgres(t.Context(), secret.New(url))
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	if _, err := store.Copy(t.Context(), from, to); err != nil {
		t.Fatal(err)
	}
	key, err := store.LoadKey(filepath.Join(w.dir, "key"))
	if err != nil {
		t.Fatal(err)
	}
	if w.db, err = store.OpenPostgres(t.Context(), secret.New(url), key); err != nil {
		t.Fatal(err)
	}
	defer w.db.Close()
	w.write(func(tx *store.Tx) error { return tx.DropLeases("c1") })
	w.run(w.conductor("c2", nil))
	j.arrived(t, w, "after the move")
}
