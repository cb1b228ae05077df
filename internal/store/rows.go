package store

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"ingot/internal/fault"
	"ingot/internal/metal"
)

// marks is n placeholders, for none what equals nothing.
func marks(n int) string {
	if n == 0 {
		return "NULL"
	}
	return strings.TrimSuffix(strings.Repeat("?, ", n), ", ")
}

// where collects conditions that must all hold.
type where struct {
	terms []string
	args  []any
	// seen is the condition of what whoever lists may see at all, and with whose table; "" for everything. A page begins
	// after nothing else: where an item lies in an order tells what is in it.
	seen, with string
	seenArgs   []any
}

func (w *where) add(term string, args ...any) {
	w.terms = append(w.terms, term)
	w.args = append(w.args, args...)
}

// only adds a condition of what whoever lists may see at all.
func (w *where) only(term string, args ...any) {
	w.add(term, args...)
	w.seen, w.seenArgs = term, args
}

// among adds that a column has one of some values; none of them does not narrow.
func (w *where) among(column string, values []string) {
	if len(values) == 0 {
		return
	}
	args := make([]any, len(values))
	for i, v := range values {
		args[i] = v
	}
	w.add(column+" IN ("+marks(len(args))+")", args...)
}

// ofNode narrows what hangs on nodes by its node n; zero values do not.
func (w *where) ofNode(shards, groups []string, project string) {
	w.among("n.shard", shards)
	w.among("n.conductor_group", groups)
	if project != "" {
		w.only("(n.owner = ? OR n.lessee = ?)", project, project)
		w.with = " JOIN nodes n ON n.id = node_id"
	}
}

func (w *where) String() string {
	if len(w.terms) == 0 {
		return ""
	}
	return "WHERE " + strings.Join(w.terms, " AND ")
}

// page adds the marker's condition to w and gives the ORDER BY and LIMIT that follow it; nothing may be
// added to w afterwards. Ties are broken by
// id in the same direction, so that a page never repeats or skips an item.
func (t *Tx) page(w *where, table, alias string, columns []string, p Page) (string, error) {
	key, dir, than := p.SortKey, "ASC", ">"
	if key == "" {
		key = "id"
	}
	if key != "id" && !(table == "nodes" && isInterface(key)) && (!slices.Contains(columns, key) || slices.Contains(unsortable, key)) {
		return "", fault.New(fault.Invalid, "The sort_key value %q is an invalid field for sorting", p.SortKey)
	}
	switch strings.ToLower(p.SortDir) {
	case "", "asc":
	case "desc":
		dir, than = "DESC", "<"
	default:
		return "", fault.New(fault.Invalid, "Invalid sort direction: %s. Acceptable values are 'asc' or 'desc'", p.SortDir)
	}
	if p.Marker != "" {
		var id int64
		query, args := "SELECT "+alias+".id FROM "+table+" "+alias+w.with+" WHERE "+alias+".uuid = ?", []any{p.Marker}
		if w.seen != "" {
			query, args = query+" AND "+w.seen, append(args, w.seenArgs...)
		}
		err := t.row(query, args...).Scan(&id)
		if errors.Is(err, sql.ErrNoRows) {
			return "", fault.New(fault.NotFound, "The marker %s could not be found.", p.Marker)
		}
		if err != nil {
			return "", err
		}
		if key == "id" {
			w.add(alias+".id "+than+" ?", id)
		} else {
			column := t.ordered(key, alias+".")
			seen := "(SELECT " + t.ordered(key, "") + " FROM " + table + " WHERE id = ?)"
			w.add("("+column+" "+than+" "+seen+" OR ("+column+" = "+seen+" AND "+alias+".id "+than+" ?))", id, id, id)
		}
	}
	order := " ORDER BY " + alias + ".id " + dir
	if key != "id" {
		order = " ORDER BY " + t.ordered(key, alias+".") + " " + dir + ", " + alias + ".id " + dir
	}
	if p.Limit > 0 {
		order += " LIMIT ?"
		w.args = append(w.args, p.Limit)
	}
	return order, nil
}

// isInterface tells whether a sort key is one of a node's interfaces, which are in one column.
func isInterface(key string) bool {
	for _, k := range metal.InterfaceKinds {
		if key == k.Name+"_interface" {
			return true
		}
	}
	return false
}

// ordered is what a list is ordered by; prefix is the table's alias with its dot.
func (t *Tx) ordered(key, prefix string) string {
	if isInterface(key) {
		return fmt.Sprintf(t.db.dialect.pick, prefix+"interfaces", strings.TrimSuffix(key, "_interface"))
	}
	return notNull(key, prefix+key)
}

// notNull makes a nullable column comparable: no name sorts before every name.
func notNull(key, expr string) string {
	switch key {
	case "name", "instance_uuid", "address":
		return "COALESCE(" + expr + ", '')"
	case "automated_clean", "secure_boot":
		return "COALESCE(" + expr + ", -1)"
	}
	return expr
}

// object renders a map for a TEXT column; nil becomes {}.
func object[V any](m map[string]V) string {
	if m == nil {
		return "{}"
	}
	b, err := json.Marshal(m)
	if err != nil { // only decoded JSON and our own values come here
		panic("store: an object that is not JSON: " + err.Error())
	}
	return string(b)
}

// decode reads what object wrote; never nil.
func decode[V any](text string, into *map[string]V) error {
	if text == "{}" { // most are: a decoder costs more than the rest of the row
		*into = map[string]V{}
		return nil
	}
	if err := json.Unmarshal([]byte(text), into); err != nil {
		return fmt.Errorf("a stored object is not JSON: %w", err)
	}
	return nil
}

func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func number(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func orNullBool(b *bool) any {
	if b == nil {
		return nil
	}
	return number(*b)
}

func boolOrNil(b sql.NullBool) *bool {
	if !b.Valid {
		return nil
	}
	return &b.Bool
}

// scanner is a row, alone or of many.
type scanner interface{ Scan(...any) error }
