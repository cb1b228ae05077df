package store

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/secret"
)

// driveKey is where instance_info has the config drive.
const driveKey = "configdrive"

// withoutDrive is instance_info as the node's row keeps it: with a mask in the config drive's place.
func withoutDrive(m secret.Map) secret.Map {
	info := m.Expose()
	if drive, has := info[driveKey]; !has || drive == secret.Mask {
		return m
	}
	info[driveKey] = secret.Mask
	return secret.NewMap(info)
}

// saveDrive keeps the config drive that a node was given. A mask leaves it as it is, and a node without one
// loses it.
func (t *Tx) saveDrive(n *metal.Node) error {
	drive, has := n.InstanceInfo.Expose()[driveKey]
	switch {
	case !has:
		_, err := t.exec("DELETE FROM configdrives WHERE node_id = ?", n.ID)
		return err
	case drive == secret.Mask:
		return nil
	}
	plain, err := json.Marshal(drive)
	if err != nil {
		return fmt.Errorf("seal the config drive: %w", err)
	}
	_, err = t.exec("INSERT INTO configdrives (node_id, sealed) VALUES (?, ?) ON CONFLICT (node_id) DO UPDATE SET sealed = excluded.sealed",
		n.ID, t.db.key.seal(plain, n.UUID, driveKey))
	return err
}

// ConfigDriveSize is about how many bytes a node's config drive has as it was given; 0 for none.
func (t *Tx) ConfigDriveSize(n *metal.Node) (size int64, err error) {
	err = t.row("SELECT LENGTH(sealed) FROM configdrives WHERE node_id = ?", n.ID).Scan(&size)
	return size, noRowsIsFine(err)
}

// ConfigDrive gives a node's config drive: nil, a string (URL or base64) or an object. It is the only way to it:
// a node that was read has a mask in its place. A mask that stands for nothing is fault.Invalid.
func (t *Tx) ConfigDrive(n *metal.Node) (any, error) {
	drive, has := n.InstanceInfo.Expose()[driveKey]
	if !has || drive != secret.Mask {
		return drive, nil // none, or of an older program
	}
	var sealed []byte
	err := t.row("SELECT sealed FROM configdrives WHERE node_id = ?", n.ID).Scan(&sealed)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fault.New(fault.Invalid, "Node %s has %s in place of a config drive: give the drive again, or remove configdrive from instance_info.", n.UUID, secret.Mask)
	}
	if err != nil {
		return nil, err
	}
	plain, err := t.db.key.open(sealed, n.UUID, driveKey)
	if err != nil {
		return nil, fmt.Errorf("config drive of node %s: %w", n.UUID, err)
	}
	var out any
	err = json.Unmarshal(plain, &out)
	return out, err
}
