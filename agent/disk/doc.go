// Package disk writes an image to a machine's disk, once, safely.
//
// WriteImage is one pass: one download that is hashed, decoded and written at the same time through a few
// reusable buffers, so memory does not grow with the image. Of a qcow2 the tables are read by range before, and
// clusters then go to their places as they pass. Everything that can be refused is refused
// before the first write. Then the first and last MiB of the disk are cleared, and they are written last,
// after the digest matched: whatever fails in between, a wrong digest, a lost server or a power cut,
// leaves a disk without a partition table, which no firmware can boot. Runs of zeros in the image are
// zeroed on the disk by its own means, tested first, else by writing; old data is never left under them.
// Last come the GPT's backup at the disk's end and the config drive.
//
// A partition image goes the same way into a partition that is only planned yet. Its boot loaders are then read
// from it, the other partitions are made, and the table that makes them partitions is written last (parts.go).
//
// It works on block devices and, for tests and benchmarks, on regular files of a fixed size, which need
// no root. It does not choose the disk (inventory's root hints do), erase whole disks (steps do) or make
// EFI boot entries: the Report has what that needs.
//
// The agent's write_image step calls it. A failure is an *agentapi.CommandError whose Type is one of
// ImageDownloadError, ImageChecksumError, ImageWriteError, InvalidImage, DeploymentError,
// InvalidCommandParamsError (the request is wrong) and CommandExecutionError (cancelled).
package disk
