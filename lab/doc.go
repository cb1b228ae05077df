// Package lab runs machines that are QEMU processes, on networks that are Linux bridges in a namespace of
// the lab's own, each behind an emulated BMC (lab/bmc). People rehearse in it and the end-to-end tests are
// made of it. It is not for running anybody's workload: the machines are emulated instruction by
// instruction, their disks start blank with every lab, and nothing survives the lab but its folder.
//
// Callers: cmd/ingot (Command: `ingot lab up|ls|console|down`) and the end-to-end tests (Start). Both
// start the same daemon, a process inside the namespace that owns the BMCs, the image server and the QEMU
// processes; it is the program itself, called again as `lab daemon`.
//
//	root namespace                     namespace ingot-<name>
//	198.18.77.1  ig-<name> ────veth──── host ─┐
//	(ingot serve)                             ├ bridge "provisioning": 198.18.77.2 (images, :8080),
//	                            m1n1 (tap) ───┤   198.18.77.101 (BMC of m1, :443), .102 (m2), …
//	                            m2n1 (tap) ───┘
//
// Machine N has the BMC .100+N and is offered the address .200+N. There is no DHCP and no way out.
//
// A lab with a switch (Config.Switch) has a bridge per logical network, and its NICs are on none until the API of lab/vswitch
// puts them on one (docs/vswitch-api.md). The operator's networks hang on ports of the bridge "core" that are isolated from each
// other: this host and the BMCs have one address for all of them, and no frame passes from one to another. A tenant's
// network hangs on nothing.
//
//	root namespace                     namespace ingot-<name>
//	198.18.77.1  ig-<name> ────veth──── host ── bridge "core": 198.18.77.2 (images, :8080; switch, :443),
//	(ingot serve)                                 │ │ │ │ │     198.18.77.101 (BMC of m1, :443), …
//	                        "provisioning" ───────┘ │ │ │ │     isolated from each other
//	                            "cleaning" ─────────┘ │ │ │
//	                            "rescuing" ───────────┘ │ │     m1n1 (tap) ─ ─ ┐ on one bridge,
//	                          "inspection" ─────────────┘ │     m2n1 (tap) ─ ─ ┤ or on none
//	                           "servicing" ───────────────┘
//	                              "tenant-a"    "tenant-b"      no way out
//
// A machine boots from its disk, its CD drive or its first NIC, as the override in its BMC says: from the NIC by PXE ("Pxe") or by
// UEFI HTTP boot ("UefiHttp"). Machines with a BIOS (Config.Firmware) boot from the NIC by the iPXE in its ROM. What firmware and
// loaders say is on the console.
//
// What fails, and how: a QEMU process dies with the daemon (Pdeathsig); a daemon that was killed leaves
// the namespace and the veth, which the next up or down of that lab removes; a lab made by Start ends when
// the process that made it ends, however that happens. Everything here needs root, for namespace and taps.
package lab
