package conductor

import (
	"context"
	"encoding/json"
	"fmt"

	"ingot/internal/seed"
	"ingot/internal/store"
)

// instanceNetwork is the network data that the instance got with its config drive: what its machine is to have when it is on
// the tenant's network again. nil: every NIC asks DHCP.
func (r *runner) instanceNetwork(ctx context.Context, op *Op) (json.RawMessage, error) {
	var drive any
	err := r.c.db.Read(ctx, func(tx *store.Tx) (err error) {
		drive, err = tx.ConfigDrive(op.Node)
		return err
	})
	if err == nil {
		var data json.RawMessage
		if data, err = seed.NetworkDataOf(drive, op.Node.NetworkData); err == nil {
			return data, nil
		}
	}
	if ctx.Err() != nil {
		return nil, err
	}
	// What cannot be read is no reason not to let the user in: DHCP may do.
	r.log.Info("network data of the config drive not used", "error", err)
	r.event(op, "step", "WARN", fmt.Sprintf("The rescued machine asks DHCP on every NIC: the network data of its config drive cannot be read: %s", sentence(err)))
	return nil, nil
}
