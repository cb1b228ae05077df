package store

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"ingot/internal/fault"
	"ingot/internal/osdef"
	"ingot/internal/secret"
)

var osColumns = []string{"uuid", "name", "description", "digest", "size", "summary", "trusted_digest", "trusted_by", "trusted_at", "hidden", "blacklisted",
	"parameters", "private", "created_at", "updated_at"}

var osSelect = "SELECT d.id, d." + strings.Join(osColumns, ", d.") + " FROM os_definitions d "

// The fields that the sealed values of definitions are bound to.
const (
	bundleField   = "os bundle"
	defaultsField = "os parameters"
)

// CreateOSDefinition inserts a definition with its files. A taken UUID or name is a fault.Conflict.
func (t *Tx) CreateOSDefinition(r *osdef.Record, b *osdef.Bundle) error {
	values, err := t.osValues(r)
	if err != nil {
		return err
	}
	values = append(values, t.db.key.seal(b.Tar(), r.UUID, bundleField))
	return t.insert(&r.ID, "INSERT INTO os_definitions ("+strings.Join(osColumns, ", ")+", bundle) VALUES ("+marks(len(values))+") RETURNING id", values...)
}

// SaveOSDefinition writes every field of a definition but its files.
func (t *Tx) SaveOSDefinition(r *osdef.Record) error {
	values, err := t.osValues(r)
	if err != nil {
		return err
	}
	_, err = t.exec("UPDATE os_definitions SET "+strings.Join(osColumns, " = ?, ")+" = ? WHERE id = ?", append(values, r.ID)...)
	return err
}

// SaveOSBundle puts other files in the place of a definition's; the record is saved by itself.
func (t *Tx) SaveOSBundle(r *osdef.Record, b *osdef.Bundle) error {
	_, err := t.exec("UPDATE os_definitions SET bundle = ? WHERE id = ?", t.db.key.seal(b.Tar(), r.UUID, bundleField), r.ID)
	return err
}

// DeleteOSDefinition removes a definition that no node was installed with; fault.Conflict names one that was.
func (t *Tx) DeleteOSDefinition(r *osdef.Record) error {
	var nodes int
	var name, uuid string
	err := t.row("SELECT count(*), COALESCE(min(n.name), ''), COALESCE(min(n.uuid), '') FROM os_installs i JOIN nodes n ON n.id = i.node_id WHERE i.definition_id = ?", r.ID).
		Scan(&nodes, &name, &uuid)
	if err != nil {
		return err
	}
	const until = "can be removed when none is: tear down, or rebuild with another, what is installed with it. Until then it can be hidden and blacklisted"
	switch node := cmp.Or(name, uuid); {
	case nodes == 1:
		return fault.New(fault.Conflict, "The OS definition %s is used: node %s is installed with it. It %s.", r.Name, node, until)
	case nodes > 1:
		return fault.New(fault.Conflict, "The OS definition %s is used: %d nodes are installed with it, such as %s. It %s.", r.Name, nodes, node, until)
	}
	_, err = t.exec("DELETE FROM os_definitions WHERE id = ?", r.ID)
	return err
}

// OSDefinition finds a definition by UUID or name; fault.NotFound if there is none. In a Write it is held until the end.
func (t *Tx) OSDefinition(ident string) (*osdef.Record, error) {
	hold := ""
	if t.writes {
		hold = " {{hold}}"
	}
	found, err := t.osDefinitions(osSelect+"WHERE d.uuid = ? OR d.name = ?"+hold, ident, ident)
	if err == nil && len(found) == 0 {
		err = fault.New(fault.NotFound, "OS definition %s could not be found.", ident)
	}
	if err != nil {
		return nil, err
	}
	return found[0], nil
}

// OSDefinitionByID finds the definition that a node was installed with; fault.NotFound if there is none.
func (t *Tx) OSDefinitionByID(id int64) (*osdef.Record, error) {
	found, err := t.osDefinitions(osSelect+"WHERE d.id = ?", id)
	if err == nil && len(found) == 0 {
		err = fault.New(fault.NotFound, "The OS definition that this node was installed with could not be found.")
	}
	if err != nil {
		return nil, err
	}
	return found[0], nil
}

// OSDefinitions lists definitions; those that are hidden only if it is asked for.
func (t *Tx) OSDefinitions(hidden bool, p Page) ([]*osdef.Record, error) {
	var w where
	if !hidden {
		w.only("d.hidden = 0")
	}
	tail, err := t.page(&w, "os_definitions", "d", osColumns, p)
	if err != nil {
		return nil, err
	}
	return t.osDefinitions(osSelect+w.String()+tail, w.args...)
}

