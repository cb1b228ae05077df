package e2e

import (
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

// TestNetworkRescue deploys a machine and rescues it with the Debian ramdisk, booted from the network in each way that Secure
// Boot allows; somebody logs in with the password that the command gave, and then the machine starts what is on its disk.
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
	x.available(later)
	x.bootsBy("pxe")
	from := x.consoleLength()
	x.node.ends(metal.VerbActive, metal.Active, later)
	x.sees(from, onDisk)
	x.part("pxe", func(x *netLab) { x.rescues("pxe", byPXE) })
	x.part("http", func(x *netLab) { x.rescues("http", byHTTP) })
}

// rescues rescues the active machine by a boot interface, and ends the rescue.
func (x *netLab) rescues(iface string, prints *regexp.Regexp) {
	t := x.t
	t.Helper()
	if _, err := x.UpdateNode(t.Context(), x.name, []wire.PatchOp{client.Set("/boot_interface", iface)}, false); err != nil {
		t.Fatal(err)
	}
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
