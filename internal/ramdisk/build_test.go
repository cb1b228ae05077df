package ramdisk

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/diskfs/go-diskfs/backend/file"
	"github.com/diskfs/go-diskfs/filesystem/fat16"
	"github.com/diskfs/go-diskfs/filesystem/iso9660"
	"github.com/klauspost/compress/zstd"

	"ingot/internal/agentapi"
	"ingot/internal/depot"
	"ingot/internal/fault"
)

// madeUp are options whose inputs are all files, none of them real.
func madeUp(t *testing.T) Options {
	t.Helper()
	dir := t.TempDir()
	o := Options{Agent: filepath.Join(dir, "agent"), Kernel: filepath.Join(dir, "vmlinuz"), Shim: filepath.Join(dir, "shim"),
		Grub: filepath.Join(dir, "grub"), CA: filepath.Join(dir, "ca.pem"), Out: filepath.Join(dir, "out")}
	o.Modules = makeModules(t, "", map[string]string{
		"drivers/net/virtio_net.ko": "depends=virtio", "drivers/virtio/virtio.ko": "depends=",
		"drivers/net/bonding/bonding.ko": "depends=", "drivers/gpu/huge.ko": "depends="})
	write(t, o.Agent, makeELF(nil, false))
	write(t, o.Kernel, bytes.Repeat([]byte("kernel "), 5000))
	write(t, o.Shim, bytes.Repeat([]byte("shim "), 7000))
	write(t, o.Grub, bytes.Repeat([]byte("grub "), 9000))
	write(t, o.CA, []byte("-----BEGIN CERTIFICATE-----\n"))
	return o
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestBuildIsReproducible(t *testing.T) {
	o := madeUp(t)
	if _, err := Build(context.Background(), o); err != nil {
		t.Fatal(err)
	}
	// The same inputs, elsewhere, with other times, owners' rights and a folder that is in use.
	again := o
	again.Out = filepath.Join(t.TempDir(), "deeper", "again")
	old := time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)
	for _, path := range []string{o.Agent, o.Kernel, o.Shim, o.Grub, o.CA} {
		if err := os.Chtimes(path, old, old); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if _, err := Build(context.Background(), again); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{depot.KernelName, depot.InitramfsName, depot.ISOName, depot.ManifestName} {
		if !bytes.Equal(read(t, filepath.Join(o.Out, name)), read(t, filepath.Join(again.Out, name))) {
			t.Errorf("%s differs between two builds", name)
		}
	}
	left, err := filepath.Glob(filepath.Join(again.Out, ".*"))
	if err != nil || len(left) != 0 {
		t.Errorf("scratch left behind: %v %v", left, err)
	}
}

// TestNoClockInTheISO looks for this year in every form an ISO or a FAT image dates things in.
func TestNoClockInTheISO(t *testing.T) {
	o := madeUp(t)
	if _, err := Build(context.Background(), o); err != nil {
		t.Fatal(err)
	}
	iso := read(t, filepath.Join(o.Out, depot.ISOName))
	now := time.Now().UTC()
	fat := uint16(now.Year()-1980)<<9 | uint16(now.Month())<<5 | uint16(now.Day())
	for name, date := range map[string][]byte{
		"volume descriptor": []byte(now.Format("20060102")),
		"directory record":  {byte(now.Year() - 1900), byte(now.Month()), byte(now.Day())},
		"FAT entry":         {0, 0, byte(fat), byte(fat >> 8)},
	} {
		if i := bytes.Index(iso, date); i >= 0 {
			t.Errorf("a date of today, as in a %s, at %d", name, i)
		}
	}
}

func TestWhatIsInTheFolder(t *testing.T) {
	o := madeUp(t)
	var said []string
	o.Say = func(line string) { said = append(said, line) }
	m, err := Build(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	if m.KernelRelease != "6.1.0-9-test" || !slices.Equal(m.Modules, []string{"bonding", "virtio", "virtio_net"}) ||
		!slices.Contains(m.MissingModules, "nvme") || len(said) == 0 {
		t.Errorf("manifest %+v, said %v", m, said)
	}
	names, modes, content := readCPIO(t, unpacked(t, o.Out))
	list := "/lib/modules/6.1.0-9-test/kernel/drivers/net/bonding/bonding.ko max_bonds=0\n" +
		"/lib/modules/6.1.0-9-test/kernel/drivers/virtio/virtio.ko\n/lib/modules/6.1.0-9-test/kernel/drivers/net/virtio_net.ko\n"
	if got := string(content["etc/ingot/modules"]); got != list {
		t.Errorf("module list:\n%s", got)
	}
	for line := range strings.Lines(list) {
		path, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		if !slices.Contains(names, path[1:]) {
			t.Errorf("%s is listed and not there", path)
		}
	}
	if modes["init"] != "100755 0:0" || modes["dev/null"] != "20666 1:3" || modes["proc"] != "40755 0:0" || slices.ContainsFunc(names,
		func(n string) bool { return strings.HasSuffix(n, "huge.ko") }) {
		t.Errorf("names %v", names)
	}
	if string(content["etc/ssl/certs/ca-certificates.crt"]) != string(read(t, o.CA)) {
		t.Error("the certificates are not what was given")
	}
}

// TestWhatIsOnTheISO reads an overlay with an ISO reader, and the FAT image in it with a FAT reader.
func TestWhatIsOnTheISO(t *testing.T) {
	o := madeUp(t)
	if _, err := Build(context.Background(), o); err != nil {
		t.Fatal(err)
	}
	template, err := depot.OpenBootISO(o.Out)
	if err != nil {
		t.Fatal(err)
	}
	defer template.Close()
	r, size, err := template.Overlay(agentapi.BootConfig{Version: 1, NodeUUID: "n1"}, "nofb")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "one.iso")
	b, err := io.ReadAll(r)
	if err != nil || int64(len(b)) != size {
		t.Fatal(len(b), err)
	}
	write(t, path, b)
	back, err := file.OpenFromPath(path, true)
	if err != nil {
		t.Fatal(err)
	}
	defer back.Close()
	iso, err := iso9660.Read(back, size, 0, isoBlock)
	if err != nil {
		t.Fatal(err)
	}
	if label := read(t, path)[16*isoBlock+40:][:32]; string(label) != "config-2"+strings.Repeat(" ", 24) {
		t.Errorf("label %q: it must be padded with spaces", label)
	}
	inISO := func(name string) []byte {
		f, err := iso.OpenFile(name[1:], os.O_RDONLY)
		if err != nil {
			t.Fatal(name, err)
		}
		b, err := io.ReadAll(f)
		if err != nil {
			t.Fatal(name, err)
		}
		return b
	}
	if !bytes.Equal(inISO("/boot/vmlinuz"), read(t, o.Kernel)) || !bytes.Equal(inISO("/boot/initrd"), read(t, filepath.Join(o.Out, "initramfs"))) {
		t.Error("kernel or initramfs on the ISO differ")
	}
	for name, want := range map[string]string{
		depot.BootConfigPath:  `{"version":1,"api_url":"","ca":"","node_uuid":"n1","agent_token":"","time":""}`,
		depot.NetworkDataPath: `{"links":[],"networks":[],"services":[]}`,
		depot.GrubConfigPath:  "linux /boot/vmlinuz " + depot.BaseKernelParams + " 'nofb'\ninitrd /boot/initrd\nboot",
	} {
		if got := string(bytes.TrimSpace(inISO(name))); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	esp := filepath.Join(t.TempDir(), "esp")
	write(t, esp, inISO("/"+espName))
	fatBack, err := file.OpenFromPath(esp, true)
	if err != nil {
		t.Fatal(err)
	}
	defer fatBack.Close()
	fs, err := fat16.Read(fatBack, espSize, 0, 512)
	if err != nil {
		t.Fatal(err)
	}
	for name, source := range map[string]string{shimName: o.Shim, grubName: o.Grub} {
		f, err := fs.OpenFile(name, os.O_RDONLY)
		if err != nil {
			t.Fatal(name, err)
		}
		if got, err := io.ReadAll(f); err != nil || !bytes.Equal(got, read(t, source)) {
			t.Errorf("%s differs: %d bytes, %v", name, len(got), err)
		}
	}
}

func TestOptionsThatCannotBe(t *testing.T) {
	for name, change := range map[string]func(*Options){
		"no agent":               func(o *Options) { o.Agent = "" },
		"no out":                 func(o *Options) { o.Out = "" },
		"absent agent":           func(o *Options) { o.Agent += ".gone" },
		"agent is a folder":      func(o *Options) { o.Agent = filepath.Dir(o.Agent) },
		"modules are a file":     func(o *Options) { o.Modules = o.Kernel },
		"kernel without modules": func(o *Options) { o.Modules = "" },
		"modules without kernel": func(o *Options) { o.Kernel = "" },
		"agent is a script":      func(o *Options) { o.Agent = o.CA },
		"no modules":             func(o *Options) { o.Modules = filepath.Dir(o.CA) },
	} {
		o := madeUp(t)
		change(&o)
		if m, err := Build(context.Background(), o); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%s: %+v, %v; want invalid", name, m, err)
		}
	}
}

func TestWithoutDebian(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	o := madeUp(t)
	o.Kernel, o.Modules = "", ""
	_, err := Build(context.Background(), o)
	public, _ := fault.PublicOf(err)
	if fault.KindOf(err) != fault.Unavailable || !strings.Contains(public, "--kernel") {
		t.Errorf("without apt: %v; the error must say what to give", err)
	}
	if _, err := Build(context.Background(), madeUp(t)); err != nil {
		t.Errorf("with every file given, no tool is needed: %v", err)
	}
}

func TestCommand(t *testing.T) {
	o := madeUp(t)
	var out, chat bytes.Buffer
	c := Command()
	c.SetOut(&out)
	c.SetErr(&chat)
	c.SetArgs([]string{"build", "--out", o.Out, "--agent", o.Agent, "--kernel", o.Kernel, "--modules", o.Modules,
		"--shim", o.Shim, "--grub", o.Grub, "--ca", o.CA})
	if err := c.Execute(); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"initramfs", "boot.iso", "sha256", "kernel 6.1.0-9-test, 3 modules", "nvme"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the report lacks %q:\n%s", want, out.String())
		}
	}
	if _, err := depot.ReadManifest(o.Out); err != nil {
		t.Error(err)
	}
}

