package main

import (
	"path/filepath"
	"testing"

	"ingot/internal/driver/neutron"
	"ingot/internal/metal"
	"ingot/internal/store"
)

// TestAFixedIPIsAnAttachedVIFs: that Neutron says that a port is bound to a node is not enough: its user has some say in that.
func TestAFixedIPIsAnAttachedVIFs(t *testing.T) {
	dir := t.TempDir()
	key, err := store.LoadKey(filepath.Join(dir, "key"))
	if err != nil {
		t.Fatal(err)
	}
	db, err := store.OpenSQLite(t.Context(), filepath.Join(dir, "ingot.db"), key)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	n := &metal.Node{UUID: "10000000-0000-4000-8000-000000000001", Driver: "fake", ProvisionState: metal.Active}
	p := &metal.Port{UUID: "10000000-0000-4000-9000-000000000001", NodeUUID: n.UUID, Address: "52:54:00:00:00:0a", InternalInfo: map[string]any{"tenant_vif_port_id": "on-a-nic"}}
	g := &metal.Portgroup{UUID: "10000000-0000-4000-a000-000000000001", NodeUUID: n.UUID, Extra: map[string]any{"vif_port_id": "on-a-bond"}}
	if err := db.Write(t.Context(), func(tx *store.Tx) error {
		if err := tx.CreateNode(n); err != nil {
			return err
		}
		if err := tx.CreatePort(p); err != nil {
			return err
		}
		return tx.CreatePortgroup(g)
	}); err != nil {
		t.Fatal(err)
	}
	f := fixedIPs{db: db}
	for v, want := range map[neutron.BoundVIF]bool{{VIF: "on-a-nic", Node: n.UUID}: true, {VIF: "on-a-bond", Node: n.UUID}: true, {VIF: "another", Node: n.UUID}: false,
		{VIF: "on-a-nic", Node: "10000000-0000-4000-8000-00000000000f"}: false, {VIF: "on-a-nic", Node: "host-of-nova"}: false} {
		if has, err := f.has(t.Context(), v); err != nil || has != want {
			t.Errorf("%+v: %v, %v", v, has, err)
		}
	}
}
