package store

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"ingot/internal/metal"
	"ingot/internal/osdef"
)

// OSInstall is how the system of a node was installed, and is again by a rebuild. Values of secret parameters are not in it.
type OSInstall struct {
	DefinitionID int64 // 0: without a definition
	Variant      string
	Digest       string // of the definition, as it was then
	Trusted      bool   // the definition was, when the installation was judged
	Mode         string
	Safe         bool
	Package      string        // URL of the personalization package
	PackageLogin bool          // its server asks for a user and password, which are kept nowhere
	Parameters   osdef.Classes // public and private
	Secrets      []string      // the names of the secret ones
	UpdatedAt    time.Time
}

// SaveOSInstall keeps how a node is installed, in place of what was kept before.
func (t *Tx) SaveOSInstall(n *metal.Node, i *OSInstall) error {
	if len(i.Parameters.Secret) > 0 {
		return errors.New("a secret OS parameter would be stored")
	}
	var err error
	if i.UpdatedAt, err = t.Now(); err != nil {
		return err
	}
	sealed := t.db.key.seal([]byte(object(exposed(i.Parameters.Private))), n.UUID, defaultsField)
	_, err = t.exec(`INSERT INTO os_installs (node_id, definition_id, variant, digest, trusted, mode, safe, package, package_login, parameters, private, secrets, updated_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (node_id) DO UPDATE SET definition_id = excluded.definition_id, variant = excluded.variant,
			digest = excluded.digest, trusted = excluded.trusted, mode = excluded.mode, safe = excluded.safe, package = excluded.package, package_login = excluded.package_login,
			parameters = excluded.parameters, private = excluded.private, secrets = excluded.secrets, updated_at = excluded.updated_at`,
		n.ID, sql.NullInt64{Int64: i.DefinitionID, Valid: i.DefinitionID != 0}, i.Variant, i.Digest, number(i.Trusted), i.Mode, number(i.Safe), i.Package, number(i.PackageLogin),
		object(i.Parameters.Public), sealed, list(i.Secrets), micros(i.UpdatedAt))
	return err
}

// OSInstall gives how a node was installed; nil: by no OS definition, package or mode of its own.
func (t *Tx) OSInstall(n *metal.Node) (*OSInstall, error) {
	var i OSInstall
	var definition sql.NullInt64
	var public, secrets string
	var sealed []byte
	var updated int64
	err := t.row("SELECT definition_id, variant, digest, trusted, mode, safe, package, package_login, parameters, private, secrets, updated_at FROM os_installs WHERE node_id = ?", n.ID).
		Scan(&definition, &i.Variant, &i.Digest, &i.Trusted, &i.Mode, &i.Safe, &i.Package, &i.PackageLogin, &public, &sealed, &secrets, &updated)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var private map[string]string
	plain, err := t.db.key.open(sealed, n.UUID, defaultsField)
	if err == nil {
		err = errors.Join(decode(public, &i.Parameters.Public), decode(string(plain), &private), json.Unmarshal([]byte(secrets), &i.Secrets))
	}
	if err != nil {
		return nil, fmt.Errorf("OS parameters of node %s: %w", n.UUID, err)
	}
	i.DefinitionID, i.Parameters.Private, i.UpdatedAt = definition.Int64, hidden(private), fromMicros(updated)
	return &i, nil
}

// DropOSInstall forgets how a node was installed. None is no error.
func (t *Tx) DropOSInstall(nodeID int64) error {
	if err := t.CloseOSChannel(nodeID); err != nil {
		return err
	}
	_, err := t.exec("DELETE FROM os_installs WHERE node_id = ?", nodeID)
	return err
}
