package store

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/secret"
	"ingot/internal/store/pgtest"
)

// patience is how long a test waits for what must happen at once, on a machine that is busy.
const patience = time.Minute

// TestServersStartAtOnce opens an empty database four times at once: it is migrated once, and one key is its
// key.
func TestServersStartAtOnce(t *testing.T) {
	for _, c := range []struct {
		name string
		keys int
	}{{"with one key", 1}, {"each with its own", 4}} {
		t.Run(c.name, func(t *testing.T) {
			url := secret.New(pgtest.Empty(t))
			var keys []Key
			for range c.keys {
				keys = append(keys, testKey(t, t.TempDir()))
			}
			errs := make([]error, 4)
			var all sync.WaitGroup
			for i := range errs {
				all.Go(func() {
					db, err := OpenPostgres(t.Context(), url, keys[i%len(keys)])
					if errs[i] = err; err == nil {
						errs[i] = db.Close()
					}
				})
			}
			all.Wait()
			good := 0
			for _, err := range errs {
				if err == nil {
					good++
				} else if !errors.Is(err, ErrSealed) {
					t.Errorf("a start: %v", err)
				}
			}
			if want := 4 / c.keys; good != want {
				t.Errorf("%d servers started, want %d: %v", good, want, errs)
			}
		})
	}
}

func TestANewerDatabaseIsRefused(t *testing.T) {
	const from = "INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, "
	refused := func(t *testing.T, err error) {
		t.Helper()
		said, _ := fault.PublicOf(err)
		if fault.KindOf(err) != fault.Conflict || !strings.Contains(said, "9999") || !strings.Contains(said, "newer") {
			t.Errorf("a database from the future: %v", err)
		}
	}
	t.Run("sqlite", func(t *testing.T) {
		dir := t.TempDir()
		write(t, openAt(t, dir), func(tx *Tx) error { _, err := tx.exec(from + "1)"); return err })
		_, err := OpenSQLite(t.Context(), filepath.Join(dir, "ingot.db"), testKey(t, dir))
		refused(t, err)
	})
	t.Run("postgres", func(t *testing.T) {
		url, key := secret.New(migrated.Copy(t)), testKey(t, t.TempDir())
		db, err := OpenPostgres(t.Context(), url, key)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		write(t, db, func(tx *Tx) error { _, err := tx.exec(from + "true)"); return err })
		_, err = OpenPostgres(t.Context(), url, key)
		refused(t, err)
	})
}

// await fails the test if the channel stays open.
func await(t *testing.T, what string, ch <-chan struct{}) {
	t.Helper()
	select {
	case <-ch:
	case <-time.After(patience):
		t.Fatalf("%s was not heard of", what)
	}
}

// TestChangedHearsOfOtherServers: a commit of one server wakes another, also after the connection that listens
// broke.
func TestChangedHearsOfOtherServers(t *testing.T) {
	open := postgres(t)
	a, b := open(t), open(t)
	n := addNode(t, a, 1)
	changed := b.Changed()
	ask(t, a, n, 1)
	await(t, "a commit", changed)

	changed = b.Changed()
	write(t, a, func(tx *Tx) error {
		_, err := tx.exec("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'")
		return err
	})
	await(t, "the connection's return", changed)
	changed = b.Changed()
	write(t, a, func(tx *Tx) error { return tx.AskAbort(n.ID, "alice") })
	await(t, "a commit after the connection broke", changed)
}

