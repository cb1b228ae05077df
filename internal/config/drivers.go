package config

// Choices is the part of the section [DEFAULT] about what nodes may choose per interface kind: which implementations
// there are, and which one a node gets that names none. Unless said that is the first of its hardware type's own order that
// is enabled, those whose work is built before the others. Every server of a conductor group should have the same.
type Choices struct {
	// EnabledBIOS are the bios interfaces nodes may have. Empty: all that the enabled hardware types support.
	EnabledBIOS []string `key:"enabled_bios_interfaces"`
	// EnabledBoot are the boot interfaces nodes may have. Empty as above.
	EnabledBoot []string `key:"enabled_boot_interfaces"`
	// EnabledConsole are the console interfaces nodes may have. Empty as above.
	EnabledConsole []string `key:"enabled_console_interfaces"`
	// EnabledDeploy are the deploy interfaces nodes may have. Empty as above.
	EnabledDeploy []string `key:"enabled_deploy_interfaces"`
	// EnabledFirmware are the firmware interfaces nodes may have. Empty as above.
	EnabledFirmware []string `key:"enabled_firmware_interfaces"`
	// EnabledInspect are the inspect interfaces nodes may have. Empty as above.
	EnabledInspect []string `key:"enabled_inspect_interfaces"`
	// EnabledManagement are the management interfaces nodes may have. Empty as above.
	EnabledManagement []string `key:"enabled_management_interfaces"`
	// EnabledNetwork are the network interfaces nodes may have. Empty as above.
	EnabledNetwork []string `key:"enabled_network_interfaces"`
	// EnabledPower are the power interfaces nodes may have. Empty as above.
	EnabledPower []string `key:"enabled_power_interfaces"`
	// EnabledRAID are the raid interfaces nodes may have. Empty as above.
	EnabledRAID []string `key:"enabled_raid_interfaces"`
	// EnabledRescue are the rescue interfaces nodes may have. Empty as above.
	EnabledRescue []string `key:"enabled_rescue_interfaces"`
	// EnabledStorage are the storage interfaces nodes may have. Empty as above.
	EnabledStorage []string `key:"enabled_storage_interfaces"`
	// EnabledVendor are the vendor interfaces nodes may have. Empty as above.
	EnabledVendor []string `key:"enabled_vendor_interfaces"`

	// DefaultBIOS is the bios interface of nodes that name none.
	DefaultBIOS string `key:"default_bios_interface"`
	// DefaultBoot is the boot interface of nodes that name none.
	DefaultBoot string `key:"default_boot_interface"`
	// DefaultConsole is the console interface of nodes that name none.
	DefaultConsole string `key:"default_console_interface"`
	// DefaultDeploy is the deploy interface of nodes that name none.
	DefaultDeploy string `key:"default_deploy_interface"`
	// DefaultFirmware is the firmware interface of nodes that name none.
	DefaultFirmware string `key:"default_firmware_interface"`
	// DefaultInspect is the inspect interface of nodes that name none.
	DefaultInspect string `key:"default_inspect_interface"`
	// DefaultManagement is the management interface of nodes that name none.
	DefaultManagement string `key:"default_management_interface"`
	// DefaultNetwork is the network interface of nodes that name none.
	DefaultNetwork string `key:"default_network_interface"`
	// DefaultPower is the power interface of nodes that name none.
	DefaultPower string `key:"default_power_interface"`
	// DefaultRAID is the raid interface of nodes that name none.
	DefaultRAID string `key:"default_raid_interface"`
	// DefaultRescue is the rescue interface of nodes that name none.
	DefaultRescue string `key:"default_rescue_interface"`
	// DefaultStorage is the storage interface of nodes that name none.
	DefaultStorage string `key:"default_storage_interface"`
	// DefaultVendor is the vendor interface of nodes that name none.
	DefaultVendor string `key:"default_vendor_interface"`
}

// Fake is the section [fake]: how long fake hardware takes for what it does. Each is seconds, or the shortest and the
// longest time divided by a comma, of which the shorter are likelier.
type Fake struct {
	// PowerDelay is for a change of the power state.
	PowerDelay string `key:"power_delay"`
	// BootDelay is for preparing the boot of a ramdisk.
	BootDelay string `key:"boot_delay"`
	// DeployDelay is for a deployment, and for a tear down.
	DeployDelay string `key:"deploy_delay"`
	// VendorDelay is for a vendor method.
	VendorDelay string `key:"vendor_delay"`
	// ManagementDelay is for reading or setting the boot device, and the like.
	ManagementDelay string `key:"management_delay"`
	// InspectDelay is for an inspection.
	InspectDelay string `key:"inspect_delay"`
	// RAIDDelay is for a step of the raid interface.
	RAIDDelay string `key:"raid_delay"`
	// BIOSDelay is for a step of the bios interface.
	BIOSDelay string `key:"bios_delay"`
	// StorageDelay is for attaching volumes in a deployment.
	StorageDelay string `key:"storage_delay"`
	// RescueDelay is for a rescue, and for its end.
	RescueDelay string `key:"rescue_delay"`
	// FirmwareDelay is for a step of the firmware interface.
	FirmwareDelay string `key:"firmware_delay"`
}

// choices are upstream's defaults with what Ingot has beside it: fake for every kind, and agents that inspect. The two
// that upstream leaves open stay open.
func choices() Choices {
	return Choices{
		EnabledBIOS: []string{"no-bios", "redfish", "fake"}, EnabledBoot: []string{"ipxe", "pxe", "redfish-virtual-media", "fake"},
		EnabledConsole: []string{"no-console", "fake"}, EnabledDeploy: []string{"autodetect", "direct", "ramdisk", "bootc", "os-install", "fake"},
		EnabledFirmware: []string{"no-firmware", "fake"}, EnabledInspect: []string{"no-inspect", "redfish", "agent", "fake"},
		EnabledNetwork: []string{"flat", "noop"}, EnabledRAID: []string{"agent", "no-raid", "redfish", "fake"},
		EnabledRescue: []string{"agent", "no-rescue", "fake"}, EnabledStorage: []string{"cinder", "noop", "fake"},
		EnabledVendor: []string{"ipmitool", "redfish", "no-vendor", "fake"}, DefaultStorage: "noop",
	}
}

func fakeDefaults() Fake {
	return Fake{PowerDelay: "0", BootDelay: "0", DeployDelay: "0", VendorDelay: "0", ManagementDelay: "0", InspectDelay: "0", RAIDDelay: "0",
		BIOSDelay: "0", StorageDelay: "0", RescueDelay: "0", FirmwareDelay: "0"}
}
