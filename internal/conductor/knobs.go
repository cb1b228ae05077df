package conductor

import (
	"maps"

	"ingot/internal/agentapi"
	"ingot/internal/store"
)

// When the logs of a ramdisk are kept. Source: Ironic, [agent]deploy_logs_collect.
const (
	LogsAlways    = "always"
	LogsOnFailure = "on_failure"
	LogsNever     = "never"
)

// Erasure is what the operator decided about erasing disks. Source of the names: agent protocol reference
// §12.3.
type Erasure struct {
	Iterations   int  // random passes over what has to be overwritten
	Zeroize      bool // zeros after them
	ATA, NVMe    bool // the disks' own secure erase
	Continue     bool // overwrite where that failed
	SkipReadOnly bool
	Parallel     int // disks at once
}

// knobs are the names that agents know these by, in the node's driver_internal_info.
func (e Erasure) knobs() map[string]any {
	return map[string]any{
		"agent_erase_devices_iterations":        e.Iterations,
		"agent_erase_devices_zeroize":           e.Zeroize,
		"agent_enable_ata_secure_erase":         e.ATA,
		"agent_enable_nvme_secure_erase":        e.NVMe,
		"agent_continue_if_secure_erase_failed": e.Continue,
		"agent_continue_if_ata_erase_failed":    e.Continue, // older agents
		"agent_erase_skip_read_only":            e.SkipReadOnly,
		"disk_erasure_concurrency":              e.Parallel,
	}
}

// nodeFor is the node as the agent of an operation gets it: with the operator's choices. What the node itself
// has under the same name wins.
func (r *runner) nodeFor(op *Op) agentapi.Node {
	n := store.AgentNode(op.Node)
	info := r.c.config.Erasure.knobs()
	maps.Copy(info, n.InternalInfo)
	n.InternalInfo = info
	return n
}
