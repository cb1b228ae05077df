package lab

import (
	"crypto/sha256"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strconv"

	"ingot/internal/fault"
)

// Config says what a lab is made of. Start from Defaults.
type Config struct {
	// Name tells labs on one host apart: 1-9 lower-case letters, digits and dashes.
	Name string `json:"name"`
	// Dir is the lab's folder: disks, consoles, passwords, logs. Made if missing.
	Dir string `json:"dir"`
	// Machines is how many there are, 1-50.
	Machines int `json:"machines"`
	// MemoryMiB is each machine's memory.
	MemoryMiB int `json:"memory_mib"`
	// CPUs is how many each machine has. One is best on a small host: emulated CPUs wait for each other, in
	// system management mode above all. Measured on two cores: with two the boot to init takes a third more
	// of the host's CPU time, and copying memory is three times slower.
	CPUs int `json:"cpus"`
	// Disks is how many each machine has, 1 to 4; 0 is one. DiskGiB is the size of each; they are sparse.
	Disks   int `json:"disks,omitempty"`
	DiskGiB int `json:"disk_gib"`
	// Networks is how many bridges there are, and NICs per machine. Only the first has addresses; the others
	// connect the machines with each other.
	Networks int `json:"networks"`
	// Switch: the NICs are on ports of a switch that moves them between logical networks, when its API is asked to, and
	// are isolated until then. Networks is only the NICs per machine then.
	Switch bool `json:"switch,omitempty"`
	// Firmware is UEFI or BIOS.
	Firmware string `json:"firmware"`
	// SecureBoot: the UEFI firmware has Microsoft's keys and runs only what they sign.
	SecureBoot bool `json:"secure_boot"`
	// Images is a folder that is served at ImagesURL; "" means Dir/images.
	Images string `json:"images"`
	// Subnet is the first network's, a /24. Its .1 is this host.
	Subnet netip.Prefix `json:"subnet"`

	// Program is the executable that has Command, and is called again as the daemon; "" is this one. A test
	// binary calls Command itself from TestMain when its first argument is "lab".
	Program string `json:"-"`
}

// Defaults is a lab of one small machine.
func Defaults() Config {
	return Config{Name: "lab", Dir: "ingot-lab", Machines: 1, MemoryMiB: 512, CPUs: 1, DiskGiB: 8, Networks: 1,
		Firmware: UEFI, SecureBoot: true, Subnet: netip.MustParsePrefix("198.18.77.0/24")}
}

// nameForm keeps the veth's name, "ig-" and this, within the 15 bytes of a Linux interface name.
var nameForm = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,8}$`)

// check finds what is wrong with a config and makes its paths absolute.
func (c *Config) check() error {
	switch {
	case !nameForm.MatchString(c.Name):
		return fault.New(fault.Invalid, "The lab's name %q must be 1 to 9 lower-case letters, digits and dashes.", c.Name)
	case c.Machines < 1 || c.Machines > 50:
		return fault.New(fault.Invalid, "A lab has 1 to 50 machines, not %d.", c.Machines)
	case c.MemoryMiB < 256:
		return fault.New(fault.Invalid, "A machine needs 256 MiB of memory or more, not %d: the firmware takes half of that.", c.MemoryMiB)
	case c.DiskGiB < 1 || c.DiskGiB > 16384:
		return fault.New(fault.Invalid, "A machine's disk has 1 to 16384 GiB, not %d.", c.DiskGiB)
	case c.Disks < 0 || c.Disks > 4:
		return fault.New(fault.Invalid, "A machine has 1 to 4 disks, not %d.", c.Disks)
	case c.CPUs < 1 || c.CPUs > 16:
		return fault.New(fault.Invalid, "A machine has 1 to 16 CPUs, not %d.", c.CPUs)
	case c.Firmware != UEFI && c.Firmware != BIOS:
		return fault.New(fault.Invalid, "A machine's firmware is uefi or bios, not %q.", c.Firmware)
	case c.Networks < 1 || c.Networks > 8:
		return fault.New(fault.Invalid, "A lab has 1 to 8 networks, not %d.", c.Networks)
	case !c.Subnet.IsValid() || !c.Subnet.Addr().Is4() || c.Subnet.Bits() != 24:
		return fault.New(fault.Invalid, "The subnet must be an IPv4 /24, like 198.18.77.0/24.")
	}
	c.Subnet = c.Subnet.Masked()
	var err error
	if c.Dir, err = filepath.Abs(c.Dir); err != nil {
		return err
	}
	if c.Images == "" {
		c.Images = filepath.Join(c.Dir, "images")
		return nil
	}
	if c.Images, err = filepath.Abs(c.Images); err != nil {
		return err
	}
	if st, err := os.Stat(c.Images); err != nil || !st.IsDir() {
		return fault.Wrap(fault.Invalid, err, "The images folder %s is not a folder.", c.Images)
	}
	return nil
}

// address is the lab's n-th address.
func (c *Config) address(n int) netip.Addr {
	a := c.Subnet.Addr().As4()
	a[3] = byte(n)
	return netip.AddrFrom4(a)
}

func (c *Config) namespace() string { return "ingot-" + c.Name }
func (c *Config) hostLink() string  { return "ig-" + c.Name }

// bridge is the name of network n, from 1.
func (c *Config) bridge(n int) string {
	switch {
	case n == 1 && c.Switch:
		return core
	case n == 1:
		return "provisioning"
	}
	return "net" + strconv.Itoa(n)
}

// spec is what one machine is made of. All of it follows from the config, but for the password, which is
// in a file.
type spec struct {
	Name    string
	Dir     string
	Number  int
	UUID    string
	Serial  string
	MACs    []string
	Taps    []string
	BMC     netip.Addr
	Address netip.Addr
}

// specs are the lab's machines.
func (c *Config) specs() []spec {
	// The same lab always has the same machines: whoever enrolled them finds them again.
	sum := sha256.Sum256([]byte("ingot lab " + c.Name))
	var out []spec
	for n := 1; n <= c.Machines; n++ {
		s := spec{Name: "m" + strconv.Itoa(n), Number: n, BMC: c.address(100 + n), Address: c.address(200 + n),
			Serial: fmt.Sprintf("LAB%X%03d", sum[:4], n),
			UUID:   fmt.Sprintf("%x-%x-4%03x-8%03x-%x%02x", sum[4:8], sum[8:10], n, n, sum[10:15], n)}
		s.Dir = filepath.Join(c.Dir, s.Name)
		for i := 1; i <= c.Networks; i++ {
			// 52:54 is locally administered; two bytes tell labs apart.
			s.MACs = append(s.MACs, fmt.Sprintf("52:54:%02x:%02x:%02x:%02x", i-1, sum[20], sum[21], n))
			s.Taps = append(s.Taps, fmt.Sprintf("%sn%d", s.Name, i))
		}
		out = append(out, s)
	}
	return out
}

func (s spec) file(name string) string { return filepath.Join(s.Dir, name) }

func (s spec) disk() string { return s.file("disk.raw") }

// more are the disks behind the first.
func (s spec) more(c *Config) (paths []string) {
	for i := 2; i <= c.Disks; i++ {
		paths = append(paths, s.file(fmt.Sprintf("disk%d.raw", i)))
	}
	return paths
}

func (s spec) console() string      { return s.file("console.log") }
func (s spec) passwordFile() string { return s.file("bmc-password") }
func (s spec) networkFile() string  { return s.file("network_data.json") }
