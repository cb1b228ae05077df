package store

import (
	"time"

	"ingot/internal/metal"
)

// NodesToSync lists the nodes of one slice of a driver and group whose power state may be compared with what is
// recorded: not in these states or in maintenance, without a power change or an exclusive operation under way,
// and without a row of their own of that kind. slice is of slices, by the rows' ids.
func (t *Tx) NodesToSync(driver, group string, slice, slices int, not []metal.State, own string) ([]*metal.Node, error) {
	states := make([]string, len(not))
	for i, s := range not {
		states[i] = string(s)
	}
	among, more := oneOf("n.provision_state", states)
	args := append([]any{driver, group, slices, slice}, more...)
	return t.nodes(nodeSelect+`WHERE n.driver = ? AND n.conductor_group = ? AND n.id % ? = ? AND n.maintenance = 0 AND n.target_power_state = ''
		AND NOT (`+among+`) AND NOT EXISTS (SELECT 1 FROM operations o WHERE o.node_id = n.id AND o.status = 'live' AND o.exclusive = 1)
		AND NOT EXISTS (SELECT 1 FROM sweeps s WHERE s.node_id = n.id AND s.kind = ?) ORDER BY n.id`, append(args, own)...)
}

// FaultyNodes lists the ids of nodes of one slice with this fault that have no row of their own of that kind.
func (t *Tx) FaultyNodes(driver, group string, slice, slices int, fault, own string) ([]int64, error) {
	return t.ids(`SELECT n.id FROM nodes n WHERE n.driver = ? AND n.conductor_group = ? AND n.id % ? = ? AND n.maintenance = 1 AND n.fault = ?
		AND NOT EXISTS (SELECT 1 FROM sweeps s WHERE s.node_id = n.id AND s.kind = ?)`, driver, group, slices, slice, fault, own)
}

// BusySince tells whether an exclusive operation of the node lives, or ended at that time or after it.
func (t *Tx) BusySince(nodeID int64, since time.Time) (bool, error) {
	var n int
	err := t.row("SELECT COUNT(*) FROM operations WHERE node_id = ? AND exclusive = 1 AND (status = 'live' OR finished_at >= ?)", nodeID, micros(since)).Scan(&n)
	return n > 0, err
}

// PurgeEvents throws away events of nodes that have more than keep, the oldest first and none of the time after
// before, at most limit of them. It tells how many it threw away.
func (t *Tx) PurgeEvents(keep int, before time.Time, limit int) (int, error) {
	ids, err := t.fullHistories(keep)
	if err != nil {
		return 0, err
	}
	gone := 0
	for _, id := range ids {
		if gone >= limit {
			break
		}
		res, err := t.exec(`DELETE FROM events WHERE id IN (SELECT id FROM events WHERE node_id = ? AND at < ? AND id <=
			(SELECT id FROM events WHERE node_id = ? ORDER BY id DESC LIMIT 1 OFFSET ?) ORDER BY id LIMIT ?)`, id, micros(before), id, keep, limit-gone)
		if err != nil {
			return gone, err
		}
		n, err := res.RowsAffected()
		if err != nil {
			return gone, err
		}
		gone += int(n)
	}
	return gone, nil
}

func (t *Tx) fullHistories(keep int) ([]int64, error) {
	return t.ids("SELECT node_id FROM events GROUP BY node_id HAVING COUNT(*) > ? ORDER BY node_id", keep)
}

// ForgetConductors removes conductors that gave no sign of life since that time.
func (t *Tx) ForgetConductors(since time.Time) error {
	_, err := t.exec("DELETE FROM conductors WHERE updated_at < ?", micros(since))
	return err
}

// HurrySweeps makes every row that nobody holds due now.
func (t *Tx) HurrySweeps() error {
	_, err := t.exec("UPDATE sweeps SET due_at = {{now}} WHERE lease_until <= {{now}}")
	return err
}

// ids are the numbers that a query gives, one a row.
func (t *Tx) ids(query string, args ...any) ([]int64, error) {
	rows, err := t.rows(query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []int64
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		out = append(out, id)
	}
	return out, rows.Err()
}
