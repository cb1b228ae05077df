package e2e

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ingot/internal/client"
	"ingot/internal/metal"
	"ingot/internal/ramdisk"
	"ingot/internal/wire"
	"ingot/lab"
	"ingot/lab/bmc"
)

// TestOwnKeys takes a machine whose firmware comes with Microsoft's keys, puts keys of our own in their place through its BMC, and
// shows that it starts what these sign and nothing else, and everything again once Secure Boot is off. Deploy and rescue with
// Microsoft's keys are TestMachine, TestNetworkBootUnderSecureBoot and TestRescue.
func TestOwnKeys(t *testing.T) {
	x := startNetLab(t, func(c *lab.Config) {
		c.Name, c.Subnet = "ownkeys", netip.MustParsePrefix("198.18.89.0/24")
	}, "conductor.deploy_callback_timeout=60") // the firmware refuses within seconds, on a busy host, too
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	for _, name := range []string{"pk", "kek", "db"} {
		tool(t, "openssl", "req", "-new", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3650", "-subj", "/CN=Lab-"+name+"/",
			"-keyout", file(name+".key"), "-out", file(name+".crt"))
	}
	x.node.ends(metal.VerbManage, metal.Manageable, later)
	x.part("own keys are enrolled", func(x *netLab) {
		x.ingot("node", "secure-boot", "keys", "enroll", x.name, "--pk", file("pk.crt"), "--kek", file("kek.crt"), "--db", file("db.crt"),
			"--replace", "--wait", "--timeout", "2m")
		shown := x.ingot("node", "secure-boot", "keys", "show", x.name)
		if !contains(shown, "CN=Lab-pk", "CN=Lab-kek", "CN=Lab-db") || strings.Contains(shown, "Microsoft") {
			x.t.Errorf("the keys are:\n%s", shown)
		}
	})
	x.node.ends(metal.VerbProvide, metal.Available, later)
	x.part("the firmware refuses what only Microsoft signed, and that is told", func(x *netLab) {
		x.refused("redfish-virtual-media", "Access Denied", "Secure Boot is on", "refused", "ingot boot verify")
	})
	shim := file("shimx64.efi")
	x.part("what we signed is deployed, with Secure Boot on", func(x *netLab) {
		x.ingot("boot", "sign", "--key", file("db.key"), "--cert", file("db.crt"), debianShim, shim)
		x.restart(func() {
			makeRamdisk(x.t, ramdisk.Options{Agent: program(x.t, "ingot-agent"), Out: filepath.Join(x.node.server.data, "ramdisk"), Shim: shim})
		}, "conductor.deploy_callback_timeout=720")
		x.starts(shim, true)
		x.secureBoot()
		x.node.ends(metal.VerbDeleted, metal.Available, later)
	})
	if os.Getenv("INGOT_LAB_FULL") != "1" { // TestGuestSeesSecureBoot of lab has a firmware start such a loader in seconds
		t.Log("without INGOT_LAB_FULL=1 the deploy with Secure Boot off is left out")
		return
	}
	x.part("off where asked: a loader that nobody signed starts", func(x *netLab) {
		x.starts(unsigned(x.t, debianShim), false)
		var s struct {
			SecureBootEnable      bool
			SecureBootCurrentBoot string
		}
		x.read(bmc.SecureBootPath, &s)
		if s.SecureBootEnable || s.SecureBootCurrentBoot != "Disabled" {
			x.t.Errorf("Secure Boot is %+v", s)
		}
	})
}

// starts deploys an image with a first loader, with Secure Boot or without, and waits until it has started.
func (x *netLab) starts(loader string, secure bool) {
	x.t.Helper()
	x.raw = startableBy(x.t, loader)
	x.images = serveImages(x.t, x.host, packed(x.t, x.raw), 0)
	x.bootsBy("redfish-virtual-media")
	if secure {
		_, err := x.UpdateNode(x.t.Context(), x.name, []wire.PatchOp{client.Set("/instance_info/capabilities", map[string]any{"secure_boot": "true"})}, false)
		if err != nil {
			x.t.Fatal(err)
		}
	}
	from := x.consoleLength()
	x.node.ends(metal.VerbActive, metal.Active, later)
	x.deployed()
	x.sees(from, onDisk)
}
