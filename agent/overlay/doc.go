// Package overlay lays a personalization package over the system that was just installed on a machine's disk: a tar file, packed with
// gzip or zstd, whose tree is that of the system's root.
//
// A package is a stranger's. It is fetched into memory that has no name anywhere, read to its end, and judged as a whole before the
// disk is touched: what could lead out of the system, and what cannot be laid down as it is, has all of it refused (judge.go). Then
// the system is mounted (agent/installed), each entry is held against what is there (look.go), and written (write.go).
// Paths are resolved by the kernel within the mounted root: a link of the installed system leads where it would lead once that has
// booted, and never out of it.
//
// The Installer of agent/osinstall calls Apply, after the scripts. It makes no file systems, runs nothing of the package or of the
// system, and knows no HTTP beyond what internal/source does. The package's credentials are in no error.
//
// Failures are errors of the agent's protocol with a sentence for whoever deploys. What fails before the first write has changed
// nothing; a disk that cannot be written any more, or a cancelled ctx, leaves some of the files there: the deployment has failed, and
// the next one begins with the image. The file systems are unmounted in any case.
package overlay
