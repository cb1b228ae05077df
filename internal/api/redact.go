package api

import (
	"ingot/internal/metal"
	"ingot/internal/policy"
	"ingot/internal/wire"
)

// What stands for a field of a node in the eyes of who may not read it, word for word as upstream's. Source: RBAC
// reference §6.
const (
	noLastError    = "** Value Redacted - Requires baremetal:node:get:last_error permission. **"
	noReservation  = "** Redacted - requires baremetal:node:get:reservation permission. **"
	noInternalInfo = "** Redacted - Requires baremetal:node:get:driver_internal_info permission. **"
	noDriverInfo   = "** Redacted - requires baremetal:node:get:driver_info permission. **"
)

// redact takes from w what the caller may not read of n. Who passes the threshold reads all of it.
func redact(r *policy.Rights, n *metal.Node, w *wire.Node) {
	t := policy.Target{NodeOwner: n.Owner, NodeLessee: n.Lessee}
	if r.Allows("node:get:filter_threshold", t) {
		return
	}
	if !r.Allows("node:get:last_error", t) {
		w.LastError = noLastError
	}
	if !r.Allows("node:get:reservation", t) {
		w.Reservation = noReservation
	}
	if !r.Allows("node:get:driver_internal_info", t) {
		w.DriverInternalInfo = map[string]any{"content": noInternalInfo}
	}
	if !r.Allows("node:get:driver_info", t) {
		w.DriverInfo = map[string]any{"content": noDriverInfo}
	}
}

// everything is for callers who may see secrets.
func everything(string) bool { return true }
