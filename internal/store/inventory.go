package store

import (
	"database/sql"
	"errors"
	"time"

	"ingot/internal/fault"
	"ingot/internal/metal"
)

// Inventory is what an inspection found, as JSON objects.
type Inventory struct {
	Inventory []byte // as the machine or its BMC told it
	Plugins   []byte // what came with it
	At        time.Time
}

// SaveInventory keeps what the last inspection of a node found, instead of what an earlier one did.
func (t *Tx) SaveInventory(nodeID int64, inventory, plugins []byte) error {
	_, err := t.exec(`INSERT INTO inventories (node_id, inventory, plugins, at) VALUES (?, ?, ?, {{now}})
		ON CONFLICT (node_id) DO UPDATE SET inventory = excluded.inventory, plugins = excluded.plugins, at = excluded.at`,
		nodeID, string(inventory), string(plugins))
	return err
}

// Inventory gives what the last inspection of a node found; fault.NotFound if there was none.
func (t *Tx) Inventory(n *metal.Node) (*Inventory, error) {
	var inventory, plugins string
	var at int64
	err := t.row("SELECT inventory, plugins, at FROM inventories WHERE node_id = ?", n.ID).Scan(&inventory, &plugins, &at)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fault.New(fault.NotFound, "No inventory of node %s is known: inspect it first.", n.UUID)
	}
	return &Inventory{Inventory: []byte(inventory), Plugins: []byte(plugins), At: fromMicros(at)}, err
}

// Report is what a machine under inspection told of itself without being asked.
type Report struct {
	NodeID    int64
	Boot      string // boot generation
	Trusted   bool   // it came with the token of the boot
	Inventory []byte
	Plugins   []byte
	At        time.Time
}

// SaveReport keeps a report until its operation has read it. One without the token never replaces one with it.
func (t *Tx) SaveReport(r *Report) error {
	_, err := t.exec(`INSERT INTO reports (node_id, boot, trusted, inventory, plugins, at) VALUES (?, ?, ?, ?, ?, {{now}})
		ON CONFLICT (node_id) DO UPDATE SET boot = excluded.boot, trusted = excluded.trusted, inventory = excluded.inventory,
		plugins = excluded.plugins, at = excluded.at WHERE excluded.trusted >= reports.trusted OR excluded.boot <> reports.boot`,
		r.NodeID, r.Boot, number(r.Trusted), string(r.Inventory), string(r.Plugins))
	return err
}

// Report gives what a node's boot reported, or nil.
func (t *Tx) Report(nodeID int64, boot string) (*Report, error) {
	r := Report{NodeID: nodeID, Boot: boot}
	var inventory, plugins string
	var at int64
	err := t.row("SELECT trusted, inventory, plugins, at FROM reports WHERE node_id = ? AND boot = ?", nodeID, boot).Scan(&r.Trusted, &inventory, &plugins, &at)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	r.Inventory, r.Plugins, r.At = []byte(inventory), []byte(plugins), fromMicros(at)
	return &r, err
}

// ForgetReport drops what a node reported.
func (t *Tx) ForgetReport(nodeID int64) error {
	_, err := t.exec("DELETE FROM reports WHERE node_id = ?", nodeID)
	return err
}
