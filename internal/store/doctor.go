package store

import (
	"database/sql"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"ingot/internal/metal"
)

// SchemaVersion is the number of the newest migration that the database has.
func (t *Tx) SchemaVersion() (v int64, err error) {
	err = t.row("SELECT MAX(version_id) FROM goose_db_version WHERE is_applied").Scan(&v)
	return v, err
}

// NewestSchema is the number of the newest migration that this program knows.
func NewestSchema() int64 {
	names, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil || len(names) == 0 {
		return 0
	}
	v, _ := strconv.ParseInt(strings.TrimPrefix(names[len(names)-1], "migrations/")[:4], 10, 64) // the store's test holds the form
	return v
}

// CountDrivers counts nodes by driver and conductor group.
func (t *Tx) CountDrivers() ([]Count, error) {
	return t.counts(2, "SELECT driver, conductor_group, COUNT(*) FROM nodes GROUP BY driver, conductor_group ORDER BY driver, conductor_group")
}

// Trouble is a node that somebody should look at.
type Trouble struct {
	Node, Name string
	State      metal.State
	Fault      string
	Reason     string // of its maintenance
	LastError  string
	Since      time.Time // of the state
}

// InTrouble lists nodes that are in one of the states, or in maintenance because of a fault; those that have been so
// longest first. With an owner, only those it owns.
func (t *Tx) InTrouble(states []metal.State, owner string, limit int) ([]Trouble, error) {
	marks, args := "''", []any{}
	for _, s := range states {
		marks += ", ?"
		args = append(args, string(s))
	}
	rows, err := t.rows(`SELECT uuid, name, provision_state, fault, maintenance_reason, last_error, provision_updated_at FROM nodes
		WHERE (provision_state IN (`+marks+`) OR (maintenance = 1 AND fault <> '')) AND (? = '' OR owner = ?) ORDER BY provision_updated_at, id LIMIT ?`, append(args, owner, owner, limit)...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []Trouble
	for rows.Next() {
		var n Trouble
		var name sql.NullString
		var since int64
		if err := rows.Scan(&n.Node, &name, &n.State, &n.Fault, &n.Reason, &n.LastError, &since); err != nil {
			return nil, err
		}
		n.Name, n.Since = name.String, fromMicros(since)
		out = append(out, n)
	}
	return out, rows.Err()
}

// Overdue counts live operations that have been due for longer than that, and nobody works on.
func (t *Tx) Overdue(by time.Duration) (n int, err error) {
	err = t.row("SELECT COUNT(*) FROM operations WHERE status = 'live' AND due_at < {{now}} - ? AND lease_until < {{now}} - ?", by.Microseconds(), by.Microseconds()).Scan(&n)
	return n, err
}
