package e2e

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ingot/internal/depot"
	"ingot/internal/metal"
	"ingot/internal/ramdisk"
	"ingot/lab"
	"ingot/lab/bmc"
)

const selfSecret = "canary-of-the-installer"

// TestREQ29And30SelfInstall has a machine install itself from an ISO that is made here: it boots that once, on its user's network, reads its
// parameters at 169.254.169.254, partitions its disk, writes a system there, reports, and runs from its disk ever after. Then another
// installer never ends, and is stopped by the time limit.
func TestREQ29And30SelfInstall(t *testing.T) {
	labOnly(t)
	x := newSelfLab(t, func(*lab.Config) {}, nil)

	began := time.Now()
	x.installs("ends", "12m")
	t.Logf("installed by itself after %.0f s", time.Since(began).Seconds())
	x.rests(metal.Active, soon)
	x.bootsItsDisk()
	x.installed()
	x.saidNothingSecret()

	x.ends(metal.VerbDeleted, metal.Available, later)
	x.stop()
	x.env = append(x.env, "INGOT_OS_INSTALL__TIMEOUT=15s")
	x.start()
	x.installing("forever")
	x.rests(metal.DeployFailed, later)
	n, err := x.Node(t.Context(), x.name)
	if err != nil {
		t.Fatal(err)
	}
	if why := n.LastError; !strings.Contains(why, "time is over") || !strings.Contains(why, `stage "partition"`) {
		t.Errorf("last_error %s", why)
	}
	var system struct {
		PowerState string
		Boot       struct{ BootSourceOverrideEnabled, BootSourceOverrideTarget string }
	}
	var media struct{ Inserted bool }
	x.read(bmc.SystemPath, &system)
	x.read(bmc.MediaPath, &media)
	if system.PowerState != "Off" || media.Inserted || system.Boot.BootSourceOverrideTarget == "Cd" && system.Boot.BootSourceOverrideEnabled != "Disabled" {
		t.Errorf("it is left %+v, medium in the drive: %v", system, media.Inserted)
	}
	x.saidNothingSecret()
}

// selfLab is a cloudLab whose machine gets an installer in the place of an image.
type selfLab struct {
	*cloudLab
	iso, sum string
	folder   string // with the ISO, and what is on it
}

// newSelfLab makes one; fields are more of its node, options more of its server.
func newSelfLab(t *testing.T, change func(*lab.Config), fields map[string]any, options ...string) *selfLab {
	t.Helper()
	c := lab.Defaults()
	c.Name, c.Dir, c.DiskGiB, c.Switch, c.Program = "selfinst", t.TempDir(), 1, true, program(t, "ingot")
	c.Subnet = netip.MustParsePrefix("198.18.96.0/24")
	change(&c)
	iso := installerISO(t)
	l := upLab(t, c)
	x := &selfLab{cloudLab: &cloudLab{lab: l, machine: l.Machines[0], control: namespace(t, "control")}}
	at := c.Subnet.Addr().As4()
	at[3] = 5
	operator := netip.AddrFrom4(at).String() // the server, on the operator's networks
	x.control.plug(t, l, "core", operator)
	x.control.plug(t, l, "tenant-a", cloudSide)
	x.leg = x.control.linkWith(t, cloudSide)
	x.control.run(t, "ip", "address", "add", metadataAddress+"/32", "dev", x.leg)
	x.serveAt(t, operator, options...)
	x.args = append(x.args, "--metadata-listen", net.JoinHostPort(metadataAddress, "80"))
	x.start()
	web := x.offers(filepath.Dir(iso), operator)
	data, err := os.ReadFile(iso)
	if err != nil {
		t.Fatal(err)
	}
	x.folder = filepath.Dir(iso)
	x.iso, x.sum = web+filepath.Base(iso), sum(data)
	m := x.machine
	node := map[string]any{"deploy_interface": metal.DeployOS, "network_interface": "vswitch", "automated_clean": false}
	maps.Copy(node, fields)
	x.node = x.node.server.enrol(t, reach{m.BMCURL, m.User, m.Password.Expose(), m.Fingerprint}, node)
	port := m.MachineState.Ports[0]
	if _, err := x.CreatePort(t.Context(), map[string]any{"node_uuid": x.uuid(), "address": m.MACs[0], "pxe_enabled": true,
		"local_link_connection": map[string]any{"switch_id": port.SwitchID, "port_id": port.PortID}}); err != nil {
		t.Fatal(err)
	}
	x.available(later)
	return x
}

// offers serves a folder at an address of the server's, and gives its URL.
func (x *selfLab) offers(dir, address string) string {
	t := x.t
	t.Helper()
	web := x.control.listen(t, net.JoinHostPort(address, "0"))
	files := &http.Server{Handler: http.FileServer(http.Dir(dir)), ReadHeaderTimeout: soon}
	served := make(chan error, 1)
	go func() { served <- files.Serve(web) }()
	t.Cleanup(func() {
		if err := files.Close(); err != nil || !errors.Is(<-served, http.ErrServerClosed) {
			t.Error("the web server of the installer:", err)
		}
	})
	return "http://" + web.Addr().String() + "/"
}

// installing asks for an installation, and does not wait for it.
func (x *selfLab) installing(behave string, flags ...string) {
	t := x.t
	t.Helper()
	pass := filepath.Join(t.TempDir(), "pass")
	if err := os.WriteFile(pass, []byte(selfSecret), 0o600); err != nil {
		t.Fatal(err)
	}
	x.ingot("node", "vif", "attach", x.name, "tenant-a") // giving the machine back forgets it
	x.ingot(append([]string{"node", "deploy", x.name, "--mode", "self_install", "--boot-iso", x.iso, "--boot-iso-checksum", x.sum, "--os-parameter", `greeting=hello="there"`, "--os-parameter", "behave=" + behave,
		"--os-secret", "pass=" + pass, "--package", "https://packages.example.org/p.tar.gz", "--network-data", staticData(t, x.machine.MACs[0], cloudMachine, cloudSide)}, flags...)...)
}

