package main

import (
	"ingot/internal/conductor"
	"ingot/internal/config"
)

// erasure is what the conductor tells agents about erasing disks.
func erasure(d config.Deploy) conductor.Erasure {
	return conductor.Erasure{
		Iterations:   d.ShredRandomOverwriteIterations,
		Zeroize:      d.ShredFinalOverwriteWithZeros,
		ATA:          d.EnableATASecureErase,
		NVMe:         d.EnableNVMeSecureErase,
		Continue:     d.ContinueIfDiskSecureEraseFails,
		SkipReadOnly: d.EraseSkipReadOnly,
		Parallel:     d.DiskErasureConcurrency,
	}
}
