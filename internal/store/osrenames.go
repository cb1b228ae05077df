package store

import (
	"github.com/google/uuid"

	"ingot/internal/metal"
)

// SetOSRename notes the name that a node's instance was given by a rename, "" for none. Of a node that is not installed with an OS
// definition nothing is noted.
func (t *Tx) SetOSRename(n *metal.Node, name string) error {
	_, err := t.exec("UPDATE os_installs SET instance_name = ? WHERE node_id = ?", name, n.ID)
	return err
}

// OSRename is that name; "" for none. SaveOSInstall keeps it, DropOSInstall forgets it.
func (t *Tx) OSRename(n *metal.Node) (name string, err error) {
	err = t.row("SELECT instance_name FROM os_installs WHERE node_id = ?", n.ID).Scan(&name)
	return name, noRowsIsFine(err)
}

// RenameInstance changes what a node's instance reads, and what its vendordata targets are asked, and nothing else of it. Where nothing is
// served nothing changes. Generation is set here.
func (t *Tx) RenameInstance(n *metal.Node, i *Instance) error {
	i.Generation = uuid.NewString()
	_, err := t.exec("UPDATE instances SET seed = ?, request = ?, generation = ?, updated_at = "+forward+" WHERE node_id = ? AND served = 1",
		t.db.key.seal([]byte(i.Seed.Expose()), n.UUID, seedField), t.db.key.seal([]byte(i.Request.Expose()), n.UUID, requestField), i.Generation, n.ID)
	return err
}
