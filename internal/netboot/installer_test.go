package netboot

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/iana"

	"ingot/internal/depot"
	"ingot/internal/metal"
	"ingot/internal/secret"
)

// brought are the files of an installer, as a server has them that fetched them.
var brought = map[string]string{FileISO: strings.Repeat("an installer's ISO ", 4000), FileKernel: strings.Repeat("an installer's kernel ", 3000), FileInitramfs: strings.Repeat("an installer's initramfs ", 2000)}

// withInstaller makes the boot one of an installer, whose files are on a shelf, and gives the paths of these.
func (w *wire) withInstaller() (paths map[string]string) {
	w.t.Helper()
	dir := w.t.TempDir()
	s, err := depot.OpenShelf(dir, depot.ShelfOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	paths = map[string]string{}
	files := map[string]metal.BootFile{}
	for name, data := range brought {
		sum := sha256.Sum256([]byte(data))
		f := metal.BootFile{Name: strings.ReplaceAll(fmt.Sprintf("%-40s", name[:4]), " ", "x"), Size: int64(len(data)), SHA256: hex.EncodeToString(sum[:])}
		if err := s.Put(w.t.Context(), depot.Pushed{Name: f.Name, Size: f.Size, SHA256: f.SHA256, Expires: time.Now().Add(time.Hour)}, strings.NewReader(data)); err != nil {
			w.t.Fatal(err)
		}
		files[name], paths[name] = f, filepath.Join(dir, f.Name+".data")
	}
	w.boot.Installer, w.boot.Config, w.boot.KernelParams, w.boot.Kernel, w.boot.Initramfs = true, secret.Secret{}, "auto url=http://installers.example/p.cfg", metal.BootFile{}, metal.BootFile{}
	if w.boot.Interface == metal.BootHTTP {
		w.boot.ISO = files[FileISO]
	} else {
		w.boot.Kernel, w.boot.Initramfs = files[FileKernel], files[FileInitramfs]
	}
	w.o.Boots.(fromFolder).files.Images(dir)
	return paths
}

// asks gives what the machine's firmware is offered; "": no boot file.
func (w *wire) asks(arch iana.Arch, more ...dhcpv4.Modifier) string {
	w.t.Helper()
	r := mustAsk(w.t, w.Service, packet4(w.t, macA, dhcpv4.MessageTypeDiscover, append([]dhcpv4.Modifier{firmware(arch, uidA)}, more...)...))
	if name := r.BootFileNameOption(); name != "" {
		return name
	}
	return r.BootFileName
}

// TestREQ30AnInstallersFilesAreServed: a machine that installs itself gets the files of its installer and nothing of ours beside loaders;
// with one changed byte nothing is offered or served, and with the end of the boot all is gone.
func TestREQ30AnInstallersFilesAreServed(t *testing.T) {
	for name, c := range map[string]struct {
		iface  string
		arch   iana.Arch
		loader string
		files  []string

		refused []string
	}{
		"http":      {metal.BootHTTP, iana.EFI_X86_64_HTTP, FileISO, []string{FileISO}, []string{FileConfig, FileGrub, FileScript, FileKernel, FileInitramfs, "snponly.efi"}},
		"ipxe":      {metal.BootIPXE, iana.EFI_X86_64, "snponly.efi", []string{FileKernel, FileInitramfs}, []string{FileConfig, FileGrub, FileISO}},
		"http-ipxe": {metal.BootHTTPIPXE, iana.EFI_X86_64_HTTP, "snponly.efi", []string{FileKernel, FileInitramfs}, []string{FileConfig, FileGrub, FileISO}},
	} {
		t.Run(name, func(t *testing.T) {
			w := onWire(t, c.iface, metal.UEFI)
			paths := w.withInstaller()
			base := w.web + "/netboot/" + keyA + "/"
			offered := w.asks(c.arch)
			if !strings.HasSuffix(offered, keyA+"/"+c.loader) {
				t.Fatalf("offered %q", w.short(offered))
			}
			all := []string{offered}
			for _, file := range c.files {
				for range 6 { // more often than a token may go out
					w.must(base+file, brought[file])
				}
				all = append(all, base+file)
			}
			if c.iface != metal.BootHTTP {
				script := w.asks(c.arch, ipxe)
				if script != base+FileScript {
					t.Fatalf("iPXE is offered %q", w.short(script))
				}
				text := w.must(script, "")
				for _, want := range []string{"kernel --name kernel " + base + "kernel auto url=http://installers.example/p.cfg initrd=initramfs ||", "initrd --name initramfs " + base + "initramfs ||"} {
					if !strings.Contains(text, want) || strings.Contains(text, "config") {
						t.Errorf("the script has not %q, or more:\n%s", w.short(want), w.short(text))
					}
				}
				all = append(all, script)
			}
			for _, other := range c.refused {
				if got, ok := w.fetch(base + other); ok {
					t.Errorf("%s gives %d bytes", other, len(got))
				}
			}
			if len(w.m.given) != 0 {
				t.Errorf("a configuration was given out: %v", w.m.given)
			}
			w.changedInstaller(paths, c.files, base, func() string { return w.asks(c.arch) })
			w.m.mu.Lock()
			w.m.boots = w.m.boots[1:]
			w.m.mu.Unlock()
			for _, file := range all {
				if got, ok := w.fetch(file); ok {
					t.Errorf("after the boot: %s gives %d bytes", w.short(file), len(got))
				}
			}
			if got := w.asks(c.arch); got != "" {
				t.Errorf("after the boot %s is offered", w.short(got))
			}
		})
	}
}

// changedInstaller changes one byte of each file in turn, and takes it away: nothing is offered, and the file is not served.
func (w *wire) changedInstaller(paths map[string]string, files []string, base string, offered func() string) {
	w.t.Helper()
	for _, file := range files {
		good, err := os.ReadFile(paths[file])
		if err != nil {
			w.t.Fatal(err)
		}
		bad := append([]byte(nil), good...)
		bad[len(bad)/2] ^= 1
		for what, write := range map[string]func() error{"changed": func() error { return os.WriteFile(paths[file], bad, 0o600) }, "gone": func() error { return os.Remove(paths[file]) }} {
			if err := write(); err != nil {
				w.t.Fatal(err)
			}
			before := w.m.noted(NoticeLoader)
			if got := offered(); got != "" || w.m.noted(NoticeLoader) == before {
				w.t.Errorf("%s %s: %q is offered, %d notices", file, what, w.short(got), w.m.noted(NoticeLoader)-before)
			}
			if got, ok := w.fetch(base + file); ok || strings.Contains(got, "an installer's") {
				w.t.Errorf("%s %s: it is served, %d bytes", file, what, len(got))
			}
			if err := os.WriteFile(paths[file], good, 0o600); err != nil {
				w.t.Fatal(err)
			}
			w.must(base+file, brought[file])
		}
	}
}
