package ramdisk

// want is a kernel module the ramdisk should have, and what for. Its dependencies come by themselves.
type want struct {
	name string
	why  string
}

// params are what modules are loaded with. The kernel's command line cannot do it: modprobe reads it there
// for modules, and there is no modprobe.
var params = map[string]string{
	// Else a bond0 is there before static network data could make one of its own (source: kernel,
	// Documentation/networking/bonding.rst).
	"bonding": "max_bonds=0",
}

// wanted is the list, in the order the agent loads: what others find at run time first, then buses, then
// what hangs on them. A module the kernel has built in, or not at all, is passed over and recorded in the
// manifest. Names are the kernel's, with underscores (source: Debian 12's linux-image-6.1).
//
// Left out, with the reason:
//   - bnx2x, qlcnic, netxen, liquidio, qla2xxx, bfa, ib_*: no use without firmware files that Debian 12
//     ships as non-free, or a fabric that the agent cannot configure;
//   - amdgpu, nouveau, i915 and all other graphics and sound: the firmware's frame buffer is enough;
//   - btrfs, xfs, ext4 and dm: the agent mounts nothing of theirs, and reads a partition image's ext4 by itself;
//   - raid: see raidWanted;
//   - hv_*: a Hyper-V guest is no bare machine, and elsewhere they fill the log with unknown symbols;
//   - loop: its eight empty devices would stand among the disks;
//   - wireless.
var wanted = []want{
	// Found by name through the crypto API or NLS, where no modprobe answers.
	{"crc32c_generic", "checksums; libcrc32c asks for it"},
	{"crc32c_intel", "the same, fast"},
	{"crct10dif_generic", "T10 protection; sd_mod asks for it"},
	{"crct10dif_pclmul", "the same, fast"},
	{"nls_ascii", "Debian's default code page for FAT"},
	{"nls_cp437", "code page of FAT names"},
	{"nls_utf8", "character set of FAT and Joliet names"},
	{"nls_iso8859_1", "character set of FAT names"},

	// What tells us where we are, and the clock.
	{"efivarfs", "Secure Boot state and boot entries"},
	{"efi_pstore", "the kernel's last words after a crash"},
	{"acpi_ipmi", "lets firmware reach the BMC"},
	{"ipmi_devintf", "the BMC from inside: its address"},
	{"ipmi_si", "the usual way to the BMC"},
	{"ipmi_ssif", "the BMC on SMBus"},

	// Buses.
	{"virtio_pci", "virtual machines"},
	{"virtio_mmio", "virtual machines without PCI"},
	{"virtio_rng", "entropy in virtual machines"},
	{"xhci_pci", "USB 3: virtual media of BMCs, keyboards"},
	{"ehci_pci", "USB 2: virtual media of older BMCs"},
	{"uhci_hcd", "USB 1: keyboards of older BMCs"},
	{"ohci_pci", "USB 1, other makers"},
	{"vmd", "NVMe drives behind Intel VMD"},

	// Storage controllers.
	{"virtio_blk", "disks of virtual machines"},
	{"virtio_scsi", "disks of virtual machines"},
	{"vmw_pvscsi", "disks of VMware machines"},
	{"nvme", "NVMe drives"},
	{"ahci", "SATA"},
	{"ata_piix", "SATA in IDE mode; the CD drive of QEMU's pc machine"},
	{"ata_generic", "SATA in IDE mode, other chips"},
	{"isci", "SAS on Intel C600"},
	{"megaraid_sas", "LSI/Broadcom RAID: Dell PERC, Lenovo, Supermicro"},
	{"mpt3sas", "LSI/Broadcom HBA"},
	{"mpi3mr", "Broadcom HBA and RAID since 2021"},
	{"mptsas", "LSI SAS1068"},
	{"mptspi", "LSI SCSI; VMware's default"},
	{"hpsa", "HPE Smart Array"},
	{"smartpqi", "HPE and Microchip Smart Storage"},
	{"aacraid", "Adaptec RAID"},
	{"arcmsr", "Areca RAID"},
	{"3w_9xxx", "3ware RAID"},
	{"3w_sas", "3ware RAID"},
	{"pm80xx", "Microchip SAS"},
	{"mvsas", "Marvell SAS"},
	{"sdhci_pci", "SD cards and eMMC on boards"},
	{"mmc_block", "the same"},
	{"usb_storage", "virtual media of BMCs, USB drives"},
	{"uas", "USB drives"},

	// Disks and what is on them.
	{"sd_mod", "SCSI, SATA, SAS and USB disks"},
	{"sr_mod", "CD drives: the boot ISO"},
	{"sg", "commands straight to a drive"},
	{"isofs", "the boot ISO, the config drive"},
	{"vfat", "the ESP, config drives on FAT"},

	// Input, for whoever stands at the machine.
	{"usbhid", "USB keyboards"},
	{"hid_generic", "USB keyboards"},

	// Networks: the protocols, then the cards.
	{"8021q", "tagged VLANs"},
	{"bonding", "bonds of static network data"},
	{"virtio_net", "virtual machines"},
	{"vmxnet3", "VMware"},
	{"e1000", "Intel PCI, emulated by many"},
	{"e1000e", "Intel, on board"},
	{"igb", "Intel 1G"},
	{"igc", "Intel 2.5G"},
	{"ixgbe", "Intel 10G"},
	{"i40e", "Intel 10/40G"},
	{"ice", "Intel 25/100G; without its firmware package it works with one queue"},
	{"iavf", "virtual functions of Intel cards"},
	{"ixgbevf", "the same, 10G"},
	{"bnxt_en", "Broadcom 10 to 200G"},
	{"tg3", "Broadcom 1G, on board"},
	{"bnx2", "Broadcom 1G of older Dell and HP servers; needs firmware on some"},
	{"mlx4_en", "Mellanox ConnectX-3"},
	{"mlx5_core", "Mellanox/NVIDIA ConnectX-4 and later"},
	{"be2net", "Emulex 10G"},
	{"enic", "Cisco VIC"},
	{"qede", "QLogic 10 to 100G"},
	{"cxgb4", "Chelsio"},
	{"sfc", "Solarflare"},
	{"atlantic", "Aquantia/Marvell 10G"},
	{"r8169", "Realtek 1G and 2.5G"},
	{"forcedeth", "nVidia, on board"},
	{"sky2", "Marvell 1G"},
	{"alx", "Qualcomm Atheros 1G"},
	{"atl1c", "Qualcomm Atheros 1G"},
	{"jme", "JMicron 1G"},
	{"amd_xgbe", "AMD, on board"},
	{"cdc_ether", "the USB NIC a BMC gives its host"},
	{"rndis_host", "the same, other BMCs"},
}
