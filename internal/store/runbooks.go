package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"ingot/internal/fault"
	"ingot/internal/metal"
)

var runbookColumns = []string{"uuid", "name", "steps", "disable_ramdisk", "public", "owner", "description", "extra", "created_at", "updated_at"}

var runbookSelect = "SELECT r.id, r." + strings.Join(runbookColumns, ", r.") + " FROM runbooks r "

// CreateRunbook inserts a runbook without traits. A taken UUID or name is a fault.Conflict.
func (t *Tx) CreateRunbook(r *metal.Runbook) error {
	values, err := t.runbookValues(r)
	if err != nil {
		return err
	}
	return t.insert(&r.ID, "INSERT INTO runbooks ("+strings.Join(runbookColumns, ", ")+") VALUES ("+marks(len(values))+") RETURNING id", values...)
}

// SaveRunbook writes every field of an existing runbook but its traits.
func (t *Tx) SaveRunbook(r *metal.Runbook) error {
	values, err := t.runbookValues(r)
	if err != nil {
		return err
	}
	_, err = t.exec("UPDATE runbooks SET "+strings.Join(runbookColumns, " = ?, ")+" = ? WHERE id = ?", append(values, r.ID)...)
	return err
}

// SetRunbookTraits replaces the traits of a runbook.
func (t *Tx) SetRunbookTraits(id int64, traits []string) error {
	if _, err := t.exec("DELETE FROM runbook_traits WHERE runbook_id = ?", id); err != nil {
		return err
	}
	for _, trait := range traits {
		if _, err := t.exec("INSERT INTO runbook_traits (runbook_id, trait) VALUES (?, ?)", id, trait); err != nil {
			return err
		}
	}
	return nil
}

// DeleteRunbook removes a runbook.
func (t *Tx) DeleteRunbook(id int64) error {
	_, err := t.exec("DELETE FROM runbooks WHERE id = ?", id)
	return err
}

// Runbook finds a runbook by UUID or name; fault.NotFound if there is none. In a Write it is held until the end.
func (t *Tx) Runbook(ident string) (*metal.Runbook, error) {
	hold := ""
	if t.writes {
		hold = " {{hold}}"
	}
	found, err := t.runbooks(runbookSelect+"WHERE r.uuid = ? OR r.name = ?"+hold, ident, ident)
	if err == nil && len(found) == 0 {
		err = fault.New(fault.NotFound, "Runbook %s could not be found.", ident)
	}
	if err != nil {
		return nil, err
	}
	return found[0], nil
}

// Runbooks lists runbooks: all, or with a project those it owns and public ones.
func (t *Tx) Runbooks(project string, p Page) ([]*metal.Runbook, error) {
	var w where
	if project != "" {
		w.only("(r.owner = ? OR r.public = 1)", project)
	}
	tail, err := t.page(&w, "runbooks", "r", runbookColumns, p)
	if err != nil {
		return nil, err
	}
	return t.runbooks(runbookSelect+w.String()+tail, w.args...)
}

func (t *Tx) runbookValues(r *metal.Runbook) ([]any, error) {
	steps, err := json.Marshal(r.Steps)
	if err != nil {
		return nil, fmt.Errorf("steps of runbook %s: %w", r.Name, err)
	}
	return []any{r.UUID, r.Name, t.db.key.seal(steps, r.UUID, "steps"), number(r.DisableRamdisk), number(r.Public), r.Owner, r.Description,
		object(r.Extra), micros(r.CreatedAt), micros(r.UpdatedAt)}, nil
}

func (t *Tx) runbooks(query string, args ...any) ([]*metal.Runbook, error) {
	out, err := t.runbookRows(query, args...)
	if err != nil || len(out) == 0 {
		return nil, err
	}
	byID := map[int64]*metal.Runbook{}
	ids := make([]any, len(out))
	for i, r := range out {
		byID[r.ID], ids[i] = r, r.ID
	}
	rows, err := t.rows("SELECT runbook_id, trait FROM runbook_traits WHERE runbook_id IN ("+marks(len(ids))+") ORDER BY trait", ids...)
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
		byID[id].Traits = append(byID[id].Traits, trait)
	}
	return out, rows.Err()
}

func (t *Tx) runbookRows(query string, args ...any) ([]*metal.Runbook, error) {
	rows, err := t.rows(query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []*metal.Runbook
	for rows.Next() {
		var r metal.Runbook
		var sealed []byte
		var extra string
		var created, updated int64
		if err := rows.Scan(&r.ID, &r.UUID, &r.Name, &sealed, &r.DisableRamdisk, &r.Public, &r.Owner, &r.Description, &extra, &created, &updated); err != nil {
			return nil, err
		}
		plain, err := t.db.key.open(sealed, r.UUID, "steps")
		if err == nil {
			err = errors.Join(json.Unmarshal(plain, &r.Steps), decode(extra, &r.Extra))
		}
		if err != nil {
			return nil, fmt.Errorf("runbook %s: %w", r.Name, err)
		}
		r.CreatedAt, r.UpdatedAt = fromMicros(created), fromMicros(updated)
		out = append(out, &r)
	}
	return out, rows.Err()
}
