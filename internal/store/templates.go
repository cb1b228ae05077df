package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"ingot/internal/fault"
	"ingot/internal/metal"
)

var templateColumns = []string{"uuid", "name", "steps", "extra", "created_at", "updated_at"}

var templateSelect = "SELECT d.id, d." + strings.Join(templateColumns, ", d.") + " FROM deploy_templates d "

// CreateTemplate inserts a deploy template. A taken UUID or name is a fault.Conflict.
func (t *Tx) CreateTemplate(d *metal.DeployTemplate) error {
	values, err := t.templateValues(d)
	if err != nil {
		return err
	}
	query := "INSERT INTO deploy_templates (" + strings.Join(templateColumns, ", ") + ") VALUES (" + marks(len(values)) + ") RETURNING id"
	if err := t.row(query, values...).Scan(&d.ID); err != nil {
		return t.db.explain(err)
	}
	return nil
}

// SaveTemplate writes every field of an existing template.
func (t *Tx) SaveTemplate(d *metal.DeployTemplate) error {
	values, err := t.templateValues(d)
	if err != nil {
		return err
	}
	_, err = t.exec("UPDATE deploy_templates SET "+strings.Join(templateColumns, " = ?, ")+" = ? WHERE id = ?", append(values, d.ID)...)
	return err
}

// DeleteTemplate removes a template.
func (t *Tx) DeleteTemplate(id int64) error {
	_, err := t.exec("DELETE FROM deploy_templates WHERE id = ?", id)
	return err
}

// Template finds a deploy template by UUID or name; fault.NotFound if there is none.
func (t *Tx) Template(ident string) (*metal.DeployTemplate, error) {
	found, err := t.templates(templateSelect+"WHERE d.uuid = ? OR d.name = ?", ident, ident)
	if err == nil && len(found) == 0 {
		err = fault.New(fault.NotFound, "Deploy template %s could not be found.", ident)
	}
	if err != nil {
		return nil, err
	}
	return found[0], nil
}

// TemplatesNamed finds the templates of these names, by name. Names without one are left out.
func (t *Tx) TemplatesNamed(names []string) ([]*metal.DeployTemplate, error) {
	if len(names) == 0 {
		return nil, nil
	}
	args := make([]any, len(names))
	for i, n := range names {
		args[i] = n
	}
	return t.templates(templateSelect+"WHERE d.name IN ("+marks(len(args))+") ORDER BY d.name", args...)
}

// Templates lists deploy templates.
func (t *Tx) Templates(p Page) ([]*metal.DeployTemplate, error) {
	var w where
	tail, err := t.page(&w, "deploy_templates", "d", templateColumns, p)
	if err != nil {
		return nil, err
	}
	return t.templates(templateSelect+w.String()+tail, w.args...)
}

func (t *Tx) templateValues(d *metal.DeployTemplate) ([]any, error) {
	steps, err := json.Marshal(d.Steps)
	if err != nil {
		return nil, fmt.Errorf("steps of deploy template %s: %w", d.Name, err)
	}
	return []any{d.UUID, d.Name, t.db.key.seal(steps, d.UUID, "steps"), object(d.Extra), micros(d.CreatedAt), micros(d.UpdatedAt)}, nil
}

func (t *Tx) templates(query string, args ...any) ([]*metal.DeployTemplate, error) {
	rows, err := t.rows(query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []*metal.DeployTemplate
	for rows.Next() {
		var d metal.DeployTemplate
		var sealed []byte
		var extra string
		var created, updated int64
		if err := rows.Scan(&d.ID, &d.UUID, &d.Name, &sealed, &extra, &created, &updated); err != nil {
			return nil, err
		}
		plain, err := t.db.key.open(sealed, d.UUID, "steps")
		if err == nil {
			err = errors.Join(json.Unmarshal(plain, &d.Steps), decode(extra, &d.Extra))
		}
		if err != nil {
			return nil, fmt.Errorf("deploy template %s: %w", d.Name, err)
		}
		d.CreatedAt, d.UpdatedAt = fromMicros(created), fromMicros(updated)
		out = append(out, &d)
	}
	return out, rows.Err()
}
