package e2e

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"ingot/internal/client"
	"ingot/internal/metal"
	"ingot/internal/ramdisk"
	"ingot/internal/wire"
	"ingot/lab"
	"ingot/lab/bmc"
)

// later is how long a QEMU machine may take for an operation. A minute is usual on an idle host.
const later = 12 * time.Minute

// labOnly skips what needs root and an emulated machine, and says so.
func labOnly(t *testing.T) {
	t.Helper()
	switch {
	case os.Getenv("INGOT_LAB") != "1":
		t.Skip("skipped: it starts QEMU machines; set INGOT_LAB=1")
	case os.Geteuid() != 0:
		t.Skip("skipped: the lab needs root, for a network namespace and taps")
	}
	takePlace(t)
}

// TestMachine takes one QEMU machine of 512 MiB, with Secure Boot on, through what TestBadImages,
// TestKilledWhileWriting and the like take simulated machines through in seconds: here with the real disk,
// firmware, kernel and network. Each part leaves the machine as the next needs it.
func TestMachine(t *testing.T) {
	labOnly(t)
	c := lab.Defaults()
	c.Name, c.Dir, c.DiskGiB, c.Program = "e2e", t.TempDir(), 1, program(t, "ingot")
	c.Subnet = netip.MustParsePrefix("198.18.78.0/24")
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
		if text, err := m.Console(30_000); t.Failed() && err == nil {
			t.Logf("the machine's console:\n%s", text)
		}
	})
	host := l.HostAddress.String()
	s := serve(t, host)
	buildRamdisk(t, filepath.Join(s.data, "ramdisk"))
	s.start()
	networks, err := m.NetworkData()
	if err != nil {
		t.Fatal(err)
	}
	n := s.enrol(t, reach{m.BMCURL, m.User, m.Password.Expose(), m.Fingerprint}, map[string]any{"network_data": networks,
		// Without a hint no disk below 4 GiB is taken for the root disk.
		"properties": map[string]any{"root_device": map[string]any{"name": "/dev/vda"}}})

	raw := bootable(t)
	x := labNode{node: n, machine: m, images: serveImages(t, host, packed(t, raw), 0), raw: raw}
	for _, part := range []struct {
		name string
		run  func(*labNode)
	}{
		{"cleaning erases what was there", (*labNode).erases},
		{"a wrong checksum leaves nothing that boots", (*labNode).wrongChecksum},
		{"a qcow2 over old data", (*labNode).qcow2},
		{"killed while writing", (*labNode).killed},
	} {
		ok := t.Run(part.name, func(t *testing.T) {
			here, inner := x, *n
			inner.t, here.node = t, &inner
			began := time.Now()
			part.run(&here)
			t.Logf("%.0f s", time.Since(began).Seconds())
		})
		if !ok {
			n.tell()
			return
		}
	}
}

// labNode is a node that is a QEMU machine.
type labNode struct {
	*node
	machine *lab.Machine
	images  *images
	raw     []byte // of the image, unpacked
}

// erases plants what a former tenant leaves, cleans, and reads the whole disk from outside.
func (x *labNode) erases() {
	x.t.Helper()
	disk, err := os.OpenFile(x.machine.DiskPath, os.O_RDWR, 0)
	if err != nil {
		x.t.Fatal(err)
	}
	defer disk.Close()
	size, err := disk.Seek(0, io.SeekEnd)
	if err != nil {
		x.t.Fatal(err)
	}
	old := wholeDisk(8 * mib)
	for at := int64(0); at < size; at += 128 * mib { // its ends, and places between
		if _, err := disk.WriteAt(old, at); err != nil {
			x.t.Fatal(err)
		}
	}
	if _, err := disk.WriteAt(old, size-int64(len(old))); err != nil {
		x.t.Fatal(err)
	}
	if x.data() == 0 {
		x.t.Fatal("nothing was planted")
	}
	x.available(later)
	if n := x.data(); n > 0 {
		x.t.Errorf("%d MiB of the cleaned disk are not zero", n)
	}
	x.nothingLeft()
}