func (x *selfLab) installs(behave, limit string) {
	x.t.Helper()
	x.installing(behave, "--wait", "--timeout", limit)
}

// installed sees what the installer left on the disk, and that it runs from there.
func (x *selfLab) installed() {
	t := x.t
	t.Helper()
	disk, err := os.Open(x.machine.DiskPath)
	if err != nil {
		t.Fatal(err)
	}
	note := make([]byte, 4096)
	if _, err := disk.ReadAt(note, mib); err != nil {
		t.Error(err)
	}
	if err := disk.Close(); err != nil {
		t.Error(err)
	}
	text, _, _ := strings.Cut(string(note), "\n")
	want := fmt.Sprintf("NOTE greeting=hello=\"there\" pass=%x package=200 https://packages.example.org/p.tar.gz", sha256.Sum256([]byte(selfSecret)))
	if text != want {
		t.Errorf("the installer left %q, want %q", text, want)
	}
	x.sees("INSTALLED " + want + "; greeting now 200 hello=\"there\"; pass now 410; END")
}

// bootsItsDisk sees that the drive is empty, and the machine on.
func (x *selfLab) bootsItsDisk() {
	x.t.Helper()
	var system struct{ PowerState string }
	var media struct{ Inserted bool }
	x.read(bmc.SystemPath, &system)
	x.read(bmc.MediaPath, &media)
	if system.PowerState != "On" || media.Inserted {
		x.t.Errorf("power %s, medium in the drive: %v", system.PowerState, media.Inserted)
	}
	n, err := x.Node(x.t.Context(), x.name)
	if err != nil {
		x.t.Fatal(err)
	}
	if info := n.DriverInternalInfo; info["execution_mode"] != "run" {
		x.t.Errorf("execution mode %v", info["execution_mode"])
	}
}

// sees waits for what the machine says on its console.
func (x *selfLab) sees(want string) {
	x.t.Helper()
	await(x.t, later, "the console to say "+want, func() (bool, error) {
		text, err := x.machine.Console(1 << 20)
		return strings.Contains(string(text), want), err
	})
}

// saidNothingSecret looks through the server's log and the node's history for the secret parameter, which the installer repeated.
func (x *selfLab) saidNothingSecret() {
	x.t.Helper()
	log, err := os.ReadFile(x.log)
	if err != nil {
		x.t.Fatal(err)
	}
	if bytes.Contains(log, []byte(selfSecret)) || strings.Contains(fmt.Sprint(x.history()), selfSecret) {
		x.t.Error("the secret parameter is in the log or in the history")
	}
}

// installerISO makes an ISO that firmware boots, also with Secure Boot: Debian's shim, GRUB and kernel, and a program of ours as the first
// process. It has the system that it installs with it: the same files, on a FAT that firmware boots, told apart by a word for the kernel.
func installerISO(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	at := func(parts ...string) string { return filepath.Join(append([]string{dir}, parts...)...) }
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", at("installer"), "./testdata/installer")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the installer: %v\n%s", err, out)
	}
	makeRamdisk(t, ramdisk.Options{Agent: at("installer"), Out: at("made")})
	const shim, grub = "/usr/lib/shim/shimx64.efi.signed", "/usr/lib/grub/x86_64-efi-signed/gcdx64.efi.signed" // this GRUB looks for its configuration where it was loaded from
	config := func(word string) []byte {
		return fmt.Appendf(nil, "linux /boot/vmlinuz %s no_timer_check %s\ninitrd /boot/initrd\nboot\n", depot.BaseKernelParams, word)
	}
	err := errors.Join(os.MkdirAll(at("cd", "boot", "grub"), 0o755), os.WriteFile(at("disk.cfg"), config("lab.installed"), 0o600), os.WriteFile(at("cd", "boot", "grub", "grub.cfg"), config(""), 0o600),
		os.Rename(at("made", "kernel"), at("cd", "boot", "vmlinuz")), os.Rename(at("made", "initramfs"), at("cd", "boot", "initrd")), os.WriteFile(at("cd", "efi.img"), nil, 0o600), os.WriteFile(at("cd", "esp.img"), nil, 0o600),
		os.Truncate(at("cd", "efi.img"), 8*mib), os.Truncate(at("cd", "esp.img"), 96*mib))
	if err != nil {
		t.Fatal(err)
	}
	for _, fat := range []string{at("cd", "efi.img"), at("cd", "esp.img")} {
		tool(t, "mkfs.vfat", fat)
		tool(t, "mmd", "-i", fat, "::EFI", "::EFI/BOOT")
		tool(t, "mcopy", "-i", fat, shim, "::EFI/BOOT/BOOTX64.EFI")
		tool(t, "mcopy", "-i", fat, grub, "::EFI/BOOT/grubx64.efi")
	}
	esp := at("cd", "esp.img")
	tool(t, "mmd", "-i", esp, "::boot", "::boot/grub")
	tool(t, "mcopy", "-i", esp, at("disk.cfg"), "::boot/grub/grub.cfg")
	tool(t, "mcopy", "-i", esp, at("cd", "boot", "vmlinuz"), "::boot/vmlinuz")
	tool(t, "mcopy", "-i", esp, at("cd", "boot", "initrd"), "::boot/initrd")
	tool(t, "xorriso", "-as", "mkisofs", "-quiet", "-R", "-V", "INSTALLER", "-e", "efi.img", "-no-emul-boot", "-o", at("installer.iso"), at("cd"))
	return at("installer.iso")
}
