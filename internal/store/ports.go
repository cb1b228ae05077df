package store

import (
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"ingot/internal/fault"
	"ingot/internal/metal"
)

var portColumns = []string{"uuid", "address", "name", "extra", "internal_info", "local_link_connection",
	"pxe_enabled", "physical_network", "is_smartnic", "description", "created_at", "updated_at",
	"vendor", "category", "available_for_dynamic_portgroup"}

var portSelect = "SELECT p.id, p." + strings.Join(portColumns, ", p.") + `, n.uuid, COALESCE(g.uuid, '')
	FROM ports p JOIN nodes n ON n.id = p.node_id LEFT JOIN portgroups g ON g.id = p.portgroup_id `

// CreatePort inserts a port of the node that NodeUUID names. A taken UUID, name or address is a
// fault.Conflict, an unknown node or port group fault.NotFound.
func (t *Tx) CreatePort(p *metal.Port) error {
	values, err := t.portValues(p)
	if err != nil {
		return err
	}
	query := "INSERT INTO ports (" + strings.Join(portColumns, ", ") + ", node_id, portgroup_id) VALUES (" + marks(len(values)) + ") RETURNING id"
	return t.insert(&p.ID, query, values...)
}

// SavePort writes every field of an existing port, its node too.
func (t *Tx) SavePort(p *metal.Port) error {
	values, err := t.portValues(p)
	if err != nil {
		return err
	}
	query := "UPDATE ports SET " + strings.Join(portColumns, " = ?, ") + " = ?, node_id = ?, portgroup_id = ? WHERE id = ?"
	_, err = t.exec(query, append(values, p.ID)...)
	return err
}

// nodeID finds a node's row without holding it.
func (t *Tx) nodeID(ident string) (id int64, err error) {
	err = t.row("SELECT id FROM nodes WHERE uuid = ? OR name = ?", ident, ident).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, fault.New(fault.NotFound, "Node %s could not be found.", ident)
	}
	return id, err
}

// DeletePort removes a port.
func (t *Tx) DeletePort(id int64) error {
	_, err := t.exec("DELETE FROM ports WHERE id = ?", id)
	return err
}

// Port finds a port by UUID, name or address; fault.NotFound if there is none.
func (t *Tx) Port(ident string) (*metal.Port, error) {
	args := []any{ident, ident, strings.ToLower(ident)}
	if len(t.held) == 0 {
		if err := t.hold("WHERE n.id IN (SELECT node_id FROM ports WHERE uuid = ? OR name = ? OR address = ?)", args...); err != nil {
			return nil, err
		}
	}
	ports, err := t.ports(portSelect+"WHERE p.uuid = ? OR p.name = ? OR p.address = ?", args...)
	if err != nil {
		return nil, err
	}
	if len(ports) == 0 {
		return nil, fault.New(fault.NotFound, "Port %s could not be found.", ident)
	}
	return ports[0], nil
}

// PortsOf lists all ports of a node.
func (t *Tx) PortsOf(nodeID int64) ([]*metal.Port, error) {
	return t.ports(portSelect+"WHERE p.node_id = ? ORDER BY p.id", nodeID)
}

// PortFilter narrows a list of ports; zero values do not.
type PortFilter struct {
	NodeID      int64
	PortgroupID int64
	Address     string
	Contains    string   // part of the description
	Shards      []string // of the port's node: any of these
	Groups      []string // conductor groups of the port's node: any of these
	Project     string   // owner or lessee of the port's node
}

// Ports lists ports; errors as Nodes.
func (t *Tx) Ports(f PortFilter, p Page) ([]*metal.Port, error) {
	var w where
	if f.NodeID != 0 {
		w.add("p.node_id = ?", f.NodeID)
	}
	if f.Address != "" {
		w.add("p.address = ?", strings.ToLower(f.Address))
	}
	if f.Contains != "" {
		w.add(`p.description {{like}} ? ESCAPE '\'`, "%"+likeEscaper.Replace(f.Contains)+"%")
	}
	if f.PortgroupID != 0 {
		w.add("p.portgroup_id = ?", f.PortgroupID)
	}
	w.ofNode(f.Shards, f.Groups, f.Project)
	if p.SortKey == "local_link_connection" {
		return nil, fault.New(fault.Invalid, "The sort_key value %q is an invalid field for sorting", p.SortKey)
	}
	tail, err := t.page(&w, "ports", "p", portColumns, p)
	if err != nil {
		return nil, err
	}
	return t.ports(portSelect+w.String()+tail, w.args...)
}

func (t *Tx) ports(query string, args ...any) ([]*metal.Port, error) {
	rows, err := t.rows(query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []*metal.Port
	for rows.Next() {
		p, err := portRow(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, rows.Err()
}

// portValues are the columns of a port, its node's row and its port group's, which is null for none.
func (t *Tx) portValues(p *metal.Port) ([]any, error) {
	node, err := t.nodeID(p.NodeUUID)
	if err != nil {
		return nil, err
	}
	var group any
	if p.PortgroupUUID != "" {
		g, err := t.Portgroup(p.PortgroupUUID)
		if err != nil {
			return nil, err
		}
		group = g.ID
	}
	return []any{p.UUID, strings.ToLower(p.Address), orNull(p.Name), object(p.Extra), object(p.InternalInfo),
		object(p.LocalLinkConnection), number(p.PXEEnabled), p.PhysicalNetwork, number(p.IsSmartNIC), p.Description,
		micros(p.CreatedAt), micros(p.UpdatedAt), p.Vendor, p.Category, number(!p.Standalone), node, group}, nil
}

func portRow(row scanner) (*metal.Port, error) {
	var (
		p                metal.Port
		name             sql.NullString
		objects          [3]string
		created, updated int64
		forDynamic       bool
	)
	err := row.Scan(&p.ID, &p.UUID, &p.Address, &name, &objects[0], &objects[1], &objects[2], &p.PXEEnabled,
		&p.PhysicalNetwork, &p.IsSmartNIC, &p.Description, &created, &updated, &p.Vendor, &p.Category, &forDynamic,
		&p.NodeUUID, &p.PortgroupUUID)
	if err != nil {
		return nil, err
	}
	p.Name, p.Standalone, p.CreatedAt, p.UpdatedAt = name.String, !forDynamic, fromMicros(created), fromMicros(updated)
	err = errors.Join(decode(objects[0], &p.Extra), decode(objects[1], &p.InternalInfo), decode(objects[2], &p.LocalLinkConnection))
	if err != nil {
		return nil, fmt.Errorf("port %s: %w", p.UUID, err)
	}
	return &p, nil
}
