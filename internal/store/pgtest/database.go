package pgtest

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
)

// shared is the cluster of this test process.
var shared = sync.OnceValues(newCluster)

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
	once sync.Once
	name string
	err  error
	fill func(url string) error
}

// NewTemplate says how the template is filled; that is done when the first copy is asked for.
func NewTemplate(fill func(url string) error) *Template { return &Template{fill: fill} }

// Copy gives the URL of a new copy; it is dropped at the test's end.
func (tp *Template) Copy(t testing.TB) string {
	t.Helper()
	c := Shared(t)
	tp.once.Do(func() {
		tp.name = fmt.Sprintf("template_%d", databases.Add(1))
		if tp.err = c.Exec("postgres", "CREATE DATABASE "+tp.name+" TEMPLATE template0"); tp.err == nil {
			tp.err = tp.fill(c.URL(tp.name))
		}
	})
	if tp.err != nil {
		t.Fatalf("the template of databases: %v", tp.err)
	}
	return create(t, tp.name)
}

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
