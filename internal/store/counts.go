package store

// Count is how many rows share the values of some columns.
type Count struct {
	Values []string
	N      int
}

// CountOperations counts live operations by plan and by "held" (somebody works on it), "due" or "waiting".
func (t *Tx) CountOperations() ([]Count, error) {
	return t.counts(2, `SELECT plan, CASE WHEN lease_until > {{now}} THEN 'held' WHEN due_at <= {{now}} THEN 'due' ELSE 'waiting' END AS how, COUNT(*)
		FROM operations WHERE status = 'live' GROUP BY plan, how ORDER BY plan, how`)
}

// CountNodes counts nodes by provision state and by whether they are in maintenance ("true" or "false").
func (t *Tx) CountNodes() ([]Count, error) {
	return t.counts(2, `SELECT provision_state, CASE WHEN maintenance = 1 THEN 'true' ELSE 'false' END AS kept, COUNT(*)
		FROM nodes GROUP BY provision_state, kept ORDER BY provision_state, kept`)
}

func (t *Tx) counts(columns int, query string) ([]Count, error) {
	rows, err := t.rows(query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []Count
	for rows.Next() {
		c := Count{Values: make([]string, columns)}
		into := make([]any, 0, columns+1)
		for i := range c.Values {
			into = append(into, &c.Values[i])
		}
		if err := rows.Scan(append(into, &c.N)...); err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, rows.Err()
}
