package main

import (
	"fmt"
	"strings"

	"ingot/agent/efi"
	"ingot/agent/inventory"
	"ingot/agent/journal"
	"ingot/agent/osinstall"
	"ingot/agent/system"
	"ingot/internal/secret"
)

// collect packs what a conductor needs to see why something failed.
func collect(m inventory.Machine, ring *journal.Ring, kept *osinstall.Logs, hide []secret.Secret) ([]byte, error) {
	return journal.Collect(journal.Sources{Root: m.Root, Ring: ring, Dmesg: system.Dmesg(), Hide: hide,
		Inventory: func() (any, error) { return m.Collect() },
		More: append(kept.Files(), journal.File{Name: "lsblk", Data: []byte(disks(m))}, journal.File{Name: "ip_addr", Data: []byte(interfaces(m))},
			journal.File{Name: "efibootmgr", Data: []byte(bootEntries(m))})})
}

// disks is a table of disks, their partitions, and drives that are no disks.
func disks(m inventory.Machine) string {
	var b strings.Builder
	all, err := m.Disks()
	if err != nil {
		return err.Error() + "\n"
	}
	for _, d := range all {
		fmt.Fprintf(&b, "%s\t%d bytes\tserial %s\t%s\t%s", d.Name, d.Size, text(d.Serial), text(d.Tran), d.Model)
		if d.ReadOnly {
			b.WriteString("\tread-only")
		}
		if d.Removable {
			b.WriteString("\tremovable")
		}
		b.WriteByte('\n')
		parts, err := m.Partitions(d.Name)
		if err != nil {
			fmt.Fprintf(&b, "  %v\n", err)
		}
		for _, p := range parts {
			fmt.Fprintf(&b, "  partition at %d\t%d bytes\n", p.Start, p.Size)
		}
	}
	for name, why := range m.NoDisks() {
		fmt.Fprintf(&b, "%s\t%s\n", name, why)
	}
	return b.String()
}

// interfaces is a table of NICs and their addresses.
func interfaces(m inventory.Machine) string {
	var b strings.Builder
	all, err := m.Interfaces()
	if err != nil {
		return err.Error() + "\n"
	}
	for _, n := range all {
		fmt.Fprintf(&b, "%s\t%s\tcarrier %v\t%s\t%s\t%s\n", n.Name, n.MACAddress, n.HasCarrier, text(n.IPv4Address), text(n.IPv6Address), text(n.Driver))
	}
	return b.String()
}

func bootEntries(m inventory.Machine) string {
	if !m.UEFI() {
		return "booted by a BIOS\n"
	}
	return efi.Variables{Dir: m.Device("/sys/firmware/efi/efivars")}.List()
}

func text(s *string) string {
	if s == nil {
		return "-"
	}
	return *s
}
