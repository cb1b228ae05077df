package conductor

import (
	"context"
	"net/netip"

	"ingot/internal/metal"
	"ingot/internal/seed"
)

// Power is what the conductor needs to switch a machine on and off.
type Power interface {
	// Power reads the state: metal.PowerOn or metal.PowerOff.
	Power(ctx context.Context, n *metal.Node) (metal.Power, error)
	// SetPower asks for a state (PowerOn, PowerOff, SoftPowerOff) and returns when the BMC has accepted
	// it; the machine may take longer. Asking for the state it is in changes nothing and is no error.
	SetPower(ctx context.Context, n *metal.Node, want metal.Power) error
}

// Button is a Power that reaches a state by a press of the power button on some machines. A second press would undo the first.
type Button interface {
	ByButton(ctx context.Context, n *metal.Node, want metal.Power) (bool, error)
}

// Booter chooses what a machine boots from.
type Booter interface {
	BootDevice(ctx context.Context, n *metal.Node) (metal.BootDevice, error)
	SetBootDevice(ctx context.Context, n *metal.Node, d metal.BootDevice) error
	// BootDevices lists what SetBootDevice accepts for this machine.
	BootDevices(ctx context.Context, n *metal.Node) ([]string, error)
}

// Media puts an ISO image into the machine's virtual CD drive.
type Media interface {
	// InsertMedia ejects anything else first. The BMC fetches url by itself.
	InsertMedia(ctx context.Context, n *metal.Node, url string) error
	// EjectMedia is done when the drive is empty; an empty drive is no error.
	EjectMedia(ctx context.Context, n *metal.Node) error
	// Media is the URL in the drive, "" for an empty one.
	Media(ctx context.Context, n *metal.Node) (string, error)
}

// BootModer reads and changes how the firmware boots: metal.UEFI or metal.BIOS.
type BootModer interface {
	// BootMode is "" where the BMC does not say.
	BootMode(ctx context.Context, n *metal.Node) (string, error)
	// SetBootMode is for the next boot on. Shown false: the BMC accepted and does not show it; only a boot can tell.
	SetBootMode(ctx context.Context, n *metal.Node, mode string) (shown bool, err error)
}

// SecureBooter reads and switches UEFI Secure Boot; fault.NotSupported where the machine has none.
type SecureBooter interface {
	SecureBoot(ctx context.Context, n *metal.Node) (metal.SecureBoot, error)
	// SetSecureBoot is for the next boot on; shown as of SetBootMode.
	SetSecureBoot(ctx context.Context, n *metal.Node, on bool) (shown bool, err error)
	ResetSecureBootKeys(ctx context.Context, n *metal.Node, how metal.KeyReset) error
}

// Inspector tells what a BMC knows of its machine without booting it.
type Inspector interface {
	Inspect(ctx context.Context, n *metal.Node) (metal.HardwareInfo, error)
}

// Console gives what a machine printed, where the BMC keeps it.
type Console interface {
	// ConsoleLog is the newest part of the log, at most limit bytes; fault.NotSupported if there is none.
	ConsoleLog(ctx context.Context, n *metal.Node, limit int) ([]byte, error)
}

// Validator checks driver_info without speaking to the machine. A nil error means it can be tried.
type Validator interface {
	Validate(n *metal.Node) error
}

// Stepper is what a driver can do to its machine as steps of cleaning, deploying and servicing, out of band.
type Stepper interface {
	// Steps lists what the driver offers for this node, with priority 0 for what runs only on request.
	Steps(n *metal.Node, kind metal.StepKind) []metal.Step
	// RunStep begins the step, or looks how far it is: waiting is a phrase for what is still awaited, "" when it has
	// ended. It is called again until then, also by another process. key is the same for all calls of one run of the
	// step, so that a driver knows a run that it has begun.
	RunStep(ctx context.Context, n *metal.Node, kind metal.StepKind, s metal.Step, key string) (waiting string, err error)
}

// Firmware tells what of a machine's firmware a tenant could have changed, so that it can be compared after cleaning.
type Firmware interface {
	FirmwareState(ctx context.Context, n *metal.Node) (metal.FirmwareState, error)
}

// Settings reads the settings of a machine's firmware.
type Settings interface {
	BIOSSettings(ctx context.Context, n *metal.Node) ([]metal.BIOSSetting, error)
}

// Components reads which parts of a machine have firmware, of which version.
type Components interface {
	FirmwareComponents(ctx context.Context, n *metal.Node) ([]metal.FirmwareComponent, error)
}

