package main

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"

	"ingot/internal/metal"
	"ingot/internal/store"
	"ingot/lab/beside"
)

// ironic starts Debian's Ironic. Lookup and heartbeat are for nodes that wait for their agents, and fake hardware never
// does: some nodes are put into that state behind its back.
func ironic(ctx context.Context, _ options, dir string, fill func(*beside.Server) error) (*beside.Server, error) {
	s, err := beside.StartIronic(ctx, dir)
	if err != nil {
		return nil, err
	}
	if err := fill(s); err != nil {
		s.Stop()
		return nil, err
	}
	change := fmt.Sprintf(`UPDATE nodes SET provision_state = 'wait call-back', target_provision_state = 'active' WHERE uuid < '%s'`, nodeUUID(agents))
	out, err := exec.CommandContext(ctx, "sqlite3", filepath.Join(dir, "ironic.sqlite"), ".timeout 10000", change).CombinedOutput()
	if err != nil {
		s.Stop()
		return nil, fmt.Errorf("sqlite3: %w: %s", err, out)
	}
	return s, nil
}

const public = "[api]\nramdisk_endpoints_public = true\n"

// ingot starts our server, twice: between the two, some nodes are put into the state in which they wait.
func ingot(ctx context.Context, o options, dir string, fill func(*beside.Server) error) (*beside.Server, error) {
	s, err := beside.StartIngot(ctx, o.program, dir, public)
	if err != nil {
		return nil, err
	}
	err = fill(s)
	s.Stop()
	if err != nil {
		return nil, err
	}
	if err := makeWait(ctx, filepath.Join(dir, "data")); err != nil {
		return nil, err
	}
	return beside.StartIngot(ctx, o.program, dir, public)
}

func makeWait(ctx context.Context, data string) error {
	key, err := store.LoadKey(filepath.Join(data, "ingot.key"))
	if err != nil {
		return err
	}
	db, err := store.OpenSQLite(ctx, filepath.Join(data, "ingot.db"), key)
	if err != nil {
		return err
	}
	defer db.Close()
	return db.Write(ctx, func(tx *store.Tx) error {
		for i := range int64(agents) {
			n, err := tx.Node(nodeUUID(i))
			if err != nil {
				return err
			}
			n.ProvisionState, n.TargetProvisionState = metal.DeployWait, metal.Active
			if err := tx.SaveNode(n); err != nil {
				return err
			}
			if err := tx.SaveAgent(&store.Agent{NodeID: n.ID, NodeUUID: n.UUID, Boot: "bench", Token: store.NewToken()}); err != nil {
				return err
			}
		}
		return nil
	})
}
