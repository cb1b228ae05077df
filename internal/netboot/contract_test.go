package netboot

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/iana"
	"github.com/pin/tftp/v3"

	"ingot/internal/agentapi"
	"ingot/internal/depot"
	"ingot/internal/metal"
	"ingot/internal/secret"
)

// fromFolder is Boots whose files are those of a ramdisk folder, as a server has them.
type fromFolder struct {
	*memory

	files *depot.NetFiles
}

func (f fromFolder) Loader(_ context.Context, b *metal.NetworkBoot, c Client) (string, error) {
	return f.files.Loader(b, c.Arch, c.Firmware)
}

func (f fromFolder) Open(_ context.Context, b *metal.NetworkBoot, name string, at Place) (File, error) {
	got, err := f.files.Open(b, name, depot.NetPlace(at))
	return File(got), err
}

// wire is a machine that asks the boot services over loopback.
type wire struct {
	*Service

	t    *testing.T
	dir  string // the ramdisk folder
	web  string
	tftp *tftp.Client
	boot *metal.NetworkBoot
	m    *memory
}

// contents are the bytes of a ramdisk folder's files.
var contents = map[string]string{"kernel": strings.Repeat("the kernel ", 5000), "initramfs": strings.Repeat("the initramfs ", 9000),
	"loaders/bootx64.efi": strings.Repeat("shim ", 700), "loaders/grubx64.efi": "grub", "loaders/snponly.efi": "ipxe", "loaders/undionly.kpxe": "ipxe of old"}

// ramdiskFolder makes a ramdisk folder as "ingot ramdisk build" leaves it.
func ramdiskFolder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	m := depot.Manifest{Version: depot.ManifestVersion, Regions: depot.Placeholders()}
	iso, at := bytes.Repeat([]byte{7}, 300<<10), int64(2048)
	for i := range m.Regions {
		m.Regions[i].Offset = at
		copy(iso[at:], depot.Placeholder(m.Regions[i]))
		at += m.Regions[i].Size + 4096
	}
	put := func(name string, data []byte) depot.File {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(data)
		return depot.File{Name: filepath.Base(name), Size: int64(len(data)), SHA256: hex.EncodeToString(sum[:])}
	}
	m.Files = []depot.File{put(depot.ISOName, iso)}
	for name, data := range contents {
		if f := put(name, []byte(data)); strings.Contains(name, "/") {
			m.Loaders = append(m.Loaders, f)
		} else {
			m.Files = append(m.Files, f)
		}
	}
	text, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	put(depot.ManifestName, text)
	return dir
}

