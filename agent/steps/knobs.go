package steps

import (
	"regexp"
	"strings"

	"ingot/agent/erase"
	"ingot/internal/agentapi"
)

// The names that a conductor knows these steps' knobs by, in the node's driver_internal_info. Source:
// agent protocol reference §12.3.
const (
	knobIterations   = "agent_erase_devices_iterations"
	knobZeroize      = "agent_erase_devices_zeroize"
	knobContinue     = "agent_continue_if_secure_erase_failed"
	knobContinueOld  = "agent_continue_if_ata_erase_failed" // what older conductors say
	knobATA          = "agent_enable_ata_secure_erase"
	knobNVMe         = "agent_enable_nvme_secure_erase"
	knobSkipReadOnly = "agent_erase_skip_read_only"
	knobParallel     = "disk_erasure_concurrency"
	knobUnguarded    = "wipe_special_filesystems" // false skips the guard: the name is upside down upstream too
)

const (
	maxIterations = 32
	maxParallel   = 64
)

// eraseOptions reads the knobs; one that is absent or of a wrong kind is as upstream's agents have it.
func (s *Steps) eraseOptions(node agentapi.Node, progress func(agentapi.Progress)) erase.Options {
	flag := func(name string, without bool) bool {
		if b, ok := node.InternalInfo[name].(bool); ok {
			return b
		}
		return without
	}
	number := func(name string, low, high, without int) int {
		if n, ok := node.InternalInfo[name].(float64); ok && n >= float64(low) && n <= float64(high) {
			return int(n)
		}
		return without
	}
	return erase.Options{
		Iterations:   number(knobIterations, 0, maxIterations, 1),
		Zeroize:      flag(knobZeroize, true),
		ATA:          flag(knobATA, true),
		NVMe:         flag(knobNVMe, true),
		Continue:     flag(knobContinue, flag(knobContinueOld, false)),
		SkipReadOnly: flag(knobSkipReadOnly, false),
		Unguarded:    !flag(knobUnguarded, true),
		Parallel:     number(knobParallel, 1, maxParallel, s.ParallelErase),
		Progress:     progress,
	}
}

// kindOf tells what commands a disk may understand. SATA disks behind SAS controllers show their vendor as
// "ATA"; bridges to USB are left out, because some hang on what they do not know.
func kindOf(d agentapi.Disk) erase.Kind {
	tran, vendor := "", ""
	if d.Tran != nil {
		tran = *d.Tran
	}
	if d.Vendor != nil {
		vendor = strings.TrimSpace(*d.Vendor)
	}
	switch {
	case strings.HasPrefix(d.Name, "/dev/nvme"):
		return erase.NVMe
	case tran == "sata", vendor == "ATA" && tran != "usb":
		return erase.ATA
	}
	return erase.Plain
}

var nvmeName = regexp.MustCompile(`^/dev/(nvme[0-9]+)n[0-9]+$`)

// controllerOf names the drive that an NVMe namespace is on; "" for other disks.
func controllerOf(d agentapi.Disk) string {
	if m := nvmeName.FindStringSubmatch(d.Name); m != nil {
		return m[1]
	}
	return ""
}
