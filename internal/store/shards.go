package store

import "ingot/internal/metal"

// Shards counts the nodes of each shard, the largest first; those in none are one of the list, named "".
func (t *Tx) Shards() ([]metal.Shard, error) {
	rows, err := t.rows("SELECT shard, count(*) FROM nodes GROUP BY shard ORDER BY count(*) DESC, shard")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []metal.Shard
	for rows.Next() {
		var s metal.Shard
		if err := rows.Scan(&s.Name, &s.Nodes); err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, rows.Err()
}