// onWire serves one machine's boot of an interface.
func onWire(t *testing.T, iface, firmware string) *wire {
	t.Helper()
	w := &wire{t: t, dir: ramdiskFolder(t), m: newMemory()}
	d, err := depot.New(w.dir, depot.Options{Key: secret.New(strings.Repeat("k", depot.MinKeyLength))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	l, err := depot.OpenLoaders(w.dir, depot.LoaderConfig{UEFIPXE: "bootx64.efi", PXE: "pxelinux.0", UEFIIPXE: "snponly.efi", IPXE: "undionly.kpxe", FileMode: 0o644})
	if err != nil {
		t.Fatal(err)
	}
	scripts, err := depot.ReadScripts("", "", 0)
	if err != nil {
		t.Fatal(err)
	}
	w.boot = w.m.boots[0]
	w.boot.Interface, w.boot.Firmware, w.boot.KernelParams, w.boot.Config = iface, firmware, "console=tty0", secret.New(`{"agent_token":"canary"}`)
	w.boot.NodeUUID = "11111111-0000-4000-8000-000000000000"
	if w.boot.Kernel, w.boot.Initramfs, err = d.Ramdisk(agentapi.RoleDeploy); err != nil {
		t.Fatal(err)
	}
	w.Service = serviceFor(t, w.m)
	w.o.Boots = fromFolder{w.m, d.NetFiles(l, scripts)}
	server := httptest.NewServer(w.Handler())
	t.Cleanup(server.Close)
	w.o.BootURL, w.web = server.URL, server.URL
	if w.tftp, err = tftp.NewClient(tftpServer(t, w.Service)); err != nil {
		t.Fatal(err)
	}
	w.tftp.SetBlockSize(1024)
	w.tftp.RequestTSize(true)
	return w
}

// fetch gets a file as the machine does that is told its name: a URL by HTTP, any other name by TFTP. "" and false: refused.
func (w *wire) fetch(name string) (string, bool) {
	w.t.Helper()
	if !strings.HasPrefix(name, "http://") {
		var b bytes.Buffer
		in, err := tftpGet(w.tftp, name, &b)
		if in > 0 && err != nil {
			w.t.Errorf("%s: %d bytes before %v", name, in, err)
		}
		return b.String(), err == nil
	}
	q, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, name, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	r, err := http.DefaultClient.Do(q)
	if err != nil {
		w.t.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return string(body), r.StatusCode == http.StatusOK
}

func tftpGet(c *tftp.Client, name string, to io.Writer) (int64, error) {
	in, err := c.Receive(name, "octet")
	if err != nil {
		return 0, err
	}
	return in.WriteTo(to)
}

// must fetches what has to be there.
func (w *wire) must(name, want string) string {
	w.t.Helper()
	got, ok := w.fetch(name)
	if !ok || want != "" && got != want {
		w.t.Errorf("%s: %v, %d bytes %.60q, want %d bytes", w.short(name), ok, len(got), got, len(want))
	}
	return got
}

// short is a name without the key.
func (w *wire) short(name string) string { return strings.ReplaceAll(name, keyA, "KEY") }

// named are the addresses of a script's files, in their order.
var named = regexp.MustCompile(`(?:http://\S+)?/` + keyA + `/([a-z]+)`)

// TestEveryFileThatIsNamedIsServed: what a DHCP answer names, what a loader asks beside itself, and what a script names
// have the right bytes; what somebody changed is refused whole; after the boot nothing is there.
func TestEveryFileThatIsNamedIsServed(t *testing.T) {
	for name, c := range map[string]struct {
		iface, firmware, loader, bytes string
		arch                           iana.Arch
		script                         string // below the key, or a fixed name
		beside                         string // what the loader asks
	}{
		"pxe":       {iface: metal.BootPXE, firmware: metal.UEFI, arch: iana.EFI_X86_64, loader: "bootx64.efi", bytes: contents["loaders/bootx64.efi"], beside: "grubx64.efi", script: "/grub/grub.cfg"},
		"ipxe":      {iface: metal.BootIPXE, firmware: metal.UEFI, arch: iana.EFI_X86_64, loader: "snponly.efi", bytes: "ipxe", script: FileScript},
		"ipxe BIOS": {iface: metal.BootIPXE, firmware: metal.BIOS, arch: iana.INTEL_X86PC, loader: "undionly.kpxe", bytes: "ipxe of old", script: FileScript},
		"http-ipxe": {iface: metal.BootHTTPIPXE, firmware: metal.UEFI, arch: iana.EFI_X86_64_HTTP, loader: "snponly.efi", bytes: "ipxe", script: FileScript},
		"http":      {iface: metal.BootHTTP, firmware: metal.UEFI, arch: iana.EFI_X86_64_HTTP, loader: FileISO},
	} {
		t.Run(name, func(t *testing.T) {
			w := onWire(t, c.iface, c.firmware)
			offered := mustAsk(t, w.Service, packet4(t, macA, dhcpv4.MessageTypeDiscover, firmware(c.arch, uidA))).BootFileNameOption()
			if offered == "" {
				offered = mustAsk(t, w.Service, packet4(t, macA, dhcpv4.MessageTypeDiscover, firmware(c.arch, uidA))).BootFileName
			}
			if !strings.HasSuffix(offered, keyA+"/"+c.loader) {
				t.Fatalf("offered %q", w.short(offered))
			}
			files := []string{offered}
			loader := w.must(offered, c.bytes)
			if c.beside != "" {
				w.must(keyA+"/"+c.beside, contents["loaders/"+c.beside])
			}
			if c.loader == FileISO {
				if len(loader) != 300<<10 || !strings.Contains(loader, "canary") || !strings.Contains(loader, "initrd /boot/initrd /ingot/boot.json") {
					t.Errorf("the boot ISO has %d bytes, or not the boot's configuration", len(loader))
				}
			} else {
				files = append(files, w.followScript(c.script, c.arch)...)
			}
			w.changed(files)
			w.m.mu.Lock()
			w.m.boots = w.m.boots[1:]
			w.m.mu.Unlock()
			for _, name := range append(files, "/grub/grub.cfg", w.web+"/grub/grub.cfg") {
				if got, ok := w.fetch(name); ok {
					t.Errorf("after the boot: %s gives %d bytes", w.short(name), len(got))
				}
			}
		})
	}
}

// followScript fetches a boot's script as its loader does, and all that it names.
func (w *wire) followScript(script string, arch iana.Arch) (files []string) {
	w.t.Helper()
	if script == FileScript {
		script = mustAsk(w.t, w.Service, packet4(w.t, macA, dhcpv4.MessageTypeDiscover, firmware(arch, uidA), ipxe)).BootFileNameOption()
		if script != w.web+"/netboot/"+keyA+"/"+FileScript {
			w.t.Fatalf("iPXE is offered %q", w.short(script))
		}
	}
	lets(w.t, w.Service, macA)
	text := w.must(script, "")
	if strings.Contains(text, "canary") {
		w.t.Error("the token is in the script")
	}
	var names []string
	for _, m := range named.FindAllStringSubmatch(text, -1) {
		files, names = append(files, m[0]), append(names, m[1])
		switch m[1] {
		case FileConfig:
			if got := w.must(m[0], ""); !strings.HasPrefix(got, "070701") || !strings.Contains(got, "canary") {
				w.t.Errorf("the configuration is %.40q", got)
			}
		default:
			w.must(m[0], contents[m[1]])
		}
	}
	if want := []string{FileKernel, FileInitramfs, FileConfig}; !slices.Equal(names, want) {
		w.t.Errorf("the script names %v, want %v:\n%s", names, want, w.short(text))
	}
	return files
}

// changed writes other bytes into the folder, as many as there were: none of what is told apart by its SHA-256 is served.
func (w *wire) changed(files []string) {
	w.t.Helper()
	for _, name := range []string{"kernel", "initramfs", "boot.iso", "loaders/bootx64.efi", "loaders/grubx64.efi", "loaders/snponly.efi", "loaders/undionly.kpxe"} {
		path := filepath.Join(w.dir, name)
		data, err := os.ReadFile(path)
		if err != nil {
			w.t.Fatal(err)
		}
		data[len(data)-1] ^= 1
		if err := os.WriteFile(path, data, 0o644); err != nil {
			w.t.Fatal(err)
		}
	}
	for _, name := range files {
		if strings.HasSuffix(name, "/"+FileConfig) {
			continue
		}
		if got, ok := w.fetch(name); ok || strings.Contains(got, "kernel ") || strings.Contains(got, "initramfs ") {
			w.t.Errorf("%s was changed and is served: %v, %d bytes", w.short(name), ok, len(got))
		}
	}
}
