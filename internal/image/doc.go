// Package image says what a disk image is, whether it may be written to a machine, and decodes it.
//
// It judges by content, never by a file name or a Content-Type: Detect names a format from its first
// bytes, Inspect refuses what this system does not write, Check judges a whole file, and NewDecoder turns a stream as it is
// downloaded into the bytes of the disk. Those are whole-disk images (GPT or MBR): raw, plain or compressed with zstd, gzip or
// xz, ISOs that have a partition table, and qcow2, plain or compressed inside, which OpenQCOW2 reads because its parts are in
// no order. Everything else is refused, with a sentence that says what it is and what to do; a file that is of several formats
// at once, too. Rules are what an operator permits. Decision 0049.
//
// With Options.Partition they take a bare ext4 instead, whose files OpenExt4 reads by name.
//
// It is pure: io.Reader in, io.Reader out, bounded memory (a zstd window or xz dictionary of at most MaxWindow), for a qcow2 its map
// and a few MiB), no file and no network. Every byte it reads is a stranger's, so all entrances are fuzzed. It does not fetch
// (source does), does not write disks (agent/disk does) and edits no partition table.
//
// The agent calls it before the first byte is written; the control plane may call it on a header.
// Refusals are *fault.Error: Invalid for what may not be written, TooLarge past the caller's limit.
package image
