package e2e

import (
	"bytes"
	"context"
	"debug/pe"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pin/tftp/v3"

	"ingot/internal/client"
	"ingot/internal/image"
	"ingot/internal/image/imagetest"
	"ingot/internal/metal"
	"ingot/internal/ramdisk"
	"ingot/internal/wire"
	"ingot/lab"
	"ingot/lab/bmc"
)

// refusedLimit is how long a machine may take to call in the tests in which it does not: its firmware has refused what it
// fetched by then, on a busy host, too.
const refusedLimit = 100 * time.Second

// startedFromDisk is what the images of these tests print when firmware starts them.
const startedFromDisk = "INGOT DISK STARTED"

// netLab is a lab with one machine, and a server that answers it when it boots from the network.
type netLab struct {
	*labNode
	host string
	tftp string
}

// startNetLab makes one, with the boot loaders of Debian's packages where a part does not put others.
func startNetLab(t *testing.T, change func(*lab.Config), options ...string) *netLab {
	t.Helper()
	return startNetLabOf(t, func(*lab.Lab) {}, change, options...)
}

// startNetLabOf is startNetLab for who wants to know of all machines of the lab.
func startNetLabOf(t *testing.T, started func(*lab.Lab), change func(*lab.Config), options ...string) *netLab {
	t.Helper()
	labOnly(t)
	c := lab.Defaults()
	c.Dir, c.DiskGiB, c.Program = t.TempDir(), 1, program(t, "ingot")
	change(&c)
	l, err := lab.Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	m := l.Machines[0]
	t.Cleanup(func() {
		for _, m := range l.Machines {
			if text, err := m.Console(30_000); t.Failed() && err == nil {
				t.Logf("the console of %s:\n%s", m.Name, text)
			}
		}
	})
	started(l)
	x := &netLab{host: l.HostAddress.String()}
	x.tftp = x.host + ":69"
	networks := filepath.Join(t.TempDir(), "networks.yaml")
	// The range is that of the addresses which the lab offers its machines.
	text := fmt.Sprintf("networks:\n- name: lab\n  interface: ig-%s\n  dhcp: server\n  subnet: %s\n  server: %s\n  range: %s-%s\n", c.Name, c.Subnet, x.host,
		m.Address, l.Machines[len(l.Machines)-1].Address)
	if err := os.WriteFile(networks, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s := serve(t, x.host, append([]string{"netboot.networks_file=" + networks, "netboot.tftp_listen=" + x.tftp,
		"default.enabled_boot_interfaces=pxe,http,ipxe,http-ipxe,redfish-virtual-media"}, options...)...)
	buildRamdisk(t, filepath.Join(s.data, "ramdisk"))
	s.start()
	n := s.enrol(t, reach{m.BMCURL, m.User, m.Password.Expose(), m.Fingerprint}, map[string]any{"automated_clean": false,
		"properties": map[string]any{"cpu_arch": "x86_64", "root_device": map[string]any{"name": "/dev/vda"}}})
	if _, err := s.CreatePort(t.Context(), map[string]any{"node_uuid": n.uuid(), "address": m.MACs[0]}); err != nil {
		t.Fatal(err)
	}
	raw := startable(t)
	x.labNode = &labNode{node: n, machine: m, images: serveImages(t, x.host, packed(t, raw), 0), raw: raw}
	return x
}

func (x *netLab) part(name string, run func(*netLab)) {
	x.t.Run(name, func(t *testing.T) {
		here, inner, node := *x, *x.labNode, *x.labNode.node
		node.t, inner.node, here.labNode = t, &node, &inner
		began := time.Now()
		run(&here)
		t.Logf("%.0f s", time.Since(began).Seconds())
		if t.Failed() {
			node.tell()
		}
	})
}

func (n *node) uuid() string {
	n.t.Helper()
	got, err := n.Node(n.t.Context(), n.name)
	if err != nil {
		n.t.Fatal(err)
	}
	return got.UUID
}

// bootsBy sets the boot interface, and what is to be deployed.
func (x *netLab) bootsBy(iface string) {
	x.t.Helper()
	if _, err := x.UpdateNode(x.t.Context(), x.name, []wire.PatchOp{client.Set("/boot_interface", iface)}, false); err != nil {
		x.t.Fatal(err)
	}
	x.wants(x.images.url+"good", sum(x.images.good)) // a tear down forgets it
}

// escapes are what firmware and loaders print beside text; they also break lines at the terminal's width.
var escapes = regexp.MustCompile(`\x1b\[[0-9;?=]*[A-Za-z]|[\r\n]`)

// printed is what the machine has printed since a place on its console, as one line.
func (x *netLab) printed(from int) string {
	x.t.Helper()
	text, err := x.machine.Console(1 << 20)
	if err != nil {
		x.t.Fatal(err)
	}
	return escapes.ReplaceAllString(string(text[min(from, len(text)):]), "")
}

// sees waits until the machine has printed something since a place on its console, and gives it.
func (x *netLab) sees(from int, pattern *regexp.Regexp) string {
	x.t.Helper()
	var found []string
	await(x.t, later, "console "+pattern.String(), func() (bool, error) {
		found = pattern.FindStringSubmatch(x.printed(from))
		return found != nil, nil
	})
	return found[1]
}

func (x *netLab) consoleLength() int {
	x.t.Helper()
	text, err := x.machine.Console(1 << 20)
	if err != nil {
		x.t.Fatal(err)
	}
	return len(text)
}

// What firmware and iPXE print of what they fetch.
var (
	byPXE  = regexp.MustCompile(`NBP filename is (\S{1,200}?\.efi)`)
	byHTTP = regexp.MustCompile(`URI: (http://\S{1,200}?\.iso)`)
	byIPXE = regexp.MustCompile(`Filename: (http://\S{1,200}?/boot\.ipxe)`)
	onDisk = regexp.MustCompile("(" + startedFromDisk + ")")
)

// deploys takes the machine to active by a boot interface, and looks whether the file that its firmware printed was served
// during the boot and is not after it.
func (x *netLab) deploys(iface string, prints *regexp.Regexp) {
	x.t.Helper()
	x.bootsBy(iface)
	from := x.consoleLength()
	x.ask(metal.VerbActive)
	file := x.sees(from, prints)
	if err := x.fetch(file); err != nil {
		x.t.Errorf("%s during the boot: %v", file, err)
	}
	x.rests(metal.Active, later)
	if err := x.fetch(file); !errors.Is(err, errNotServed) {
		x.t.Errorf("%s after the deploy: %v, and it should not be served", file, err)
	}
	x.deployed()
	x.sees(from, onDisk)
	if !strings.Contains(x.printed(from), "Linux version") {
		x.t.Error("the ramdisk's kernel is not on the console")
	}
	x.node.ends(metal.VerbDeleted, metal.Available, later)
}

var errNotServed = errors.New("not served")

// fetch asks for the head of a file as the machine does; the configuration of a boot, which is counted, is not given to it.
func (x *netLab) fetch(file string) error {
	ctx, cancel := context.WithTimeout(x.t.Context(), 30*time.Second)
	defer cancel()
	if !strings.HasPrefix(file, "http:") {
		c, err := tftp.NewClient(x.tftp)
		if err != nil {
			return err
		}
		w, err := c.Receive(file, "octet")
		if err != nil {
			return fmt.Errorf("%w: %w", errNotServed, err)
		}
		_, err = w.WriteTo(io.Discard)
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, file, nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	answer.Body.Close()
	switch answer.StatusCode {
	case http.StatusOK:
		return nil
	case http.StatusNotFound:
		return errNotServed
	}
	return errors.New(answer.Status)
}

// secureBoot sees that the last boot was with Secure Boot, by asking the BMC.
func (x *netLab) secureBoot() {
	x.t.Helper()
	var s struct{ SecureBootCurrentBoot string }
	x.read(bmc.SecureBootPath, &s)
	if s.SecureBootCurrentBoot != "Enabled" {
		x.t.Errorf("Secure Boot of this boot: %s", s.SecureBootCurrentBoot)
	}
}

// refused boots and waits until the server gives up, and looks what it says.
func (x *netLab) refused(iface string, console string, lastError ...string) {
	x.t.Helper()
	x.bootsBy(iface)
	from := x.consoleLength()
	x.failed(x.node.ends(metal.VerbActive, metal.DeployFailed, later), lastError...)
	x.nothingLeft()
	if !strings.Contains(x.printed(from), console) {
		x.t.Errorf("the console does not say %q", console)
	}
	x.node.ends(metal.VerbDeleted, metal.Available, later)
}

// TestNetworkBootUnderSecureBoot deploys one machine by each boot interface that Secure Boot allows, and shows what becomes of
// loaders and kernels that nobody signed.
func TestNetworkBootUnderSecureBoot(t *testing.T) {
	x := startNetLab(t, func(c *lab.Config) {
		c.Name, c.Subnet = "netsec", netip.MustParsePrefix("198.18.80.0/24")
	}, fmt.Sprintf("conductor.deploy_callback_timeout=%d", int(refusedLimit.Seconds())))
	x.available(later)
	x.part("pxe", func(x *netLab) { x.deploys("pxe", byPXE); x.secureBoot() })
	x.part("ipxe is refused before power", func(x *netLab) {
		before := x.asked()
		x.bootsBy("ipxe")
		x.failed(x.node.ends(metal.VerbActive, metal.DeployFailed, later), "Secure Boot is on", "not signed")
		if did := since(before, x.asked()); did["Reset.On"] > 0 || did["Reset.ForceOn"] > 0 {
			x.t.Errorf("the machine was started: %v", did)
		}
		x.node.ends(metal.VerbDeleted, metal.Available, later)
	})
	x.part("the firmware refuses a loader that nobody signed", func(x *netLab) {
		x.restart(func() {}, "pxe.tftp_root="+x.t.TempDir(), "pxe.loader_file_paths=bootx64.efi:/usr/lib/ipxe/snponly.efi")
		x.refused("pxe", "Access Denied", "fetched the boot loader", "Secure Boot", "not signed")
		x.restart(func() {}, "pxe.tftp_root=", "pxe.loader_file_paths=")
	})
	x.part("shim refuses a kernel that nobody signed", func(x *netLab) {
		x.restart(func() { unsignedRamdisk(x.t, filepath.Join(x.node.server.data, "ramdisk")) })
		x.refused("pxe", "bad shim signature", "fetched the kernel", "Secure Boot", "not signed")
		x.restart(func() { buildRamdisk(x.t, filepath.Join(x.node.server.data, "ramdisk")) })
	})
	// The last: once a machine of the lab has booted by HTTP, its firmware tries that before PXE, and waits a minute.
	x.part("http", func(x *netLab) { x.deploys("http", byHTTP); x.secureBoot() })
}

// TestNetworkBootByBIOS deploys a machine that has no UEFI, and starts its disk by BIOS.
func TestNetworkBootByBIOS(t *testing.T) {
	x := startNetLab(t, func(c *lab.Config) {
		c.Name, c.Subnet, c.Firmware = "netbios", netip.MustParsePrefix("198.18.92.0/24"), lab.BIOS
	})
	x.available(later)
	x.part("ipxe", func(x *netLab) { x.deploys("ipxe", byIPXE) })
}

// TestNetworkBootByIPXE deploys a machine by iPXE, which UEFI starts without Secure Boot only.
func TestNetworkBootByIPXE(t *testing.T) {
	if os.Getenv("INGOT_LAB_FULL") != "1" {
		t.Skip("skipped: set INGOT_LAB_FULL=1; TestNetworkBootByBIOS boots iPXE, too")
	}
	x := startNetLab(t, func(c *lab.Config) {
		c.Name, c.Subnet, c.SecureBoot = "netipxe", netip.MustParsePrefix("198.18.81.0/24"), false
	})
	x.available(later)
	x.part("ipxe", func(x *netLab) { x.deploys("ipxe", byIPXE) })
	x.part("http-ipxe", func(x *netLab) { x.deploys("http-ipxe", byIPXE) })
}

// restart starts the server anew, with more options and after a change to its folder.
func (x *netLab) restart(change func(), options ...string) {
	x.t.Helper()
	x.stop()
	change()
	for _, o := range options {
		name, value, _ := strings.Cut(o, "=")
		x.env = append(x.env, "INGOT_"+strings.ToUpper(strings.Replace(name, ".", "__", 1))+"="+value)
	}
	x.start()
}

// unsignedRamdisk builds the ramdisk anew with a kernel from which the signature was cut.
func unsignedRamdisk(t *testing.T, out string) {
	t.Helper()
	cut := unsigned(t, filepath.Join(out, "kernel"))
	work := ramdiskCache()
	modules, err := filepath.Glob(filepath.Join(work, "unpacked", "linux-image-*", "lib", "modules", "*"))
	if err != nil || len(modules) == 0 {
		t.Fatalf("no modules of the kernel in %s: %v", work, err)
	}
	if err := os.RemoveAll(out); err != nil {
		t.Fatal(err)
	}
	makeRamdisk(t, ramdisk.Options{Agent: program(t, "ingot-agent"), Out: out, Kernel: cut, Modules: modules[0]})
}

// unsigned gives a copy of a loader or kernel from which the signature was cut.
func unsigned(t *testing.T, file string) string {
	t.Helper()
	kernel, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	f, err := pe.NewFile(bytes.NewReader(kernel))
	if err != nil {
		t.Fatal(err)
	}
	dir := f.OptionalHeader.(*pe.OptionalHeader64).DataDirectory[pe.IMAGE_DIRECTORY_ENTRY_SECURITY]
	if dir.Size == 0 {
		t.Fatalf("%s has no signature that could be cut", file)
	}
	entry := make([]byte, 8)
	binary.LittleEndian.PutUint32(entry, dir.VirtualAddress) // of this directory it is a place in the file
	binary.LittleEndian.PutUint32(entry[4:], dir.Size)
	at := bytes.Index(kernel[:4096], entry)
	if at < 0 {
		t.Fatalf("the signature's place is not in the header of %s", file)
	}
	clear(kernel[at : at+8])
	cut := filepath.Join(t.TempDir(), filepath.Base(file))
	if err := os.WriteFile(cut, kernel[:dir.VirtualAddress], 0o600); err != nil {
		t.Fatal(err)
	}
	return cut
}

// startable is a raw image of 256 MiB that says so when firmware starts it: by UEFI with shim and GRUB, under Secure Boot too,
// and by BIOS with a few instructions in its first sector. It starts no system.
func startable(t *testing.T) []byte { return startableBy(t, debianShim) }

// debianShim is signed by Microsoft.
const debianShim = "/usr/lib/shim/shimx64.efi.signed"

// startableBy is the same with another first loader for UEFI.
func startableBy(t *testing.T, loader string) []byte {
	t.Helper()
	const espStart, espEnd = 2048, 2048 + espSize/512 - 1
	files := espWith(t, loader, "echo \""+startedFromDisk+"\"\nsleep 36000\n")
	b := noise(256*mib, 1)
	clear(b[:mib])
	clear(b[written:])
	imagetest.GPT(b, 512, imagetest.Part{Type: image.TypeESP, First: espStart, Last: espEnd, Name: "esp"},
		imagetest.Part{Type: image.TypeLinuxRoot, First: espEnd + 1, Last: uint64(len(b)/512 - 1 - 2048), Name: "root"})
	copy(b[mib:], files)
	// cli; ds = 0; print the text at 0x7c19 with the BIOS's teletype, a byte at a time up to a zero; then stand still.
	copy(b, "\xfa\x31\xc0\x8e\xd8\xbe\x19\x7c\xac\x84\xc0\x74\x09\xb4\x0e\xbb\x07\x00\xcd\x10\xeb\xf2\xf4\xeb\xfd"+startedFromDisk+".\x00") // SeaBIOS holds the last byte back until there is another
	return b
}

// espSize is the size of the EFI system partitions of these images, in bytes.
const espSize = 16 * mib

// espWith is a file system with a first loader, Debian's signed GRUB, and a configuration for that.
func espWith(t *testing.T, loader, grub string) []byte {
	t.Helper()
	dir := t.TempDir()
	esp, config := filepath.Join(dir, "esp"), filepath.Join(dir, "grub.cfg")
	err := errors.Join(os.WriteFile(esp, make([]byte, espSize), 0o600), os.WriteFile(config, []byte(grub), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"mkfs.vfat", esp}, {"mmd", "-i", esp, "::EFI", "::EFI/BOOT", "::EFI/debian"},
		{"mcopy", "-i", esp, loader, "::EFI/BOOT/BOOTX64.EFI"},
		{"mcopy", "-i", esp, "/usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed", "::EFI/BOOT/grubx64.efi"},
		{"mcopy", "-i", esp, config, "::EFI/debian/grub.cfg"}} {
		tool(t, args[0], args[1:]...)
	}
	files, err := os.ReadFile(esp)
	if err != nil {
		t.Fatal(err)
	}
	return files
}
