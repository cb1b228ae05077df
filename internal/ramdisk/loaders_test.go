package ramdisk

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"ingot/internal/agentapi"
	"ingot/internal/depot"
	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/secret"
)

// netFolder is a ramdisk with boot loaders, and the files of its network boots.
func netFolder(t *testing.T) (dir string, d *depot.Depot, l *depot.Loaders) {
	t.Helper()
	o := madeUp(t)
	o.NetGrub, o.IPXE = filepath.Join(t.TempDir(), "grubnet"), t.TempDir()
	write(t, o.NetGrub, []byte("network grub"))
	write(t, filepath.Join(o.IPXE, "snponly.efi"), []byte("ipxe for uefi"))
	write(t, filepath.Join(o.IPXE, "undionly.kpxe"), []byte("ipxe for bios"))
	if _, err := Build(context.Background(), o); err != nil {
		t.Fatal(err)
	}
	d, err := depot.New(o.Out, depot.Options{Key: secret.New(strings.Repeat("k", 64))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return o.Out, d, loaders(t, o.Out, depot.LoaderConfig{})
}

func loaders(t *testing.T, dir string, c depot.LoaderConfig) *depot.Loaders {
	t.Helper()
	c.UEFIPXE, c.PXE, c.UEFIIPXE, c.IPXE, c.FileMode = "bootx64.efi", "pxelinux.0", "snponly.efi", "undionly.kpxe", 0o644
	l, err := depot.OpenLoaders(dir, c)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func netBoot(t *testing.T, d *depot.Depot, iface string) *metal.NetworkBoot {
	t.Helper()
	kernel, initramfs, err := d.Ramdisk(agentapi.RoleDeploy)
	if err != nil {
		t.Fatal(err)
	}
	return &metal.NetworkBoot{NodeUUID: "11111111-0000-4000-8000-000000000000", Interface: iface, Firmware: metal.UEFI, Arch: "x86_64",
		KernelParams: "console=tty0 boot_method=initramfs", Kernel: kernel, Initramfs: initramfs, Config: secret.New(`{"version":1}`)}
}

func content(t *testing.T, f depot.NetFile, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(f)
	if err != nil || int64(len(b)) != f.Size {
		t.Fatalf("%d bytes of %d: %v", len(b), f.Size, err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	return string(b)
}

// TestEveryNamedFileIsServed: what a loader is named, and what each script names, opens.
func TestEveryNamedFileIsServed(t *testing.T) {
	dir, d, l := netFolder(t)
	s, err := depot.ReadScripts("", "$pybasedir/drivers/modules/pxe_grub_config.template", 0)
	if err != nil {
		t.Fatal(err)
	}
	files := d.NetFiles(l, s)
	at := depot.NetPlace{HTTP: "http://192.0.2.1:8080/netboot/KEY", TFTP: "tftp://192.0.2.1/KEY"}
	open := func(b *metal.NetworkBoot, name string) string {
		t.Helper()
		f, err := files.Open(b, name, at)
		return content(t, f, err)
	}
	for _, c := range []struct{ iface, firmware, loader, script, base string }{
		{metal.BootPXE, metal.UEFI, "bootx64.efi", "grub.cfg", "/KEY/"},
		{metal.BootIPXE, metal.UEFI, "snponly.efi", "boot.ipxe", at.HTTP + "/"},
		{metal.BootIPXE, metal.BIOS, "undionly.kpxe", "boot.ipxe", at.HTTP + "/"},
		{metal.BootHTTP, metal.UEFI, "boot.iso", "", ""},
		{metal.BootHTTPIPXE, metal.UEFI, "snponly.efi", "boot.ipxe", at.HTTP + "/"},
	} {
		b := netBoot(t, d, c.iface)
		b.Firmware = c.firmware
		name, err := files.Loader(b, "x86_64", c.firmware)
		if err != nil || name != c.loader {
			t.Fatalf("%s: loader %q %v", c.iface, name, err)
		}
		if open(b, name) == "" {
			t.Errorf("%s: %s is empty", c.iface, name)
		}
		if c.iface == metal.BootPXE && open(b, "grubx64.efi") != "network grub" {
			t.Error("shim finds another GRUB")
		}
		if c.script == "" {
			continue
		}
		text := open(b, c.script)
		named := regexp.MustCompile(`(?:^|\s)`+regexp.QuoteMeta(c.base)+`(\S+)`).FindAllStringSubmatch(text, -1)
		if len(named) != 3 {
			t.Errorf("%s names %d files:\n%s", c.script, len(named), text)
		}
		for _, m := range named {
			if open(b, m[1]) == "" {
				t.Errorf("%s is empty", m[1])
			}
		}
		if strings.Contains(text, "agent_token") {
			t.Error("a script tells the token")
		}
	}
	if got := open(netBoot(t, d, metal.BootPXE), "kernel"); got != string(read(t, filepath.Join(dir, "kernel"))) {
		t.Error("another kernel is served")
	}
}

// TestTrapNoChecksumOnKernelAndRamdisk: one changed byte of what boots is enough, also in a file that was served before.
func TestTrapNoChecksumOnKernelAndRamdisk(t *testing.T) {
	dir, d, l := netFolder(t)
	s, err := depot.ReadScripts("", "", 0)
	if err != nil {
		t.Fatal(err)
	}
	files, b := d.NetFiles(l, s), netBoot(t, d, metal.BootPXE)
	for name, path := range map[string]string{"kernel": "kernel", "initramfs": "initramfs", "bootx64.efi": "loaders/bootx64.efi", "grubx64.efi": "loaders/grubx64.efi"} {
		f, err := files.Open(b, name, depot.NetPlace{})
		content(t, f, err)
		bytes := read(t, filepath.Join(dir, path))
		bytes[len(bytes)/2] ^= 1
		if err := os.WriteFile(filepath.Join(dir, path), bytes, 0o644); err != nil {
			t.Fatal(err)
		}
		if f, err := files.Open(b, name, depot.NetPlace{}); fault.KindOf(err) != fault.Conflict {
			t.Errorf("%s with another byte is served: %v %v", name, f.Size, err)
		}
		if err := os.Remove(filepath.Join(dir, path)); err != nil {
			t.Fatal(err)
		}
		if _, err := files.Open(b, name, depot.NetPlace{}); fault.KindOf(err) != fault.NotFound {
			t.Errorf("%s that is gone: %v", name, err)
		}
	}
	other := netBoot(t, d, metal.BootHTTP)
	other.Kernel.SHA256 = strings.Repeat("0", 64)
	if _, err := files.Open(other, "boot.iso", depot.NetPlace{}); fault.KindOf(err) != fault.Conflict {
		t.Errorf("the ISO of another ramdisk: %v", err)
	}
}

// TestNamesLeadNowhereElse: only what is in a table, or lies in tftp_root, has a name.
func TestNamesLeadNowhereElse(t *testing.T) {
	dir, d, _ := netFolder(t)
	root := t.TempDir()
	write(t, filepath.Join(root, "grub/x86_64-efi/command.lst"), []byte("list"))
	write(t, filepath.Join(filepath.Dir(root), "outside"), []byte("outside"))
	if err := os.Symlink("../outside", filepath.Join(root, "link")); err != nil {
		t.Fatal(err)
	}
	s, err := depot.ReadScripts("", "", 0)
	if err != nil {
		t.Fatal(err)
	}
	files, b := d.NetFiles(loaders(t, dir, depot.LoaderConfig{TFTPRoot: root}), s), netBoot(t, d, metal.BootPXE)
	f, err := files.Open(b, "grub/x86_64-efi/command.lst", depot.NetPlace{})
	if content(t, f, err) != "list" {
		t.Error("a file of tftp_root is another")
	}
	for _, name := range []string{"", "..", "../manifest.json", "manifest.json", "link", "/etc/passwd", "loaders/../manifest.json", "a\x00", "grub", ".new-1", "boot.iso", "boot.ipxe",
		strings.Repeat("a", 70), "a/b/c/d"} {
		if f, err := files.Open(b, name, depot.NetPlace{HTTP: "http://x"}); err == nil {
			t.Errorf("%q opens %d bytes", name, f.Size)
		}
	}
}

func TestLoaderFilePaths(t *testing.T) {
	_, d, _ := netFolder(t)
	root, from := filepath.Join(t.TempDir(), "tftpboot"), filepath.Join(t.TempDir(), "shimx64.efi.signed")
	write(t, from, []byte("the operator's shim"))
	c := depot.LoaderConfig{TFTPRoot: root, Paths: []string{"bootx64.efi:" + from, "grub/grubx64.efi:" + from}, UEFIPXE: "bootx64.efi", PXE: "a", UEFIIPXE: "b", IPXE: "c",
		FileMode: 0o640, DirMode: 0o750, PXEByArch: []string{"aarch64:grubaa64.efi"}}
	for range 2 { // a second start finds them
		l, err := depot.OpenLoaders(t.TempDir(), c)
		if err != nil {
			t.Fatal(err)
		}
		if name, err := l.Of(metal.BootPXE, "x86_64", metal.UEFI); name != "bootx64.efi" || err != nil {
			t.Error(name, err)
		}
		if _, err := l.Of(metal.BootPXE, "aarch64", metal.UEFI); err == nil || !strings.Contains(err.Error(), "grubaa64.efi") {
			t.Errorf("the loader of another architecture: %v", err)
		}
	}
	write(t, filepath.Join(root, "grubaa64.efi"), []byte("arm"))
	l, err := depot.OpenLoaders(t.TempDir(), c)
	if err != nil {
		t.Fatal(err)
	}
	if name, err := l.Of(metal.BootPXE, "aarch64", metal.UEFI); name != "grubaa64.efi" || err != nil {
		t.Error(name, err)
	}
	if info, err := os.Stat(filepath.Join(root, "bootx64.efi")); err != nil || info.Mode().Perm() != 0o640 {
		t.Error("the copy's mode", info, err)
	}
	if info, err := os.Stat(filepath.Join(root, "grub")); err != nil || info.Mode().Perm() != 0o750 {
		t.Error("the folder's mode", info, err)
	}
	for _, paths := range []string{"bootx64.efi:/nowhere/shim", "bootx64.efi", "../x:" + from, "x:relative", "x:" + t.TempDir()} {
		bad := c
		bad.Paths = []string{paths}
		if _, err := depot.OpenLoaders(t.TempDir(), bad); err == nil || !strings.Contains(err.Error(), "loader_file_paths") {
			t.Errorf("%s: %v", paths, err)
		}
	}
	_ = d
}

// TestWhatHasNoLoader: the sentences that an operator is told.
func TestWhatHasNoLoader(t *testing.T) {
	_, d, l := netFolder(t)
	s, err := depot.ReadScripts("", "", 0)
	if err != nil {
		t.Fatal(err)
	}
	files := d.NetFiles(l, s)
	for _, c := range []struct{ iface, prepared, arch, firmware, want string }{
		{metal.BootHTTP, metal.BIOS, "x86_64", metal.BIOS, "needs UEFI"},
		{metal.BootHTTPIPXE, metal.BIOS, "x86_64", metal.BIOS, "needs UEFI"},
		{metal.BootPXE, metal.BIOS, "x86_64", metal.BIOS, "use the boot interface ipxe"},
		{metal.BootPXE, metal.UEFI, "x86_64", metal.BIOS, "boots in bios mode"},
		{metal.BootPXE, metal.UEFI, "aarch64", metal.UEFI, "prepared for x86_64"},
	} {
		b := netBoot(t, d, c.iface)
		b.Firmware = c.prepared
		if name, err := files.Loader(b, c.arch, c.firmware); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %q %v", c, name, err)
		}
	}
	if _, err := loaders(t, t.TempDir(), depot.LoaderConfig{}).Of(metal.BootPXE, "x86_64", metal.UEFI); err == nil || !strings.Contains(err.Error(), "ramdisk build") {
		t.Errorf("without a ramdisk: %v", err)
	}
}

// TestTemplatesOfTheOperator: they are read at the start, and what cannot work is refused then.
func TestTemplatesOfTheOperator(t *testing.T) {
	_, d, l := netFolder(t)
	dir := t.TempDir()
	good := filepath.Join(dir, "good")
	write(t, good, []byte("linux {{.Kernel}} {{.Params}}\ninitrd {{.Initramfs}} {{.Config}}\nboot\n"))
	s, err := depot.ReadScripts("", good, 0)
	if err != nil {
		t.Fatal(err)
	}
	f, err := d.NetFiles(l, s).Open(netBoot(t, d, metal.BootPXE), "grub.cfg", depot.NetPlace{TFTP: "tftp://192.0.2.1/K"})
	if got := content(t, f, err); got != "linux /K/kernel 'console=tty0' 'boot_method=initramfs'\ninitrd /K/initramfs /K/config\nboot\n" {
		t.Errorf("%s", got)
	}
	for name, text := range map[string]string{"jinja": "{{ pxe_options.kernel }}", "unknown": "{{.Token}}", "broken": "{{", "empty": " \n", "long": strings.Repeat("x", 70000),
		"endless": `{{define "a"}}{{template "a" .}}x{{end}}{{template "a" .}}`} {
		write(t, filepath.Join(dir, name), []byte(text))
		if _, err := depot.ReadScripts(filepath.Join(dir, name), "", 0); err == nil || !strings.Contains(err.Error(), "ipxe_config_template") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestConfigArchiveIsACpio(t *testing.T) {
	a, err := depot.ConfigArchive([]byte(`{"version":1}`))
	if err != nil {
		t.Fatal(err)
	}
	b, _ := depot.ConfigArchive([]byte(`{"version":1}`))
	if !bytes.Equal(a, b) || len(a)%4 != 0 {
		t.Error("it is not the same again, or not aligned")
	}
	_, modes, data := readCPIO(t, a)
	if string(data["ingot/boot.json"]) != `{"version":1}` || modes["ingot/boot.json"] != "100600 0:0" || modes["ingot"] != "40700 0:0" {
		t.Errorf("%v %q", modes, data)
	}
	if _, err := depot.ConfigArchive(make([]byte, 64<<10)); fault.KindOf(err) != fault.TooLarge {
		t.Errorf("a configuration that is too large: %v", err)
	}
}
