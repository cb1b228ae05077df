package lab

import "ingot/lab/bmc"

// What firmware the machines of a lab have.
const (
	UEFI = "uefi" // nothing else
	BIOS = "bios" // until the BMC is told otherwise; then UEFI, too
)

// The firmware, as Debian's packages ovmf, seabios and ipxe-qemu install it. The .ms variables hold Microsoft's keys. QEMU
// finds SeaBIOS by itself.
const (
	codeSecure = "/usr/share/OVMF/OVMF_CODE_4M.secboot.fd"
	varsSecure = "/usr/share/OVMF/OVMF_VARS_4M.ms.fd"
	codePlain  = "/usr/share/OVMF/OVMF_CODE_4M.fd"
	varsPlain  = "/usr/share/OVMF/OVMF_VARS_4M.fd"
	nicROM     = "/usr/lib/ipxe/qemu/efi-virtio.rom" // for BIOS and UEFI
)

// firmware is the UEFI firmware of the lab's machines.
func (c *Config) firmware() (code, vars string) {
	if c.SecureBoot {
		return codeSecure, varsSecure
	}
	return codePlain, varsPlain
}

// firmwareArgs chooses what firmware starts, and what it may try.
func firmwareArgs(c *Config, boot bmc.Boot) []string {
	if boot.Legacy {
		return []string{"-machine", "q35,graphics=off"} // SeaBIOS and the boot ROMs print on the serial line, too
	}
	code, _ := c.firmware()
	a := []string{"-drive", "if=pflash,unit=0,format=raw,readonly=on,file=" + code,
		"-drive", "if=pflash,unit=1,format=raw,file=vars.fd"}
	if c.SecureBoot {
		// System management mode keeps the guest from writing the variables behind the firmware's back.
		a = append(a, "-machine", "q35,smm=on", "-global", "driver=cfi.pflash01,property=secure,value=on",
			"-global", "ICH9-LPC.disable_s3=1")
	} else {
		a = append(a, "-machine", "q35")
	}
	// The firmware makes boot entries of its own for PXE and for HTTP by each version of IP, tries PXE first and waits a
	// minute for each. Only the order of devices can be given to it, not that of one device's entries; but entries
	// can be left out (EDK II, OvmfPkg/Library/PxeBcPcdProducerLib).
	pxe4 := "yes"
	if boot.First == "UefiHttp" {
		pxe4 = "no"
	}
	return append(a, "-fw_cfg", "name=opt/org.tianocore/IPv4PXESupport,string="+pxe4,
		"-fw_cfg", "name=opt/org.tianocore/IPv6PXESupport,string=no")
}

// bootIndexes are the suffixes that order a machine's devices. UEFI sorts its boot entries by these, and keeps its own order
// among the entries of one device (OVMF, QemuBootOrderLib). It writes the result back: an override for one boot would stay
// if the next boot had no indexes. So every boot has them, and without an override the disk is first.
func bootIndexes(first string) map[string]string {
	switch first {
	case "Cd":
		return map[string]string{"cd": ",bootindex=1", "disk": ",bootindex=2", "nic": ",bootindex=3"}
	case "Pxe", "UefiHttp":
		return map[string]string{"nic": ",bootindex=1", "disk": ",bootindex=2", "cd": ",bootindex=3"}
	}
	return map[string]string{"disk": ",bootindex=1", "cd": ",bootindex=2", "nic": ",bootindex=3"}
}

// bootROM is the suffix that gives a machine's i-th NIC its ROM, or none. UEFI has a driver of its own; a BIOS boots from a NIC
// by its ROM only, which is iPXE in QEMU. A ROM that is not named here is QEMU's default, and only in that QEMU sets the PCI ID
// by which SeaBIOS finds it (pci_patch_ids in QEMU's hw/pci/pci.c). The first NIC alone boots.
func bootROM(boot bmc.Boot, i int) string {
	if boot.Legacy && i == 0 {
		return ""
	}
	return ",romfile="
}
