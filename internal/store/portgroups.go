package store

import (
	"database/sql"
	"errors"
	"strings"

	"ingot/internal/metal"
)

var portgroups = kind[metal.Portgroup]{
	word: "Portgroup", table: "portgroups", alias: "g", from: "portgroups g JOIN nodes n ON n.id = g.node_id",
	columns: []string{"uuid", "node_id", "address", "name", "extra", "internal_info", "standalone_ports_supported", "mode", "properties",
		"physical_network", "category", "dynamic_portgroup", "created_at", "updated_at"},
	shown: ", n.uuid", values: portgroupValues, scan: portgroupRow,
	id: func(g *metal.Portgroup) *int64 { return &g.ID },
}

// CreatePortgroup inserts a port group of the node that NodeUUID names. A taken UUID, name or address is a
// fault.Conflict, an unknown node fault.NotFound.
func (t *Tx) CreatePortgroup(g *metal.Portgroup) error { return portgroups.create(t, g) }

// SavePortgroup writes every field of an existing port group, its node too.
func (t *Tx) SavePortgroup(g *metal.Portgroup) error { return portgroups.save(t, g) }

// DeletePortgroup removes a port group; ports in it are then in none.
func (t *Tx) DeletePortgroup(id int64) error { return portgroups.remove(t, id) }

// Portgroup finds a port group by UUID, name or address; fault.NotFound if there is none.
func (t *Tx) Portgroup(ident string) (*metal.Portgroup, error) {
	args := []any{ident, ident, strings.ToLower(ident)}
	if err := t.holdOf("portgroups", "uuid = ? OR name = ? OR address = ?", args...); err != nil {
		return nil, err
	}
	return portgroups.find(t, ident, "g.uuid = ? OR g.name = ? OR g.address = ?", args...)
}

// PortgroupFilter narrows a list of port groups; zero values do not.
type PortgroupFilter struct {
	NodeID  int64
	Address string
	Shards  []string // of the node: any of these
	Groups  []string // conductor groups of the node: any of these
	Project string   // owner or lessee of the node
}

// Portgroups lists port groups; errors as Nodes.
func (t *Tx) Portgroups(f PortgroupFilter, p Page) ([]*metal.Portgroup, error) {
	var w where
	if f.NodeID != 0 {
		w.add("g.node_id = ?", f.NodeID)
	}
	if f.Address != "" {
		w.add("g.address = ?", strings.ToLower(f.Address))
	}
	w.ofNode(f.Shards, f.Groups, f.Project)
	return portgroups.list(t, &w, p)
}

func portgroupValues(t *Tx, g *metal.Portgroup) ([]any, error) {
	node, err := t.nodeID(g.NodeUUID)
	return []any{g.UUID, node, orNull(strings.ToLower(g.Address)), orNull(g.Name), object(g.Extra), object(g.InternalInfo), number(g.StandalonePorts),
		g.Mode, object(g.Properties), g.PhysicalNetwork, g.Category, number(g.Dynamic), micros(g.CreatedAt), micros(g.UpdatedAt)}, err
}

func portgroupRow(_ *Tx, row scanner) (*metal.Portgroup, error) {
	var (
		g                metal.Portgroup
		node             int64
		address, name    sql.NullString
		objects          [3]string
		created, updated int64
	)
	err := row.Scan(&g.ID, &g.UUID, &node, &address, &name, &objects[0], &objects[1], &g.StandalonePorts, &g.Mode, &objects[2],
		&g.PhysicalNetwork, &g.Category, &g.Dynamic, &created, &updated, &g.NodeUUID)
	if err != nil {
		return nil, err
	}
	g.Address, g.Name, g.CreatedAt, g.UpdatedAt = address.String, name.String, fromMicros(created), fromMicros(updated)
	return &g, errors.Join(decode(objects[0], &g.Extra), decode(objects[1], &g.InternalInfo), decode(objects[2], &g.Properties))
}
