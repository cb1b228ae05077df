package lab

import (
	"encoding/json"
	"net/netip"
	"os"
	"strings"
	"testing"

	"ingot/internal/fault"
	"ingot/lab/bmc"
)

func TestConfigIsChecked(t *testing.T) {
	rows := []struct {
		name   string
		change func(*Config)
		ok     bool
	}{
		{"defaults", func(*Config) {}, true},
		{"most", func(c *Config) { c.Machines, c.Networks = 50, 8 }, true},
		{"name too long for a link", func(c *Config) { c.Name = "ten-letter" }, false},
		{"name with a slash", func(c *Config) { c.Name = "../x" }, false},
		{"no machines", func(c *Config) { c.Machines = 0 }, false},
		{"more machines than addresses", func(c *Config) { c.Machines = 51 }, false},
		{"too little memory", func(c *Config) { c.MemoryMiB = 64 }, false},
		{"no disk", func(c *Config) { c.DiskGiB = 0 }, false},
		{"no CPU", func(c *Config) { c.CPUs = 0 }, false},
		{"no network", func(c *Config) { c.Networks = 0 }, false},
		{"subnet of the wrong size", func(c *Config) { c.Subnet = netip.MustParsePrefix("10.0.0.0/16") }, false},
		{"IPv6", func(c *Config) { c.Subnet = netip.MustParsePrefix("fd00::/64") }, false},
		{"no subnet", func(c *Config) { c.Subnet = netip.Prefix{} }, false},
		{"images that are not there", func(c *Config) { c.Images = "/nonexistent" }, false},
	}
	for _, r := range rows {
		c := Defaults()
		r.change(&c)
		err := c.check()
		if (err == nil) != r.ok {
			t.Errorf("%s: %v", r.name, err)
		}
		if _, public := fault.PublicOf(err); err != nil && (!public || fault.KindOf(err) != fault.Invalid) {
			t.Errorf("%s: not a fault for the user: %v", r.name, err)
		}
	}
}

func TestMachinesAreDistinctAndStable(t *testing.T) {
	c := Defaults()
	c.Machines, c.Networks = 50, 8
	other := c
	other.Name = "other"
	seen := map[string]string{}
	unique := func(what, v, who string) {
		if by, taken := seen[what+v]; taken {
			t.Errorf("%s %s of %s is also of %s", what, v, who, by)
		}
		seen[what+v] = who
	}
	for _, cfg := range []Config{c, other} {
		for _, s := range cfg.specs() {
			who := cfg.Name + "/" + s.Name
			unique("uuid", s.UUID, who)
			unique("serial", s.Serial, who)
			for _, m := range s.MACs {
				unique("mac", m, who)
			}
			if len(s.UUID) != 36 || len(s.diskSerial(4)) > virtioSerialUp {
				t.Errorf("%s: UUID %q, disk serial %q", who, s.UUID, s.diskSerial(4))
			}
		}
	}
	a, b := c.specs()[2], c.specs()[2]
	if a.UUID != b.UUID || a.MACs[0] != b.MACs[0] {
		t.Error("a machine is another one the second time")
	}
	if a.BMC.String() != "198.18.77.103" || a.Address.String() != "198.18.77.203" {
		t.Errorf("m3 has BMC %s and address %s", a.BMC, a.Address)
	}
	if l := c.hostLink(); len(l) > 15 {
		t.Errorf("link name %q is too long", l)
	}
}

func TestBootOrder(t *testing.T) {
	c := Defaults()
	s := c.specs()[0]
	for first, want := range map[string]string{"": "disk cd nic", "Hdd": "disk cd nic", "Cd": "cd disk nic", "Pxe": "nic disk cd", "UefiHttp": "nic disk cd"} {
		order := make([]string, 3)
		for _, arg := range s.qemuArgs(&c, bmc.Boot{First: first}) {
			for dev, name := range map[string]string{"virtio-blk-pci": "disk", "ide-cd": "cd", "virtio-net-pci": "nic"} {
				if _, n, ok := strings.Cut(arg, "bootindex="); ok && strings.HasPrefix(arg, dev) {
					order[n[0]-'1'] = name
				}
			}
		}
		if got := strings.Join(order, " "); got != want {
			t.Errorf("override %q: order %s, want %s", first, got, want)
		}
	}
}

func TestPathsWithCommasStayWhole(t *testing.T) {
	c := Defaults()
	args := c.specs()[0].qemuArgs(&c, bmc.Boot{First: "Cd", Media: `/a,b"c/x.iso`})
	var found bool
	for _, a := range args {
		var v struct {
			Node string `json:"node-name"`
			File struct{ Filename string }
		}
		if strings.HasPrefix(a, "{") && json.Unmarshal([]byte(a), &v) == nil && v.Node == "media" {
			found = v.File.Filename == `/a,b"c/x.iso`
		}
	}
	if !found {
		t.Error("QEMU is not given the path of the media as it is")
	}
}

func TestPlainFirmwareWithoutSecureBoot(t *testing.T) {
	c := Defaults()
	c.SecureBoot = false
	args := strings.Join(c.specs()[0].qemuArgs(&c, bmc.Boot{}), " ")
	if strings.Contains(args, "secure") || strings.Contains(args, "smm=on") || !strings.Contains(args, codePlain) {
		t.Errorf("arguments without Secure Boot: %s", args)
	}
}

func TestAliveKnowsAnotherProcessWithTheSamePID(t *testing.T) {
	s := State{DaemonPID: os.Getpid(), DaemonStart: startTime(os.Getpid())}
	if !s.alive() {
		t.Fatal("this very process is said to be dead")
	}
	s.DaemonStart = "1"
	if s.alive() {
		t.Error("a process that started at another time is taken for ours")
	}
	if (&State{}).alive() || startTime(-1) != "" {
		t.Error("no process is taken for one")
	}
}

func TestDownOfNothingIsNoError(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("removing namespaces needs root")
	}
	for range 2 {
		if err := down(t.TempDir(), "nosuchlab"); err != nil {
			t.Error(err)
		}
	}
}

func TestOpenSaysThatNothingIsUp(t *testing.T) {
	if _, err := Open(t.TempDir()); fault.KindOf(err) != fault.NotFound {
		t.Errorf("got %v", err)
	}
}
