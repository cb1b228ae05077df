package store

import "time"

// Unclaimed lists live operations that nobody has claimed for at least limit after they were due, oldest first, at most
// max of them. Whether anybody could is for the caller to find out.
func (t *Tx) Unclaimed(limit time.Duration, max int) ([]*Operation, error) {
	now, err := t.Now()
	if err != nil {
		return nil, err
	}
	before := micros(now.Add(-limit))
	rows, err := t.rows(opSelect+"WHERE status = 'live' AND due_at <= ? AND lease_until <= ? ORDER BY due_at, id LIMIT ?", before, before, max)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []*Operation
	for rows.Next() {
		o, err := t.opRow(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, o)
	}
	return out, rows.Err()
}

// ClaimUnclaimed takes an operation that Unclaimed gave, whatever its driver; false if somebody else was quicker.
func (t *Tx) ClaimUnclaimed(o *Operation, owner string, lease time.Duration) (bool, error) {
	now, err := t.Now()
	if err != nil {
		return false, err
	}
	res, err := t.exec(`UPDATE operations SET lease_owner = ?, lease_until = ?, generation = generation + 1
		WHERE id = ? AND generation = ? AND status = 'live' AND lease_until <= {{now}}`, owner, micros(now.Add(lease)), o.ID, o.Generation)
	if err != nil {
		return false, err
	}
	n, err := res.RowsAffected()
	o.LeaseOwner, o.LeaseUntil = owner, now.Add(lease)
	o.Generation++
	return n == 1, err
}
