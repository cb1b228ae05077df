// Package depot serves the files that machines fetch: boot ISOs and local images, over the boot listener.
//
// A BMC and a ramdisk cannot log in, so the address is the permission: Offer signs what may be fetched,
// until when and how often, and the Handler believes nothing but the signature. Nothing about an offer is
// kept, so an address stays good over a kill and a restart of the server; only the count of fetched bytes
// is memory. A boot ISO is a template on disk with three ranges replaced while it is read (BootISO); what
// goes into them is asked from the conductor by a callback at every request, so an address dies with its
// boot even before it expires.
//
// Shelf is the other half, on a boot host: files that conductors pushed, by names that nobody guesses, until they
// expire. It knows nothing of boots.
//
// It is not for images fetched from elsewhere (source), not for building ramdisks (ramdisk writes the
// folder that BootISO reads), and not for deciding who may have what. The conductor offers, cmd mounts the
// Handler on the boot listener. Addresses are secrets: nothing here logs them.
package depot
