package store

// Traits gives the traits of nodes, sorted, by the node's row.
func (t *Tx) Traits(nodes ...int64) (map[int64][]string, error) {
	out := map[int64][]string{}
	if len(nodes) == 0 {
		return out, nil
	}
	args := make([]any, len(nodes))
	for i, id := range nodes {
		args[i] = id
	}
	rows, err := t.rows("SELECT node_id, trait FROM node_traits WHERE node_id IN ("+marks(len(args))+") ORDER BY trait", args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var id int64
		var trait string
		if err := rows.Scan(&id, &trait); err != nil {
			return nil, err
		}
		out[id] = append(out[id], trait)
	}
	return out, rows.Err()
}

// SetTraits replaces the traits of a node.
func (t *Tx) SetTraits(node int64, traits []string) error {
	if _, err := t.exec("DELETE FROM node_traits WHERE node_id = ?", node); err != nil {
		return err
	}
	for _, trait := range traits {
		if _, err := t.exec("INSERT INTO node_traits (node_id, trait) VALUES (?, ?)", node, trait); err != nil {
			return err
		}
	}
	return nil
}
