package store

import (
	"database/sql"
	"strings"

	"ingot/internal/fault"
	"ingot/internal/metal"
)

// OperationQuery chooses among the live operations; empty fields do not choose.
type OperationQuery struct {
	State  metal.State // of the node
	Event  string      // the event it waits for
	Holder string      // the conductor that has its lease; a lease that ran out counts until it is taken over
	Owner  string      // of the node
	Marker string      // UUID of the last one seen
	Limit  int         // 0: 1000
}

// OperationOf is an operation and what its node says of itself.
type OperationOf struct {
	Operation
	Node  string // UUID
	Name  string
	State metal.State
}

// LiveOperations lists live operations, oldest first.
func (t *Tx) LiveOperations(q OperationQuery) ([]OperationOf, error) {
	w := where{}
	w.add("o.status = 'live'")
	for _, c := range []struct{ term, value string }{{"n.provision_state = ?", string(q.State)}, {"o.waiting_for = ?", q.Event}, {"o.lease_owner = ?", q.Holder}, {"n.owner = ?", q.Owner}} {
		if c.value != "" {
			w.add(c.term, c.value)
		}
	}
	if q.Marker != "" {
		o, err := t.Operation(q.Marker)
		if err != nil {
			return nil, fault.Wrap(fault.KindOf(err), err, "The marker %s could not be found.", q.Marker)
		}
		if q.Owner != "" { // a page begins after nothing that its reader may not see
			n, err := t.NodeByID(o.NodeID)
			if err != nil {
				return nil, err
			}
			if n.Owner != q.Owner {
				return nil, fault.New(fault.NotFound, "The marker %s could not be found.", q.Marker)
			}
		}
		w.add("o.id > ?", o.ID)
	}
	if q.Limit <= 0 {
		q.Limit = 1000
	}
	rows, err := t.rows("SELECT n.uuid, n.name, n.provision_state, o.id, o."+strings.Join(opColumns, ", o.")+
		" FROM operations o JOIN nodes n ON n.id = o.node_id "+w.String()+" ORDER BY o.id LIMIT ?", append(w.args, q.Limit)...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []OperationOf
	for rows.Next() {
		var of OperationOf
		var name sql.NullString
		o, err := t.opRow(prefixed{rows, []any{&of.Node, &name, &of.State}})
		if err != nil {
			return nil, err
		}
		of.Operation, of.Name = *o, name.String
		out = append(out, of)
	}
	return out, rows.Err()
}

// prefixed scans a row that has columns before those its reader knows.
type prefixed struct {
	row  scanner
	into []any
}

// Scan is database/sql's.
func (p prefixed) Scan(dest ...any) error {
	return p.row.Scan(append(append([]any{}, p.into...), dest...)...)
}
