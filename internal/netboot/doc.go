// Package netboot answers machines that boot from the network: DHCPv4, as a full server or as a proxy beside a site's own,
// DHCPv6, TFTP and HTTP boot.
//
// It answers who is known, and hands boot files to who has a boot now. It decides nothing about boots: the conductor makes
// one (metal.NetworkBoot) and takes it away, and this room asks for it at every packet through Boots. So it runs the same
// beside a database and on a boot host that has none. It never writes to a node; what it has to tell, it tells through
// Boots.Note.
//
// What strangers send is bounded and parsed once, by the inner rooms; what is malformed, or is from an unknown machine, is
// not answered at all. Files have names out of a table: no name that a machine sends becomes a path. Addresses of what only
// one machine may fetch hold the key of its boot. GRUB, which looks for its configuration at a fixed place, is told apart by
// its address: the lease or the kernel's neighbour table leads to its MAC, and the MAC to its boot.
//
// An error of Boots is logged, and the machine gets no answer; firmware asks again. A listener that fails ends Run.
package netboot