// data is how many MiB of the disk hold anything but zeros, seen from outside.
func (x *labNode) data() (n int) {
	x.t.Helper()
	disk, err := os.Open(x.machine.DiskPath)
	if err != nil {
		x.t.Fatal(err)
	}
	defer disk.Close()
	block, zeros := make([]byte, mib), make([]byte, mib)
	for {
		_, err := io.ReadFull(disk, block)
		if errors.Is(err, io.EOF) {
			return n
		}
		if err != nil {
			x.t.Fatal(err)
		}
		if !bytes.Equal(block, zeros) {
			n++
		}
	}
}

// ends reads the first and the last MiB of the disk from outside, and a MiB in the middle of the image's data.
func (x *labNode) ends() (first, middle, last []byte) {
	x.t.Helper()
	disk, err := os.Open(x.machine.DiskPath)
	if err != nil {
		x.t.Fatal(err)
	}
	defer disk.Close()
	info, err := disk.Stat()
	if err != nil {
		x.t.Fatal(err)
	}
	part := func(at int64) []byte {
		b := make([]byte, mib)
		if _, err := disk.ReadAt(b, at); err != nil {
			x.t.Fatal(err)
		}
		return b
	}
	return part(0), part(written / 2), part(info.Size() - mib)
}

func (x *labNode) wrongChecksum() {
	x.t.Helper()
	bad := sum([]byte("another image"))
	x.wants(x.images.url+"good", bad)
	x.failed(x.node.ends(metal.VerbActive, metal.DeployFailed, later), `step "write image"`, "has the sha256 checksum "+sum(x.images.good), bad+" was expected")
	x.nothingLeft()
	first, middle, last := x.ends()
	unbootable(x.t, append(first, last...))
	if !bytes.Equal(middle, x.raw[written/2:written/2+mib]) {
		x.t.Error("the image was not even written: that its table is absent proves nothing")
	}
	agent, console := x.kept()
	if !contains(agent, "image write starts") || !contains(console, "image write starts", "Linux version") {
		x.t.Errorf("of the failure there is kept the agent's log %q, the console %q", agent, console)
	}
}

