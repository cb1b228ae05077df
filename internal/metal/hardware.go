package metal

// Power is a machine's power state, in Ironic's words.
type Power string

// Power states and targets. The last three are targets only.
const (
	PowerOn      Power = "power on"
	PowerOff     Power = "power off"
	PowerError   Power = "error"
	Reboot       Power = "rebooting"
	SoftReboot   Power = "soft rebooting"
	SoftPowerOff Power = "soft power off"
)

// BootDevice is where a machine boots from, in Ironic's words: "pxe", "disk", "cdrom", "bios", "safe",
// "uefihttp". Persistent says whether for every boot from now on or only the next.
type BootDevice struct {
	Device     string `json:"boot_device"`
	Persistent bool   `json:"persistent"`
}

// HardwareInfo is what a BMC tells of its machine. Zero values are unknown.
type HardwareInfo struct {
	Manufacturer string
	Model        string
	Serial       string
	UUID         string // of the machine's SMBIOS, lower case
	MemoryMiB    int
	CPUs         int
	CPUArch      string   // x86_64, aarch64
	BootMode     string   // "uefi" or "bios"
	SecureBoot   *bool    // nil: the BMC does not say
	MACs         []string // of the machine's NICs, lower case, colons, in the BMC's order
}
