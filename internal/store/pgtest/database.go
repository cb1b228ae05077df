package pgtest

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
)

// shared is the cluster of this test process.
var shared = sync.OnceValues(func() (*Cluster, error) { return newCluster() })

// databases counts those made, for their names.
var databases atomic.Int64

// Empty gives the URL of a new database without anything in it, on the process's cluster; it is dropped at the
// test's end.
func Empty(t testing.TB) string {
	t.Helper()
	return create(t, "template0")
}

// Template is a database that others are copied from.
type Template struct {
	fill func(url string) error

	mu   sync.Mutex
	name string   // "" until it is made
	free []string // copies that no test has at the moment, as they were made
}

// NewTemplate says how the template is filled; that is done when the first copy is asked for.
func NewTemplate(fill func(url string) error) *Template { return &Template{fill: fill} }

// Copy gives the URL of a copy for this test alone. At the test's end its rows are put back as they were, and
// another test may get it: making a database costs ten times what that does. A test that changes the schema
// asks for Empty.
func (tp *Template) Copy(t testing.TB) string {
	t.Helper()
	c := Shared(t)
	name, err := tp.take(c)
	if err != nil {
		t.Fatalf("a database for the test: %v", err)
	}
	t.Cleanup(func() {
		if err := c.Exec(name, throwOut, restore); err != nil {
			t.Errorf("put a database back: %v", err)
			return
		}
		tp.mu.Lock()
		defer tp.mu.Unlock()
		tp.free = append(tp.free, name)
	})
	return c.URL(name)
}

// Keep gives the URL of a copy for the rest of the process, for tests that use one after another and keep its
// connections: new ones cost more than most tests. Each must call again when it is done, which puts the rows
// back.
func (tp *Template) Keep(t testing.TB) (url string, again func() error) {
	t.Helper()
	c := Shared(t)
	name, err := tp.take(c)
	if err != nil {
		t.Fatalf("a database for the test: %v", err)
	}
	conn, err := pgx.Connect(context.Background(), c.URL(name))
	if err != nil {
		t.Fatal(err)
	}
	return c.URL(name), func() error {
		_, err := conn.Exec(context.Background(), restore)
		return err
	}
}

func (tp *Template) take(c *Cluster) (string, error) {
	tp.mu.Lock()
	defer tp.mu.Unlock()
	if tp.name == "" {
		name := fmt.Sprintf("template_%d", databases.Add(1))
		err := c.Exec("postgres", "CREATE DATABASE "+name+" TEMPLATE template0")
		if err == nil {
			err = tp.fill(c.URL(name))
		}
		if err == nil {
			err = c.Exec(name, remember...)
		}
		if err != nil {
			return "", err
		}
		tp.name = name
	}
	if n := len(tp.free); n > 0 {
		name := tp.free[n-1]
		tp.free = tp.free[:n-1]
		return name, nil
	}
	name := fmt.Sprintf("test_%d", databases.Add(1))
	return name, c.Exec("postgres", "CREATE DATABASE "+name+" TEMPLATE "+tp.name)
}

// remember keeps what the tables of a new database hold, and makes a function that puts it back. Rules between
// tables do not watch while that is done.
var remember = []string{
	"CREATE SCHEMA pristine",
	"CREATE TABLE pristine.numbers AS SELECT sequencename AS name, last_value AS last FROM pg_sequences WHERE schemaname = 'public'",
	`DO $$ DECLARE t name; BEGIN
		FOR t IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP
			EXECUTE format('CREATE TABLE pristine.%I AS TABLE public.%I', 'of_' || t, t);
		END LOOP;
	END $$`,
	`CREATE FUNCTION pristine.restore() RETURNS void LANGUAGE plpgsql SET session_replication_role = replica AS $$
	DECLARE t name; s record; BEGIN
		FOR t IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP
			EXECUTE format('DELETE FROM public.%I', t);
			EXECUTE format('INSERT INTO public.%I SELECT * FROM pristine.%I', t, 'of_' || t);
		END LOOP;
		FOR s IN SELECT * FROM pristine.numbers LOOP
			PERFORM setval(format('public.%I', s.name), coalesce(s.last, 1), s.last IS NOT NULL);
		END LOOP;
	END $$`,
}

const (
	throwOut = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
	restore  = "SELECT pristine.restore()"
)

// Shared is the cluster of this test process, started when it is first asked for.
func Shared(t testing.TB) *Cluster {
	t.Helper()
	if bin, _ := binaries(); bin == "" {
		t.Skip("skipped: there is no PostgreSQL in /usr/lib/postgresql (Debian's package postgresql)")
	}
	c, err := shared()
	if err != nil {
		t.Fatalf("a private PostgreSQL: %v", err)
	}
	return c
}

func create(t testing.TB, template string) string {
	t.Helper()
	c := Shared(t)
	name := fmt.Sprintf("test_%d", databases.Add(1))
	if err := c.Exec("postgres", "CREATE DATABASE "+name+" TEMPLATE "+template); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Exec("postgres", "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			t.Errorf("drop a database: %v", err)
		}
	})
	return c.URL(name)
}
