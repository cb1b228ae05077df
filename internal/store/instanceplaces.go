package store

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/google/uuid"

	"ingot/internal/metal"
)

// Where the addresses of instances are from.
const (
	FromNetworkService = "network service"
	FromNode           = "node network_data" // the operator says so
	FromNetworkData    = "network_data"      // the instance's user says so
)

// How sure it is that an instance has an address.
const (
	Given   = iota // the network service or one of our DHCP servers gave it
	Planned        // the network_data of a node without an owner have it
	Claimed        // its user says so, or the project that owns the node: they may say what they like
)

// InstanceAddress is an address by which an instance is known.
type InstanceAddress struct {
	Address netip.Addr
	MAC     string // lower case; "" where nobody says
	Source  string
}

// SaveInstanceAddresses keeps the addresses that a source says, in place of those that it said before. Who has no instance has
// no addresses.
func (t *Tx) SaveInstanceAddresses(nodeID int64, source string, all []InstanceAddress) error {
	before, err := t.InstanceAddresses(nodeID)
	if err != nil {
		return err
	}
	if _, err := t.exec("DELETE FROM instance_addresses WHERE node_id = ? AND source = ?", nodeID, source); err != nil {
		return err
	}
	for _, a := range all {
		_, err := t.exec(`INSERT INTO instance_addresses (node_id, address, source, mac) SELECT node_id, ?, ?, ? FROM instances WHERE node_id = ? AND served = 1
			ON CONFLICT (node_id, address, source) DO NOTHING`, plainAddress(a.Address), source, a.MAC, nodeID)
		if err != nil {
			return err
		}
	}
	after, err := t.InstanceAddresses(nodeID)
	if err != nil || slices.Equal(before, after) {
		return err
	}
	_, err = t.exec("UPDATE instances SET generation = ?, updated_at = "+forward+" WHERE node_id = ?", uuid.NewString(), nodeID)
	return err
}

// RenewInstance gives a node's instance another generation, for its NICs are others by now: who keeps of it by which NICs it is known,
// as boot hosts do, must hear of that. None is no error.
func (t *Tx) RenewInstance(node string) error {
	_, err := t.exec("UPDATE instances SET generation = ?, updated_at = "+forward+" WHERE node_id = (SELECT id FROM nodes WHERE uuid = ?)", uuid.NewString(), node)
	return err
}

// plainAddress is an address as it is looked up: the same for ::ffff:192.0.2.1 and 192.0.2.1, and without a zone.
func plainAddress(a netip.Addr) string { return a.Unmap().WithZone("").String() }

// InstanceAddresses are the addresses by which a node's instance is known, leases left out.
func (t *Tx) InstanceAddresses(nodeID int64) ([]InstanceAddress, error) {
	rows, err := t.rows("SELECT address, mac, source FROM instance_addresses WHERE node_id = ? ORDER BY source, address", nodeID)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []InstanceAddress
	for rows.Next() {
		var text string
		var a InstanceAddress
		if err := rows.Scan(&text, &a.MAC, &a.Source); err != nil {
			return nil, err
		}
		if a.Address, err = netip.ParseAddr(text); err != nil {
			return nil, fmt.Errorf("read the address of an instance: %w", err)
		}
		out = append(out, a)
	}
	return out, rows.Err()
}

// refSelect finds instances that are served.
const refSelect = refColumns + ", 0 FROM instances i " + refJoins + " WHERE i.served = 1 AND "

const (
	refColumns = `SELECT i.node_id, n.uuid, n.conductor_group, n.provision_state, i.instance, i.project, i.deploy, i.generation, i.fault, i.updated_at,
	COALESCE(o.plan, ''), COALESCE(o.step_name, ''), COALESCE(o.undoing, 0)`
	refJoins = "JOIN nodes n ON n.id = i.node_id LEFT JOIN operations o ON o.node_id = i.node_id AND o.status = 'live' AND o.exclusive = 1"
)

// atAddress finds the instances that are known by an address, and how surely: by one of their own, or one that our DHCP servers
// leased to one of their node's NICs or bonds.
const atAddress = refColumns + `, m.sure FROM (SELECT node_id, MIN(sure) AS sure FROM (
	SELECT a.node_id, CASE a.source WHEN 'network service' THEN 0 WHEN 'node network_data' THEN 1 ELSE 2 END AS sure FROM instance_addresses a WHERE a.address = ?
	UNION ALL SELECT p.node_id, 0 FROM ports p JOIN dhcp_leases l ON l.mac = p.address WHERE l.address = ? AND l.declined = 0 AND l.until > {{now}}
	UNION ALL SELECT g.node_id, 0 FROM portgroups g JOIN dhcp_leases l ON l.mac = g.address WHERE l.address = ? AND l.declined = 0 AND l.until > {{now}}) x
	GROUP BY node_id) m JOIN instances i ON i.node_id = m.node_id ` + refJoins + ` WHERE i.served = 1 ORDER BY i.node_id`

// InstancesAt finds the instances that are known by an address, each with how sure that is. Networks of several users may overlap: of
// more than one nobody knows which it is that asks.
func (t *Tx) InstancesAt(a netip.Addr) ([]InstanceRef, error) {
	text := plainAddress(a)
	return t.instanceRefs(atAddress, text, text, text)
}

// InstancesByID finds instances by their instance-id: one or none, as a rule.
func (t *Tx) InstancesByID(id string) ([]InstanceRef, error) {
	return t.instanceRefs(refSelect+"i.instance = ? ORDER BY i.node_id", strings.ToLower(id))
}

// Instances lists the instances that are served, in the order of their nodes' ids, those after one of them.
func (t *Tx) Instances(after int64, limit int) ([]InstanceRef, error) {
	return t.instanceRefs(refSelect+"i.node_id > ? ORDER BY i.node_id LIMIT ?", after, limit)
}

func (t *Tx) instanceRefs(query string, args ...any) ([]InstanceRef, error) {
	rows, err := t.rows(query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []InstanceRef
	for rows.Next() {
		var r InstanceRef
		var plan metal.Plan
		var step string
		var undoing int
		var at int64
		if err := rows.Scan(&r.NodeID, &r.NodeUUID, &r.Group, &r.State, &r.ID, &r.Project, &r.Deploy, &r.Generation, &r.Fault, &at, &plan, &step, &undoing, &r.Sure); err != nil {
			return nil, err
		}
		r.UpdatedAt = fromMicros(at)
		r.Runs = metal.InstanceRuns(r.State, plan, step, undoing != 0)
		out = append(out, r)
	}
	return out, rows.Err()
}
