package pgtest

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Clock is the time of one database, which a test may stop and move: what a lease is worth can then be shown to
// the microsecond, however slow the machine is. Who connects to its URL gets this time from statement_timestamp();
// everybody else has the server's own.
type Clock struct {
	t    testing.TB
	conn *pgx.Conn
}

// addClock puts the clock's functions in a database. Their schema comes before that of PostgreSQL.
var addClock = []string{
	"CREATE SCHEMA clock",
	"CREATE TABLE clock.hand (stopped timestamptz, ahead interval NOT NULL)",
	"INSERT INTO clock.hand VALUES (NULL, '0')",
	`CREATE FUNCTION clock.statement_timestamp() RETURNS timestamptz LANGUAGE sql STABLE AS
		'SELECT coalesce(stopped, pg_catalog.statement_timestamp() + ahead) FROM clock.hand'`,
}

// KeepClocked is Keep with a clock, for the template's copies that are asked for in this way. again sets the
// clock right too.
func (tp *Template) KeepClocked(t testing.TB) (url string, clock *Clock, again func() error) {
	t.Helper()
	url, putBack := tp.Keep(t)
	conn, err := pgx.Connect(context.Background(), url)
	for _, s := range addClock {
		if err == nil {
			_, err = conn.Exec(context.Background(), s)
		}
	}
	if err != nil {
		t.Fatalf("a clock for a database: %v", err)
	}
	clock = &Clock{t: t, conn: conn}
	return url + "&search_path=public,clock,pg_catalog", clock, func() error {
		if _, err := conn.Exec(context.Background(), "UPDATE clock.hand SET stopped = NULL, ahead = '0'"); err != nil {
			return err
		}
		return putBack()
	}
}

// For gives the clock to the test that has the database now.
func (c *Clock) For(t testing.TB) { c.t = t }

// Stop lets it be this time until it is set again.
func (c *Clock) Stop(at time.Time) {
	c.t.Helper()
	c.set("UPDATE clock.hand SET stopped = $1", at)
}

// Go lets time go on from when it was stopped.
func (c *Clock) Go() {
	c.t.Helper()
	c.set("UPDATE clock.hand SET ahead = stopped - pg_catalog.clock_timestamp(), stopped = NULL WHERE stopped IS NOT NULL")
}

func (c *Clock) set(statement string, args ...any) {
	c.t.Helper()
	if _, err := c.conn.Exec(context.Background(), statement, args...); err != nil {
		c.t.Fatalf("set the clock of a database: %v", err)
	}
}