// RAID reads what logical disks a machine has, in the form of target_raid_config; nil for none. It is asked after
// steps of the driver's that change them.
type RAID interface {
	RAIDConfig(ctx context.Context, n *metal.Node) (map[string]any, error)
}

// Drives are a machine's virtual drives as callers use them, beside what the conductor itself boots from.
type Drives interface {
	// AttachMedia puts an image into a drive of its kind, ejecting what is in it. The BMC fetches the URL by itself.
	AttachMedia(ctx context.Context, n *metal.Node, m metal.Medium) error
	// DetachMedia empties the drives of these kinds, all of them for none.
	DetachMedia(ctx context.Context, n *metal.Node, kinds []string) error
	MediaDevices(ctx context.Context, n *metal.Node) ([]metal.MediaDevice, error)
}

// Terminal makes a machine's console reachable. Starting what runs, and stopping what does not, is no error.
type Terminal interface {
	StartConsole(ctx context.Context, n *metal.Node) error
	StopConsole(ctx context.Context, n *metal.Node) error
	ConsoleInfo(ctx context.Context, n *metal.Node) (metal.ConsoleInfo, error)
}

// Interrupter interrupts a machine in a way that its system cannot ignore, so that it writes a crash dump.
type Interrupter interface {
	InjectNMI(ctx context.Context, n *metal.Node) error
}

// Lights are the indicators of a machine, named by metal.Indicator.ID. An unknown one, a state that one has not and
// a read-only one are fault.Invalid.
type Lights interface {
	Indicators(ctx context.Context, n *metal.Node) ([]metal.Indicator, error)
	Indicator(ctx context.Context, n *metal.Node, id string) (state string, err error)
	SetIndicator(ctx context.Context, n *metal.Node, id, state string) error
}

// Network connects a machine's NICs with the network of a phase. Each call looks first, then acts: done twice, it is done
// once, and what a killed process left is found again. What it gives back is kept in internal_info of the ports and port
// groups, with the step's outcome.
type Network interface {
	// CheckNetwork says what is wrong with a node's use of a role's network, and in warnings what may be unwise. It
	// changes nothing.
	CheckNetwork(ctx context.Context, n *metal.Node, w metal.Wiring, role metal.NetworkRole) (warnings []string, err error)
	// Plug puts the NICs on the network of a role; for the tenant's, each on the network of its VIF. waiting is a phrase
	// for what is still awaited, "" when they are there: it is called again until then. The notes are kept at each call.
	Plug(ctx context.Context, n *metal.Node, w metal.Wiring, role metal.NetworkRole) (notes metal.Notes, waiting string, err error)
	// Unplug takes the NICs off the network of a role, those too that nothing is noted of. None there is no error.
	Unplug(ctx context.Context, n *metal.Node, w metal.Wiring, role metal.NetworkRole) (metal.Notes, error)
	// AttachVIF makes a VIF that w notes already (metal.AttachVIF) known to the network service; with live, the machine
	// runs its instance and gets the network at once. An error leaves the service as it was.
	AttachVIF(ctx context.Context, n *metal.Node, w metal.Wiring, vif string, live bool) error
	// DetachVIF undoes it; w still notes the VIF.
	DetachVIF(ctx context.Context, n *metal.Node, w metal.Wiring, vif string) error
	// PhysicalNetworks are those that the network of a VIF is on; none: any, or it is not known.
	PhysicalNetworks(ctx context.Context, n *metal.Node, vif string) ([]string, error)
	// Describe is what an instance is to be told of the networks of its user's VIFs, for network_data; nil: nothing is known. It
	// changes nothing.
	Describe(ctx context.Context, n *metal.Node, w metal.Wiring) ([]seed.VIF, error)
	// Addresses are those that a MAC has on the network of a role, the likeliest first; none is no error.
	Addresses(ctx context.Context, n *metal.Node, mac string, role metal.NetworkRole) ([]netip.Addr, error)
}

// Guard tells how well a machine's firmware and its BMC are kept from the machine's user and from strangers.
type Guard interface {
	Security(ctx context.Context, n *metal.Node) (metal.SecurityReport, error)
	// Warnings are sentences about what is unwise, none where that cannot be found out.
	Warnings(ctx context.Context, n *metal.Node) []string
}

// Vendor is what only this driver does.
type Vendor interface {
	VendorMethods(n *metal.Node) map[string]metal.VendorMethod
	// CheckVendor tells, without speaking to the machine, whether a call of a known method can be made.
	CheckVendor(n *metal.Node, c metal.VendorCall) error
	CallVendor(ctx context.Context, n *metal.Node, c metal.VendorCall) (any, error)
}