// qcow2 fills the disk's start with old data from outside and deploys the image as a compressed qcow2: its holes must
// be holes on the disk.
func (x *labNode) qcow2() {
	x.t.Helper()
	if _, err := x.UpdateNode(x.t.Context(), x.name, []wire.PatchOp{client.Set("/automated_clean", false)}, false); err != nil {
		x.t.Fatal(err)
	}
	fillOld(x.t, x.machine.DiskPath, int64(len(x.raw))+mib)
	dir := x.t.TempDir()
	raw, packed := filepath.Join(dir, "raw"), filepath.Join(dir, "qcow2")
	if err := os.WriteFile(raw, x.raw, 0o600); err != nil {
		x.t.Fatal(err)
	}
	tool(x.t, "qemu-img", "convert", "-c", "-f", "raw", "-O", "qcow2", raw, packed)
	file, err := os.ReadFile(packed)
	if err != nil {
		x.t.Fatal(err)
	}
	x.images.file("zlib.qcow2", func() io.ReadSeeker { return bytes.NewReader(file) })
	x.wants(x.images.url+"zlib.qcow2", sum(file))
	x.node.ends(metal.VerbActive, metal.Active, later)
	x.deployed()
	disk := make([]byte, len(x.raw))
	f, err := os.Open(x.machine.DiskPath)
	if err != nil {
		x.t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.ReadAt(disk, 0); err != nil {
		x.t.Fatal(err)
	}
	if end := len(disk) - 33*512; !bytes.Equal(disk[mib:end], x.raw[mib:end]) || bytes.Contains(disk, []byte("another tenant")) {
		x.t.Error("the disk is not the image, or old data is in its holes")
	}
	x.node.ends(metal.VerbDeleted, metal.Available, later)
}

// killed deploys without disturbance, which is also the next try after the failure before, and then once more
// with the server killed in the middle of writing.
func (x *labNode) killed() {
	x.t.Helper()
	// The disk need not be erased between the two: what is on it is overwritten.
	if _, err := x.UpdateNode(x.t.Context(), x.name, []wire.PatchOp{client.Set("/automated_clean", false)}, false); err != nil {
		x.t.Fatal(err)
	}
	before := x.asked()
	x.wants(x.images.url+"good", sum(x.images.good))
	x.node.ends(metal.VerbActive, metal.Active, later)
	undisturbed := since(before, x.asked())
	x.deployed()
	x.node.ends(metal.VerbDeleted, metal.Available, later)

	before = x.asked()
	x.wants(x.images.url+"gated", sum(x.images.good))
	x.ask(metal.VerbActive)
	x.writes(0.1, later)
	x.kill()
	x.start()
	x.images.openGate()
	x.rests(metal.Active, later)
	x.deployed()
	killed := since(before, x.asked())
	if !maps.Equal(killed, undisturbed) {
		x.t.Errorf("power and media actions: %v, undisturbed %v", killed, undisturbed)
	}
	x.t.Logf("power and media actions, killed and not: %v", killed)
	x.takenOver("write image")
}

func (x *labNode) asked() map[string]int {
	x.t.Helper()
	n, err := x.machine.Counters(x.t.Context())
	if err != nil {
		x.t.Fatal(err)
	}
	return effects(n)
}

// deployed sees that the image is on the disk, its table's backup at the disk's end, and the machine on with
// an empty drive.
func (x *labNode) deployed() {
	x.t.Helper()
	first, middle, last := x.ends()
	if !bytes.HasPrefix(first[512:], []byte("EFI PART")) || !bytes.HasPrefix(last[mib-512:], []byte("EFI PART")) ||
		!bytes.Equal(middle, x.raw[written/2:written/2+mib]) {
		x.t.Error("what is on the disk is not the image")
	}
	var system struct{ PowerState string }
	var media struct{ Inserted bool }
	x.read(bmc.SystemPath, &system)
	x.read(bmc.MediaPath, &media)
	if system.PowerState != "On" || media.Inserted {
		x.t.Errorf("power %s, medium in the drive: %v", system.PowerState, media.Inserted)
	}
}

// written is how much of the image is data, in bytes; the rest are holes.
const written = 40 * mib

// bootable is a raw image of 256 MiB whose EFI system partition has a file where the firmware looks for a boot
// loader: a boot entry can be made for it. It starts no system; that one does is for the demo to show.
func bootable(t *testing.T) []byte {
	t.Helper()
	dir := t.TempDir()
	esp, loader := filepath.Join(dir, "esp"), filepath.Join(dir, "loader")
	if err := errors.Join(os.WriteFile(esp, make([]byte, mib), 0o600), os.WriteFile(loader, []byte("no program\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"mkfs.vfat", esp}, {"mmd", "-i", esp, "::EFI", "::EFI/BOOT"}, {"mcopy", "-i", esp, loader, "::EFI/BOOT/BOOTX64.EFI"}} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", args[0], err, out)
		}
	}
	files, err := os.ReadFile(esp)
	if err != nil {
		t.Fatal(err)
	}
	b := wholeDisk(256 * mib)
	copy(b[mib:], files)
	clear(b[written : len(b)-mib])
	return b
}

func packed(t *testing.T, raw []byte) []byte {
	t.Helper()
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	return z.EncodeAll(raw, nil)
}

// buildRamdisk makes the real deploy ramdisk. Fetched packages are kept in the user's cache directory.
func buildRamdisk(t *testing.T, out string) {
	t.Helper()
	makeRamdisk(t, ramdisk.Options{Agent: program(t, "ingot-agent"), Out: out})
}
