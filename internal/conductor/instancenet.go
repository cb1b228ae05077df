package conductor

import (
	"context"
	"encoding/json"
	"fmt"

	"ingot/internal/seed"
	"ingot/internal/store"
)

// instanceSeed is what the node's instance reads, as it was kept; nil: nothing was, by a program before this one or because the
// node was adopted.
func (r *runner) instanceSeed(ctx context.Context, op *Op) (*seed.Seed, error) {
	var kept *store.Instance
	err := r.c.db.Read(ctx, func(tx *store.Tx) (err error) {
		kept, err = tx.Instance(op.Node)
		return err
	})
	if err != nil || kept == nil {
		return nil, err
	}
	return seed.Decode([]byte(kept.Seed.Expose()))
}

// instanceNetwork is the network data that the instance got when it was deployed: what its machine is to have when it is on the
// tenant's network again. nil: every NIC asks DHCP.
func (r *runner) instanceNetwork(ctx context.Context, op *Op) (json.RawMessage, error) {
	s, err := r.instanceSeed(ctx, op)
	if err == nil && s != nil {
		raw, _ := s.File(seed.NetworkData)
		return raw, nil
	}
	if err == nil {
		var data json.RawMessage
		if data, err = r.driveNetwork(ctx, op); err == nil {
			return data, nil
		}
	}
	if ctx.Err() != nil {
		return nil, err
	}
	// What cannot be read is no reason not to let the user in: DHCP may do.
	r.log.Info("network data of the instance not used", "error", err)
	r.event(op, "step", "WARN", fmt.Sprintf("The rescued machine asks DHCP on every NIC: the network data of its config drive cannot be read: %s", sentence(err)))
	return nil, nil
}

// driveNetwork reads the config drive that the node has, for an instance of which nothing was kept.
func (r *runner) driveNetwork(ctx context.Context, op *Op) (json.RawMessage, error) {
	var drive any
	err := r.c.db.Read(ctx, func(tx *store.Tx) (err error) {
		drive, err = tx.ConfigDrive(op.Node)
		return err
	})
	if err != nil {
		return nil, err
	}
	return seed.NetworkDataOf(drive, op.Node.NetworkData)
}
