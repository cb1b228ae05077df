package store

import (
	"ingot/internal/metal"
)

var connectors = kind[metal.VolumeConnector]{
	word: "Volume connector", table: "volume_connectors", alias: "v", from: "volume_connectors v JOIN nodes n ON n.id = v.node_id",
	columns: []string{"uuid", "node_id", "type", "connector_id", "extra", "created_at", "updated_at"},
	shown:   ", n.uuid",
	id:      func(v *metal.VolumeConnector) *int64 { return &v.ID },
	values: func(t *Tx, v *metal.VolumeConnector) ([]any, error) {
		node, err := t.nodeID(v.NodeUUID)
		return []any{v.UUID, node, v.Type, v.ConnectorID, object(v.Extra), micros(v.CreatedAt), micros(v.UpdatedAt)}, err
	},
	scan: func(_ *Tx, row scanner) (*metal.VolumeConnector, error) {
		var v metal.VolumeConnector
		var extra string
		var node, created, updated int64
		if err := row.Scan(&v.ID, &v.UUID, &node, &v.Type, &v.ConnectorID, &extra, &created, &updated, &v.NodeUUID); err != nil {
			return nil, err
		}
		v.CreatedAt, v.UpdatedAt = fromMicros(created), fromMicros(updated)
		return &v, decode(extra, &v.Extra)
	},
}

var targets = kind[metal.VolumeTarget]{
	word: "Volume target", table: "volume_targets", alias: "v", from: "volume_targets v JOIN nodes n ON n.id = v.node_id",
	columns: []string{"uuid", "node_id", "volume_type", "volume_id", "boot_index", "properties", "extra", "created_at", "updated_at"},
	shown:   ", n.uuid",
	id:      func(v *metal.VolumeTarget) *int64 { return &v.ID },
	values:  targetValues, scan: targetRow,
}

func targetValues(t *Tx, v *metal.VolumeTarget) ([]any, error) {
	node, err := t.nodeID(v.NodeUUID)
	if err != nil {
		return nil, err
	}
	sealed, err := t.db.key.sealMap(v.Properties, v.UUID, "properties")
	return []any{v.UUID, node, v.VolumeType, v.VolumeID, v.BootIndex, sealed, object(v.Extra), micros(v.CreatedAt), micros(v.UpdatedAt)}, err
}

func targetRow(t *Tx, row scanner) (*metal.VolumeTarget, error) {
	var v metal.VolumeTarget
	var extra string
	var sealed []byte
	var node, created, updated int64
	err := row.Scan(&v.ID, &v.UUID, &node, &v.VolumeType, &v.VolumeID, &v.BootIndex, &sealed, &extra, &created, &updated, &v.NodeUUID)
	if err != nil {
		return nil, err
	}
	if v.Properties, err = t.db.key.openMap(sealed, v.UUID, "properties"); err != nil {
		return nil, err
	}
	v.CreatedAt, v.UpdatedAt = fromMicros(created), fromMicros(updated)
	return &v, decode(extra, &v.Extra)
}

// CreateConnector inserts a volume connector of the node that NodeUUID names. A taken UUID, or type and
// connector_id, is a fault.Conflict.
func (t *Tx) CreateConnector(v *metal.VolumeConnector) error { return connectors.create(t, v) }

// SaveConnector writes every field of an existing volume connector.
func (t *Tx) SaveConnector(v *metal.VolumeConnector) error { return connectors.save(t, v) }

// DeleteConnector removes a volume connector.
func (t *Tx) DeleteConnector(id int64) error { return connectors.remove(t, id) }

// Connector finds a volume connector; fault.NotFound if there is none.
func (t *Tx) Connector(uuid string) (*metal.VolumeConnector, error) {
	if err := t.holdOf("volume_connectors", "uuid = ?", uuid); err != nil {
		return nil, err
	}
	return connectors.find(t, uuid, "v.uuid = ?", uuid)
}

// VolumeFilter narrows a list of volume connectors or targets; zero values do not.
type VolumeFilter struct {
	NodeID  int64
	Project string // owner or lessee of the node
}

func (f VolumeFilter) where() *where {
	var w where
	if f.NodeID != 0 {
		w.add("v.node_id = ?", f.NodeID)
	}
	w.ofNode(nil, nil, f.Project)
	return &w
}

// Connectors lists volume connectors; errors as Nodes.
func (t *Tx) Connectors(f VolumeFilter, p Page) ([]*metal.VolumeConnector, error) {
	return connectors.list(t, f.where(), p)
}

// CreateTarget inserts a volume target of the node that NodeUUID names. A taken UUID, or boot_index of the node, is a
// fault.Conflict.
func (t *Tx) CreateTarget(v *metal.VolumeTarget) error { return targets.create(t, v) }

// SaveTarget writes every field of an existing volume target.
func (t *Tx) SaveTarget(v *metal.VolumeTarget) error { return targets.save(t, v) }

// DeleteTarget removes a volume target.
func (t *Tx) DeleteTarget(id int64) error { return targets.remove(t, id) }

// Target finds a volume target; fault.NotFound if there is none.
func (t *Tx) Target(uuid string) (*metal.VolumeTarget, error) {
	if err := t.holdOf("volume_targets", "uuid = ?", uuid); err != nil {
		return nil, err
	}
	return targets.find(t, uuid, "v.uuid = ?", uuid)
}

// Targets lists volume targets; errors as Nodes.
func (t *Tx) Targets(f VolumeFilter, p Page) ([]*metal.VolumeTarget, error) {
	return targets.list(t, f.where(), p)
}