// OSBundle gives the files of a definition. They are those that the record names, or there is an error.
func (t *Tx) OSBundle(r *osdef.Record) (*osdef.Bundle, error) {
	var sealed []byte
	if err := t.row("SELECT bundle FROM os_definitions WHERE id = ?", r.ID).Scan(&sealed); err != nil {
		return nil, err
	}
	plain, err := t.db.key.open(sealed, r.UUID, bundleField)
	if err != nil {
		return nil, fmt.Errorf("bundle of OS definition %s: %w", r.UUID, err)
	}
	b, err := osdef.Read(bytes.NewReader(plain), osdef.Limits{Packed: int64(len(plain)), Bytes: int64(len(plain)), Files: osdef.Usual.Files, Depth: osdef.Usual.Depth})
	if err == nil && b.Digest() != r.Digest {
		err = errors.New("the files are not those of the digest")
	}
	if err != nil { // not the fault of who asks
		return nil, fmt.Errorf("bundle of OS definition %s: %v", r.UUID, err) //nolint:errorlint // a fault of Read would be shown as the caller's
	}
	return b, nil
}

// AddOSTrust notes who trusted which files of a definition, or that it ended.
func (t *Tx) AddOSTrust(r *osdef.Record, e osdef.Trust) error {
	_, err := t.exec("INSERT INTO os_trust (definition_id, digest, trusted, who, request, at) VALUES (?, ?, ?, ?, ?, ?)", r.ID, e.Digest, number(e.Trusted), e.Who, e.Request, micros(e.At))
	return err
}

// OSTrust lists the latest of what was noted, newest first.
func (t *Tx) OSTrust(r *osdef.Record, limit int) ([]osdef.Trust, error) {
	rows, err := t.rows("SELECT digest, trusted, who, request, at FROM os_trust WHERE definition_id = ? ORDER BY id DESC LIMIT ?", r.ID, limit)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []osdef.Trust
	for rows.Next() {
		var e osdef.Trust
		var at int64
		if err := rows.Scan(&e.Digest, &e.Trusted, &e.Who, &e.Request, &at); err != nil {
			return nil, err
		}
		e.At = fromMicros(at)
		out = append(out, e)
	}
	return out, rows.Err()
}

// osValues are in the order of osColumns.
func (t *Tx) osValues(r *osdef.Record) ([]any, error) {
	summary, err := json.Marshal(r.Definition)
	if err != nil {
		return nil, fmt.Errorf("OS definition %s: %w", r.Name, err)
	}
	public, private := map[string]map[string]string{}, map[string]map[string]string{}
	for variant, c := range r.Defaults {
		if len(c.Secret) > 0 {
			return nil, fmt.Errorf("OS definition %s: a secret default would be stored", r.Name)
		}
		if len(c.Public) > 0 {
			public[variant] = c.Public
		}
		if len(c.Private) > 0 {
			private[variant] = exposed(c.Private)
		}
	}
	sealed := t.db.key.seal([]byte(object(private)), r.UUID, defaultsField)
	return []any{r.UUID, r.Name, r.Description, r.Digest, r.Size, string(summary), r.TrustedDigest, r.TrustedBy, micros(r.TrustedAt), number(r.Hidden), number(r.Blacklisted),
		object(public), sealed, micros(r.CreatedAt), micros(r.UpdatedAt)}, nil
}

func (t *Tx) osDefinitions(query string, args ...any) ([]*osdef.Record, error) {
	rows, err := t.rows(query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []*osdef.Record
	for rows.Next() {
		r, err := t.osRow(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, rows.Err()
}

func (t *Tx) osRow(row scanner) (*osdef.Record, error) {
	r := osdef.Record{Defaults: map[string]osdef.Classes{}}
	var summary, parameters string
	var sealed []byte
	var trusted, created, updated int64
	err := row.Scan(&r.ID, &r.UUID, &r.Name, &r.Description, &r.Digest, &r.Size, &summary, &r.TrustedDigest, &r.TrustedBy, &trusted, &r.Hidden, &r.Blacklisted,
		&parameters, &sealed, &created, &updated)
	if err != nil {
		return nil, err
	}
	var public, private map[string]map[string]string
	plain, err := t.db.key.open(sealed, r.UUID, defaultsField)
	if err == nil {
		err = errors.Join(json.Unmarshal([]byte(summary), &r.Definition), decode(parameters, &public), decode(string(plain), &private))
	}
	if err != nil {
		return nil, fmt.Errorf("OS definition %s: %w", r.UUID, err)
	}
	for variant, values := range public {
		c := r.Defaults[variant]
		c.Public = values
		r.Defaults[variant] = c
	}
	for variant, values := range private {
		c := r.Defaults[variant]
		c.Private = hidden(values)
		r.Defaults[variant] = c
	}
	r.TrustedAt, r.CreatedAt, r.UpdatedAt = fromMicros(trusted), fromMicros(created), fromMicros(updated)
	return &r, nil
}

// exposed and hidden are for what is sealed a moment later, or was a moment before.
func exposed(values map[string]secret.Secret) map[string]string {
	out := make(map[string]string, len(values))
	for k, v := range values {
		out[k] = v.Expose()
	}
	return out
}

func hidden(values map[string]string) map[string]secret.Secret {
	out := make(map[string]secret.Secret, len(values))
	for k, v := range values {
		out[k] = secret.New(v)
	}
	return out
}
