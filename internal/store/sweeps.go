package store

import (
	"database/sql"
	"errors"
	"time"
)

// Sweep is a row of work that comes round by itself: the power states of a slice of nodes, a node in trouble,
// what is to be thrown away. It is leased like an operation and lives for ever, or as long as its node.
type Sweep struct {
	ID         int64
	Kind       string
	NodeID     int64  // 0: of a kind
	Driver     string // "": any conductor may do it
	Group      string
	Slice      int
	DueAt      time.Time
	LeaseUntil time.Time
	Generation int64
	Failures   int    // in a row
	Note       string // the last failure, for people
}

// EnsureSweeps makes rows that are not there yet, due at their time, or now. Those that are there stay as they
// are.
func (t *Tx) EnsureSweeps(rows []Sweep) error {
	now, err := t.Now()
	if err != nil {
		return err
	}
	for _, s := range rows {
		if s.DueAt.IsZero() {
			s.DueAt = now
		}
		var node any
		if s.NodeID != 0 {
			node = s.NodeID
		}
		_, err := t.exec(`INSERT INTO sweeps (kind, node_id, driver, grp, slice, due_at, lease_owner, lease_until, generation, failures, note)
			VALUES (?, ?, ?, ?, ?, ?, '', 0, 0, ?, ?) ON CONFLICT DO NOTHING`, s.Kind, node, s.Driver, s.Group, s.Slice, micros(s.DueAt), s.Failures, s.Note)
		if err != nil {
			return err
		}
	}
	return nil
}

// ofSweeps is the condition that a sweep is the scope's: any conductor's, of its drivers and group, or of a node
// that is.
func (s Scope) ofSweeps() (string, []any) {
	if len(s.Drivers) == 0 {
		return "(node_id IS NULL AND driver = '')", nil
	}
	list := marks(len(s.Drivers))
	var args []any
	for range 2 {
		args = append(args, s.Group)
		for _, d := range s.Drivers {
			args = append(args, d)
		}
	}
	return "(node_id IS NULL AND (driver = '' OR (grp = ? AND driver IN (" + list + `))) OR node_id IN
		(SELECT id FROM nodes WHERE conductor_group = ? AND driver IN (` + list + ")))", args
}

const sweepColumns = "id, kind, node_id, driver, grp, slice, due_at, lease_until, generation, failures, note"

// NextSweep is when the next row of these kinds in the scope is due and free to claim; zero: never.
func (t *Tx) NextSweep(scope Scope, kinds []string) (time.Time, error) {
	if len(kinds) == 0 {
		return time.Time{}, nil
	}
	of, args := scope.ofSweeps()
	wanted, more := oneOf("kind", kinds)
	var us sql.NullInt64
	err := t.row("SELECT MIN(CASE WHEN lease_until > due_at THEN lease_until ELSE due_at END) FROM sweeps WHERE "+of+" AND "+wanted, append(args, more...)...).Scan(&us)
	return fromMicros(us.Int64), err
}

// ClaimSweep takes the oldest due row of these kinds in the scope for owner, or gives nil.
func (t *Tx) ClaimSweep(owner string, scope Scope, kinds []string, lease time.Duration) (*Sweep, error) {
	if len(kinds) == 0 {
		return nil, nil
	}
	of, args := scope.ofSweeps()
	wanted, more := oneOf("kind", kinds)
	s, err := sweepRow(t.row("SELECT "+sweepColumns+" FROM sweeps WHERE "+of+" AND "+wanted+
		" AND due_at <= {{now}} AND lease_until <= {{now}} ORDER BY due_at, id LIMIT 1 {{skip}}", append(args, more...)...))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	now, err := t.Now()
	if err != nil {
		return nil, err
	}
	s.LeaseUntil = now.Add(lease)
	s.Generation++
	_, err = t.exec("UPDATE sweeps SET lease_owner = ?, lease_until = ?, generation = ? WHERE id = ?", owner, micros(s.LeaseUntil), s.Generation, s.ID)
	return s, err
}

// RenewSweep makes the lease last longer; ErrFenced if it was lost.
func (t *Tx) RenewSweep(s *Sweep, lease time.Duration) error {
	now, err := t.Now()
	if err != nil {
		return err
	}
	return t.fencedSweep("UPDATE sweeps SET lease_until = ? WHERE id = ? AND generation = ? AND lease_until > {{now}}", micros(now.Add(lease)), s.ID, s.Generation)
}

// SaveSweep writes when the row is due again, with its failures, and gives the lease back; ErrFenced if the
// lease was lost.
func (t *Tx) SaveSweep(s *Sweep) error {
	return t.fencedSweep("UPDATE sweeps SET due_at = ?, failures = ?, note = ?, lease_owner = '', lease_until = 0 WHERE id = ? AND generation = ?",
		micros(s.DueAt), s.Failures, s.Note, s.ID, s.Generation)
}

// EndSweep removes the row; ErrFenced if its lease was lost.
func (t *Tx) EndSweep(s *Sweep) error {
	return t.fencedSweep("DELETE FROM sweeps WHERE id = ? AND generation = ?", s.ID, s.Generation)
}

func (t *Tx) fencedSweep(query string, args ...any) error {
	res, err := t.exec(query, args...)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n == 1 {
		return err
	}
	return ErrFenced
}

// DropSweepLeases frees what a holder that is known to be dead had claimed.
func (t *Tx) DropSweepLeases(owner string) error {
	_, err := t.exec("UPDATE sweeps SET lease_owner = '', lease_until = 0, generation = generation + 1 WHERE lease_owner = ?", owner)
	return err
}

// SweepOf gives a node's own row of that kind, or nil.
func (t *Tx) SweepOf(nodeID int64, kind string) (*Sweep, error) {
	s, err := sweepRow(t.row("SELECT "+sweepColumns+" FROM sweeps WHERE node_id = ? AND kind = ?", nodeID, kind))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return s, err
}

func sweepRow(row scanner) (*Sweep, error) {
	var s Sweep
	var node sql.NullInt64
	var due, leased int64
	if err := row.Scan(&s.ID, &s.Kind, &node, &s.Driver, &s.Group, &s.Slice, &due, &leased, &s.Generation, &s.Failures, &s.Note); err != nil {
		return nil, err
	}
	s.NodeID, s.DueAt, s.LeaseUntil = node.Int64, fromMicros(due), fromMicros(leased)
	return &s, nil
}

// oneOf is the condition that a column has one of the values.
func oneOf(column string, values []string) (string, []any) {
	args := make([]any, len(values))
	for i, v := range values {
		args[i] = v
	}
	return column + " IN (" + marks(len(values)) + ")", args
}