// FuzzModinfo: whatever a module says, a dependency is a name in the kernel's spelling.
func FuzzModinfo(f *testing.F) {
	f.Add([]byte("vermagic=6.1 SMP\x00depends=a,b-c\x00softdep=pre: x post: y\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		info := parseModinfo(b)
		for _, d := range append(info.depends, info.pre...) {
			if d == "" || d != moduleName(d) || strings.ContainsRune(d, 0) {
				t.Fatalf("not a module's name: %q", d)
			}
		}
	})
}

// FuzzSettle: whatever the bytes are, settling ends, and changes no file's length.
func FuzzSettle(f *testing.F) {
	f.Add(bytes.Repeat([]byte{1}, 20*isoBlock))
	seed := make([]byte, 20*isoBlock)
	copy(seed[16*isoBlock:], "\x01CD001")
	seed[16*isoBlock+158] = 18 // the root directory's block
	seed[16*isoBlock+167] = 8  // and 2048 bytes
	copy(seed[18*isoBlock:], []byte{40, 0, 18})
	f.Add(seed)
	f.Fuzz(func(t *testing.T, b []byte) {
		path := filepath.Join(t.TempDir(), "iso")
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
		w, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		settled, fatErr := settle(w), settleFAT(w)
		info, err := w.Stat()
		if err != nil || (settled == nil || fatErr == nil) && info.Size() != int64(len(b)) {
			t.Fatalf("%d bytes became %d (%v, %v)", len(b), info.Size(), settled, fatErr)
		}
	})
}

// unpacked is the archive in a ramdisk folder's initramfs. Behind it are zeros up to a multiple of four bytes, or else the kernel
// would not find what a boot loader puts there.
func unpacked(t *testing.T, dir string) []byte {
	t.Helper()
	packed := read(t, filepath.Join(dir, depot.InitramfsName))
	if len(packed)%4 != 0 {
		t.Errorf("the initramfs has %d bytes", len(packed))
	}
	z, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	for zeros := range 4 { // a frame may end in a zero of its own
		if out, err := z.DecodeAll(packed[:len(packed)-zeros], nil); err == nil {
			if !bytes.Equal(packed[len(packed)-zeros:], make([]byte, zeros)) {
				t.Errorf("%x stands behind the archive", packed[len(packed)-zeros:])
			}
			return out
		}
	}
	t.Fatal("the initramfs is no zstd")
	return nil
}
