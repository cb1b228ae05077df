package store

import (
	"database/sql"
	"errors"

	"ingot/internal/metal"
)

var chassis = kind[metal.Chassis]{
	word: "Chassis", table: "chassis", alias: "c", from: "chassis c",
	columns: []string{"uuid", "description", "extra", "created_at", "updated_at"},
	id:      func(c *metal.Chassis) *int64 { return &c.ID },
	values: func(_ *Tx, c *metal.Chassis) ([]any, error) {
		return []any{c.UUID, c.Description, object(c.Extra), micros(c.CreatedAt), micros(c.UpdatedAt)}, nil
	},
	scan: func(_ *Tx, row scanner) (*metal.Chassis, error) {
		var c metal.Chassis
		var extra string
		var created, updated int64
		if err := row.Scan(&c.ID, &c.UUID, &c.Description, &extra, &created, &updated); err != nil {
			return nil, err
		}
		c.CreatedAt, c.UpdatedAt = fromMicros(created), fromMicros(updated)
		return &c, decode(extra, &c.Extra)
	},
}

// CreateChassis inserts a chassis. A taken UUID is a fault.Conflict.
func (t *Tx) CreateChassis(c *metal.Chassis) error { return chassis.create(t, c) }

// SaveChassis writes every field of an existing chassis.
func (t *Tx) SaveChassis(c *metal.Chassis) error { return chassis.save(t, c) }

// DeleteChassis removes a chassis that no node names.
func (t *Tx) DeleteChassis(id int64) error { return chassis.remove(t, id) }

// Chassis finds a chassis; fault.NotFound if there is none. In a Write its row is held until the end, so that
// it does not go while a node comes to name it. Nodes are held first.
func (t *Tx) Chassis(uuid string) (*metal.Chassis, error) {
	if t.writes && t.db.dialect.hold != "" {
		var id int64
		err := t.row("SELECT id FROM chassis WHERE uuid = ? {{hold}}", uuid).Scan(&id)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return nil, t.db.explain(err)
		}
	}
	return chassis.find(t, uuid, "c.uuid = ?", uuid)
}

// ChassisList lists chassis; errors as Nodes.
func (t *Tx) ChassisList(p Page) ([]*metal.Chassis, error) { return chassis.list(t, &where{}, p) }

// NodesIn counts the nodes that name a chassis.
func (t *Tx) NodesIn(uuid string) (n int, err error) {
	err = t.row("SELECT count(*) FROM nodes WHERE chassis_uuid = ?", uuid).Scan(&n)
	return n, err
}
