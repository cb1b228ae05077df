package store

import (
	"fmt"
	"strings"

	"ingot/internal/fault"
)

// kind is how one sort of resource is kept: a table whose rows have an id and a UUID.
type kind[T any] struct {
	word    string   // what it is called to callers
	table   string   // its name
	alias   string   // of the table, in from
	from    string   // what follows FROM
	columns []string // after id, in the order of values and scan
	shown   string   // what a SELECT gives after the columns, with a leading comma; "" for nothing

	values func(*Tx, *T) ([]any, error)
	scan   func(*Tx, scanner) (*T, error)
	id     func(*T) *int64
}

func (k *kind[T]) create(t *Tx, v *T) error {
	values, err := k.values(t, v)
	if err != nil {
		return err
	}
	return t.insert(k.id(v), "INSERT INTO "+k.table+" ("+strings.Join(k.columns, ", ")+") VALUES ("+marks(len(values))+") RETURNING id", values...)
}

func (k *kind[T]) save(t *Tx, v *T) error {
	values, err := k.values(t, v)
	if err != nil {
		return err
	}
	_, err = t.exec("UPDATE "+k.table+" SET "+strings.Join(k.columns, " = ?, ")+" = ? WHERE id = ?", append(values, *k.id(v))...)
	return err
}

func (k *kind[T]) remove(t *Tx, id int64) error {
	_, err := t.exec("DELETE FROM "+k.table+" WHERE id = ?", id)
	return err
}

// find gives the one that a condition finds; fault.NotFound, naming ident, if there is none.
func (k *kind[T]) find(t *Tx, ident, condition string, args ...any) (*T, error) {
	found, err := k.read(t, "WHERE "+condition, args...)
	if err == nil && len(found) == 0 {
		err = fault.New(fault.NotFound, "%s %s could not be found.", k.word, ident)
	}
	if err != nil {
		return nil, err
	}
	return found[0], nil
}

// list gives a page of what w finds; errors as Nodes.
func (k *kind[T]) list(t *Tx, w *where, p Page) ([]*T, error) {
	tail, err := t.page(w, k.table, k.alias, k.columns, p)
	if err != nil {
		return nil, err
	}
	return k.read(t, w.String()+tail, w.args...)
}

// read gives what is found by the end of a SELECT, from WHERE on.
func (k *kind[T]) read(t *Tx, tail string, args ...any) ([]*T, error) {
	query := "SELECT " + k.alias + ".id, " + k.alias + "." + strings.Join(k.columns, ", "+k.alias+".") + k.shown + " FROM " + k.from + " " + tail
	rows, err := t.rows(query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []*T
	for rows.Next() {
		v, err := k.scan(t, rows)
		if err != nil {
			return nil, fmt.Errorf("read a row of %s: %w", k.table, err)
		}
		out = append(out, v)
	}
	return out, rows.Err()
}

// holdOf locks the node of a row in a table of things that hang on nodes, unless a node is held already.
func (t *Tx) holdOf(table, condition string, args ...any) error {
	if len(t.held) > 0 {
		return nil
	}
	return t.hold("WHERE n.id IN (SELECT node_id FROM "+table+" WHERE "+condition+")", args...)
}
