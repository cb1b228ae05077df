// Package erase removes what is on disks: quickly, so that nothing finds an old partition table or file
// system (Metadata), or wholly, so that nothing can be read back (Everything), or wholly where that is quick
// (Express).
//
// Wiping wholly takes the first of these that works: the disk's own secure erase (NVMe format or sanitize, ATA
// security erase), seen to have changed samples of what was there; a discard, after which everything is read
// back; overwriting whatever is not zero, and reading it back. A disk that reads zero after a discard is
// trusted to have discarded. A secure erase that the disk has and that fails is an error, unless the caller
// says to overwrite then.
//
// Which disks are wiped is the caller's choice, after skip lists; a disk that is in use, and a cluster file
// system on shared storage, are refused here. One disk's error keeps none of the others from being wiped.
//
// The agent's clean steps call it. It works on regular files too, which is how most of it is tested; the
// commands to disks are tested against structs that answer as the standards say.
package erase
