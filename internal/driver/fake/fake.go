// Package fake is hardware that is a struct in memory: what the interfaces named "fake" do.
//
// It is for demonstrations, for tests of the API and for clients that want a server without machines; the
// conductor takes *Driver by shape, like every driver. It is not a simulator of machines (lab/simulate is)
// or of BMCs (lab/bmc is): nothing boots, no network is touched, and but for the power state, which is the node's
// record, nothing survives the process. It has no virtual media: the conductor takes it that somebody else boots a
// ramdisk where one is needed.
//
// It is deterministic unless delays are set: a machine is off and boots from its disk until told otherwise, whatever it
// is told happens at once, and what it says of itself follows from the node's UUID. No call fails but for a request
// that is wrong in itself (fault.Invalid) or a context that has ended.
package fake

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net"
	"slices"
	"sync"

	"ingot/internal/fault"
	"ingot/internal/metal"
)

// Driver is every fake machine of this process. Make it with New; it is safe for use from many goroutines.
type Driver struct {
	mu       sync.Mutex
	machines map[string]machine // guarded by mu; by node UUID, those that were told something
	setups   map[string]*setup  // guarded by mu; by node UUID, those that ran a step
	changes  map[string]change  // guarded by mu; by node UUID, of power, as they were asked for last
	delays   Delays

	media map[string]map[string]string // guarded by mu; by node UUID and kind of drive, what is in it
	lit   map[string]map[string]string // guarded by mu; by node UUID and indicator, lights that were switched
}

// machine is one machine; as a value, so that nobody shares it.
type machine struct {
	boot metal.BootDevice
	bios bool // the boot mode
	// Secure Boot: the setting, and what the last boot made of it.
	secure, enforced bool
}

// fresh is a machine that was told nothing yet.
var fresh = machine{boot: metal.BootDevice{Device: "disk", Persistent: true}}

// devices are what a fake machine boots from. Source: OpenStack Ironic, ironic/common/boot_devices.py.
var devices = []string{"pxe", "disk", "cdrom", "bios", "safe", "uefihttp"}

// New makes a driver without machines: each is there when it is first asked for.
func New(delays Delays) *Driver {
	return &Driver{machines: map[string]machine{}, setups: map[string]*setup{}, changes: map[string]change{}, delays: delays,
		media: map[string]map[string]string{}, lit: map[string]map[string]string{}}
}

// Validate finds nothing wrong: a fake machine needs no driver_info.
func (d *Driver) Validate(*metal.Node) error { return nil }

// BootDevice tells what the machine boots from next.
func (d *Driver) BootDevice(ctx context.Context, n *metal.Node) (metal.BootDevice, error) {
	m, err := d.machine(ctx, n)
	return m.boot, err
}

// SetBootDevice takes what BootDevices lists; others are fault.Invalid.
func (d *Driver) SetBootDevice(ctx context.Context, n *metal.Node, dev metal.BootDevice) error {
	if !slices.Contains(devices, dev.Device) {
		return fault.New(fault.Invalid, "%q is not a boot device: use one of %v", dev.Device, devices)
	}
	return d.change(ctx, n, func(m *machine) { m.boot = dev })
}

// BootDevices lists what SetBootDevice takes.
func (d *Driver) BootDevices(ctx context.Context, _ *metal.Node) ([]string, error) {
	return slices.Clone(devices), ctx.Err()
}

// BootMode tells how the machine boots.
func (d *Driver) BootMode(ctx context.Context, n *metal.Node) (string, error) {
	m, err := d.machine(ctx, n)
	if m.bios {
		return metal.BIOS, err
	}
	return metal.UEFI, err
}

// SetBootMode takes metal.UEFI and metal.BIOS; Secure Boot ends with UEFI.
func (d *Driver) SetBootMode(ctx context.Context, n *metal.Node, mode string) (shown bool, err error) {
	if mode != metal.UEFI && mode != metal.BIOS {
		return false, fault.New(fault.Invalid, "%q is not a boot mode: use uefi or bios", mode)
	}
	return true, d.change(ctx, n, func(m *machine) {
		m.bios = mode == metal.BIOS
		m.secure = m.secure && !m.bios
	})
}

// SecureBoot tells how Secure Boot stands.
func (d *Driver) SecureBoot(ctx context.Context, n *metal.Node) (metal.SecureBoot, error) {
	m, err := d.machine(ctx, n)
	return metal.SecureBoot{On: m.secure, Booted: &m.enforced}, err
}

// SetSecureBoot changes it for the next boot; it needs boot mode uefi.
func (d *Driver) SetSecureBoot(ctx context.Context, n *metal.Node, on bool) (shown bool, err error) {
	m, err := d.machine(ctx, n)
	if err != nil {
		return false, err
	}
	if on && m.bios {
		return false, fault.New(fault.Invalid, "Secure Boot needs boot mode uefi")
	}
	return true, d.change(ctx, n, func(m *machine) { m.secure = on })
}

// ResetSecureBootKeys changes nothing: a fake machine has no keys to lose.
func (d *Driver) ResetSecureBootKeys(ctx context.Context, _ *metal.Node, _ metal.KeyReset) error {
	return ctx.Err()
}

// Inspect describes a small machine with one NIC. The serial number and the MAC (locally administered)
// follow from the node's UUID.
func (d *Driver) Inspect(ctx context.Context, n *metal.Node) (metal.HardwareInfo, error) {
	sum := sha256.Sum256([]byte(n.UUID))
	mac := append(net.HardwareAddr{0x02}, sum[:5]...)
	return metal.HardwareInfo{Manufacturer: "Ingot", Model: "Fake", Serial: fmt.Sprintf("FAKE-%X", sum[5:9]),
		MemoryMiB: 4096, CPUs: 2, CPUArch: "x86_64", BootMode: "uefi", MACs: []string{mac.String()}}, ctx.Err()
}

func (d *Driver) machine(ctx context.Context, n *metal.Node) (machine, error) {
	if err := ctx.Err(); err != nil {
		return machine{}, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if m, ok := d.machines[n.UUID]; ok {
		return m, nil
	}
	return fresh, nil
}

func (d *Driver) change(ctx context.Context, n *metal.Node, f func(*machine)) error {
	m, err := d.machine(ctx, n)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if known, ok := d.machines[n.UUID]; ok {
		m = known
	}
	f(&m)
	if m == fresh {
		delete(d.machines, n.UUID) // nothing to remember of a machine that is as new
	} else {
		d.machines[n.UUID] = m
	}
	return nil
}
