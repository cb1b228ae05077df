package e2e

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"ingot/internal/client"
	"ingot/internal/metal"
	"ingot/internal/wire"
	"ingot/lab"
)

// netRescueMemory holds the Debian ramdisk twice while firmware fetches it as the medium of a boot by HTTP.
const netRescueMemory = 2048

// TestNetworkRescue rescues a machine with the Debian ramdisk, booted from the network in each way that Secure Boot allows;
// somebody logs in with the password that the command gave, and then the machine starts what is on its disk.
func TestNetworkRescue(t *testing.T) {
	if os.Getenv("INGOT_LAB_FULL") != "1" {
		t.Skip("skipped: set INGOT_LAB_FULL=1; TestRescue rescues a machine from virtual media, TestNetworkBootUnderSecureBoot boots from the network")
	}
	x := startNetLab(t, func(c *lab.Config) {
		c.Name, c.Subnet, c.MemoryMiB = "netresc", netip.MustParsePrefix("198.18.90.0/24"), netRescueMemory
	}, "default.enabled_rescue_interfaces=agent,no-rescue")
	x.restart(func() { buildDebian(t, x.node.server) })
	if _, err := x.UpdateNode(t.Context(), x.name, []wire.PatchOp{client.Set("/rescue_interface", "agent")}, false); err != nil {
		t.Fatal(err)
	}
	x.node.ends(metal.VerbManage, metal.Manageable, later)
	x.adopted()
	x.part("pxe", func(x *netLab) { x.rescues("pxe", byPXE) })
	x.part("http", func(x *netLab) { x.rescues("http", byHTTP) })
}

// adopted makes the machine one that has its image: TestNetworkBootUnderSecureBoot deploys by network boot.
func (x *netLab) adopted() {
	t := x.t
	t.Helper()
	disk, err := os.OpenFile(x.machine.DiskPath, os.O_WRONLY, 0)
	if err == nil {
		_, err = disk.WriteAt(x.raw, 0)
		err = errors.Join(err, disk.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	x.wants(x.images.url+"good", sum(x.images.good))
	x.node.ends(metal.VerbAdopt, metal.Active, later)
}

// rescues rescues the active machine by a boot interface, and ends the rescue.
func (x *netLab) rescues(iface string, prints *regexp.Regexp) {
	t := x.t
	t.Helper()
	x.ingot("node", "set", x.name, "--maintenance", "on") // nobody changes the interfaces of an active node by mistake
	if _, err := x.UpdateNode(t.Context(), x.name, []wire.PatchOp{client.Set("/boot_interface", iface)}, false); err != nil {
		t.Fatal(err)
	}
	x.ingot("node", "set", x.name, "--maintenance", "off")
	from := x.consoleLength()
	cmd := exec.CommandContext(t.Context(), program(t, "ingot"), "node", "rescue", x.name, "--generate", "--wait", "--timeout", "25m")
	cmd.Env = append(os.Environ(), "INGOT_ENDPOINT=http://"+x.api)
	var said strings.Builder
	cmd.Stderr = &said
	began := time.Now()
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("ingot node rescue: %v\n%s", err, &said)
	}
	t.Logf("rescue after %.0f s", time.Since(began).Seconds())
	if file := prints.FindStringSubmatch(x.printed(from)); file == nil {
		t.Errorf("the firmware did not print what it fetched (%s)", prints)
	} else if err := x.fetch(file[1]); err == nil {
		t.Errorf("%s is still served", file[1])
	}
	x.secureBoot()
	address := x.machine.Address.String()
	password := ssh.Password(generated.FindString(string(out)))
	in := space("").logIn(t, address, "rescue", password, soon)
	listening(t, in)
	if got := in.run("sudo rescue-disks"); !contains(got, "vda") {
		t.Errorf("the disk is not listed:\n%s", got)
	}
	if got := in.run("cat /proc/cmdline"); contains(got, "token", "password") {
		t.Errorf("on the kernel's command line: %s", got)
	}
	in.close()
	from = x.consoleLength()
	x.ingot("node", "unrescue", x.name, "--wait", "--timeout", "12m")
	x.sees(from, onDisk)
	if space("").reaches(net.JoinHostPort(address, "22")) {
		t.Error("the rescue ramdisk still answers")
	}
}