// TestTheServerRestarts stops the database server in the middle of a loop like a conductor's: what fails
// meanwhile says so in words and may be tried again, and then the work goes on.
func TestTheServerRestarts(t *testing.T) {
	cluster := pgtest.NewCluster(t)
	db, err := OpenPostgres(t.Context(), secret.New(cluster.URL("postgres")), testKey(t, t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	n := addNode(t, db, 1)
	ask(t, db, n, 1)
	var o *Operation
	write(t, db, func(tx *Tx) (err error) { o, err = tx.Claim("c1", served, time.Hour); return err })

	steps, failures := make(chan error), 0
	ctx, cancel := context.WithCancel(t.Context())
	var loop sync.WaitGroup
	loop.Go(func() {
		for ctx.Err() == nil {
			err := db.Write(ctx, func(tx *Tx) error {
				n, err := tx.NodeByID(n.ID)
				if err != nil {
					return err
				}
				n.LastError = "a step"
				return errors.Join(tx.SaveNode(n), tx.AppendEvent(n.ID, metal.HistoryEvent{Kind: "step"}), tx.SaveOperation(o))
			})
			select {
			case steps <- err:
			case <-ctx.Done():
			}
		}
	})
	defer loop.Wait()
	defer cancel()
	// until waits for a step that ends as wanted; every failure must be one that a caller may read.
	until := func(good bool) {
		t.Helper()
		for end := time.After(patience); ; {
			select {
			case err := <-steps:
				said, _ := fault.PublicOf(err)
				if err != nil && (fault.KindOf(err) != fault.Unavailable || !strings.Contains(said, "retry") || strings.Contains(said, "SQL")) {
					t.Fatalf("a failure: %v, said %q", err, said)
				}
				if err != nil {
					failures++
				}
				if (err == nil) == good {
					return
				}
			case <-end:
				t.Fatalf("no step that is good: %v", good)
			}
		}
	}
	until(true)
	cluster.Stop()
	until(false)
	read := func() error {
		return db.Read(t.Context(), func(tx *Tx) error { _, err := tx.NodeByID(n.ID); return err })
	}
	if err := read(); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("a read without a server: %v", err)
	}
	if err := cluster.Start(); err != nil {
		t.Fatal(err)
	}
	until(true)
	if err := read(); err != nil {
		t.Errorf("a read after the restart: %v", err)
	}
	t.Logf("%d steps failed while the server was away", failures)
}

// withOption gives a new database's URL with one of PostgreSQL's settings.
func withOption(t *testing.T, option string) *DB {
	t.Helper()
	db, err := OpenPostgres(t.Context(), secret.New(migrated.Copy(t)+"&"+option), testKey(t, t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// TestAFrozenWriterLosesItsLocks: who stops in the middle of a transaction loses it, and others go on.
func TestAFrozenWriterLosesItsLocks(t *testing.T) {
	db := withOption(t, "idle_in_transaction_session_timeout=100ms")
	n := addNode(t, db, 1)
	frozen, thaw, end := make(chan struct{}), make(chan struct{}), make(chan error)
	go func() {
		end <- db.Write(t.Context(), func(tx *Tx) error {
			n, err := tx.NodeByID(n.ID)
			if err != nil {
				return err
			}
			close(frozen)
			<-thaw
			n.LastError = "written by the frozen"
			return tx.SaveNode(n)
		})
	}()
	<-frozen
	write(t, db, func(tx *Tx) error {
		n, err := tx.NodeByID(n.ID)
		if err != nil {
			return err
		}
		n.LastError = "written by another"
		return tx.SaveNode(n)
	})
	close(thaw)
	if err := <-end; fault.KindOf(err) != fault.Unavailable {
		t.Errorf("the frozen one's write: %v", err)
	}
	if n := read(t, db, func(tx *Tx) (*metal.Node, error) { return tx.NodeByID(n.ID) }); n.LastError != "written by another" {
		t.Errorf("the node says %q", n.LastError)
	}
}

// TestADeadlockIsToldToOne: of two that wait for each other one goes on, and the other may ask again; neither
// closure ran twice.
func TestADeadlockIsToldToOne(t *testing.T) {
	db := withOption(t, "deadlock_timeout=50ms")
	ids := []int64{addNode(t, db, 1).ID, addNode(t, db, 2).ID}
	var both, all sync.WaitGroup
	both.Add(2)
	errs, runs := make([]error, 2), make([]int, 2)
	for i := range errs {
		all.Go(func() {
			errs[i] = db.Write(t.Context(), func(tx *Tx) error {
				runs[i]++
				if _, err := tx.NodeByID(ids[i]); err != nil {
					return err
				}
				both.Done()
				both.Wait()
				_, err := tx.NodeByID(ids[1-i])
				return err
			})
		})
	}
	all.Wait()
	kinds := []fault.Kind{fault.KindOf(errs[0]), fault.KindOf(errs[1])}
	if !slices.Contains(errs, nil) || !slices.Contains(kinds, fault.Unavailable) || !slices.Equal(runs, []int{1, 1}) {
		t.Errorf("errors %v, runs %v", errs, runs)
	}
}

// TestBadURLs: what is wrong is said without showing the URL, which may hold a password.
func TestBadURLs(t *testing.T) {
	for _, url := range []string{
		"postgres://u:" + canary + "@[::1/db", "postgres://u:" + canary + "%zz@h/db", "mysql://u:" + canary + "@h/db", "host=h password=" + canary,
		"postgres://u:" + canary + "@h/db?sslmode=" + canary, "postgres://u@h:99999999/db?password=" + canary, "postgres://u:" + canary + "@h/db?sslrootcert=/does/not/exist&sslmode=verify-full",
		"postgres://u:" + canary + "@127.0.0.1:1/db", "postgresql+psycopg2://u:" + canary + "@127.0.0.1:1/db",
	} {
		_, err := OpenPostgres(t.Context(), secret.New(url), testKey(t, t.TempDir()))
		if err == nil || strings.Contains(err.Error(), canary) {
			t.Errorf("%s: %v", strings.ReplaceAll(url, canary, "***"), err)
		}
		if said, _ := fault.PublicOf(err); strings.Contains(said, canary) {
			t.Errorf("said %q", said)
		}
	}
}
