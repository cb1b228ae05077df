package store

import (
	"database/sql"
	"errors"
	"fmt"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/secret"
)

func passwordField(deploy string) string { return "instance password " + deploy }

// InstancePassword is what the node's instance posted; empty for nothing. It is the instance's own encryption of a password, for
// its user's private key.
func (t *Tx) InstancePassword(n *metal.Node) (secret.Secret, error) {
	var sealed []byte
	var deploy string
	err := t.row(`SELECT p.sealed, p.deploy FROM instance_passwords p JOIN instances i ON i.node_id = p.node_id AND i.deploy = p.deploy
		WHERE p.node_id = ? AND i.served = 1`, n.ID).Scan(&sealed, &deploy)
	if errors.Is(err, sql.ErrNoRows) {
		return secret.Secret{}, nil
	}
	if err != nil {
		return secret.Secret{}, err
	}
	plain, err := t.db.key.open(sealed, n.UUID, passwordField(deploy))
	if err != nil {
		return secret.Secret{}, fmt.Errorf("password of the instance of node %s: %w", n.UUID, err)
	}
	return secret.New(string(plain)), nil
}

// SetInstancePassword keeps what the instance of a deployment posted, once: a second time is fault.Conflict. It is fault.NotFound
// if the node's instance is another one by now.
func (t *Tx) SetInstancePassword(n *metal.Node, deploy string, password secret.Secret) error {
	var is string
	err := t.row("SELECT deploy FROM instances WHERE node_id = ? AND served = 1", n.ID).Scan(&is)
	if errors.Is(err, sql.ErrNoRows) || err == nil && is != deploy {
		return fault.New(fault.NotFound, "The instance is gone.")
	}
	if err != nil {
		return err
	}
	res, err := t.exec(`INSERT INTO instance_passwords (node_id, deploy, sealed, created_at) VALUES (?, ?, ?, {{now}})
		ON CONFLICT (node_id) DO UPDATE SET deploy = excluded.deploy, sealed = excluded.sealed, created_at = excluded.created_at
		WHERE instance_passwords.deploy <> excluded.deploy`, n.ID, deploy, t.db.key.seal([]byte(password.Expose()), n.UUID, passwordField(deploy)))
	if err != nil {
		return err
	}
	if rows, err := res.RowsAffected(); err != nil || rows > 0 {
		return err
	}
	return fault.New(fault.Conflict, "The instance has posted its password already; it is kept as it is.")
}
