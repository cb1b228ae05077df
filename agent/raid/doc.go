// Package raid makes and removes arrays of disks with the kernel's md and mdadm: software RAID as upstream's agent
// has it. A configuration is a node's target_raid_config; source of its rules: agent protocol reference §12.7.
//
// Each disk of an array gets a GPT with one partition for each logical disk, behind a gap that leaves room for an
// EFI system partition. mdadm makes and stops the arrays; what is on disks is found by reading the superblocks, so
// that arrays which do not run are seen too. It decides nothing about which disks are erased; the agent's steps do.
//
// What it does not do: hardware controllers, and boot loaders on arrays.
package raid
