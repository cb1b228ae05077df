package depot

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ingot/internal/fault"
	"ingot/internal/metal"
)

const testNetKey = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFG"

// pushedBoot has its files on a shelf, and is pushed as this JSON.
func pushedBoot(t *testing.T, s *Shelf, change func(*PushedBoot)) []byte {
	t.Helper()
	p := PushedBoot{Boot: metal.NetworkBoot{NodeUUID: "n1", Generation: "g1", Interface: metal.BootIPXE, MACs: []string{"52:54:00:00:00:01"}, Firmware: metal.UEFI,
		Arch: "x86_64", Expires: time.Now().Add(time.Hour), KernelParams: "console=ttyS0"}, Key: testNetKey, Config: `{"agent_token":"canary"}`, Loader: LoaderIPXE, Files: map[string]metal.BootFile{}}
	for i, name := range []string{NetKernel, NetInitramfs, LoaderIPXE} {
		f := shelfFile(i, "the "+name)
		f.Holder = "n1"
		s.put(t, f, "the "+name)
		p.Files[name] = metal.BootFile{Name: f.Name, Size: f.Size, SHA256: f.SHA256}
	}
	if change != nil {
		change(&p)
	}
	raw, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func newNetShelf(t *testing.T, dir string, s *Shelf) *NetShelf {
	t.Helper()
	scripts, err := ReadScripts("", "", 0)
	if err != nil {
		t.Fatal(err)
	}
	n, err := OpenNetShelf(filepath.Join(dir, "boots"), s, scripts)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func netContent(t *testing.T, n *NetShelf, b *metal.NetworkBoot, name string) string {
	t.Helper()
	f, err := n.Open(b, name, NetPlace{HTTP: "http://192.0.2.1/netboot/" + testNetKey})
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	defer f.Close()
	text, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestPushedBootsAreServedUntilTheyEnd(t *testing.T) {
	dir := t.TempDir()
	shelf := newShelf(t, filepath.Join(dir, "files"), ShelfOptions{})
	n := newNetShelf(t, dir, shelf)
	raw := pushedBoot(t, shelf, nil)
	for range 2 { // twice is once
		if err := n.Put("n1", raw); err != nil {
			t.Fatal(err)
		}
	}
	b := n.ByMAC("52:54:00:00:00:01")
	if b == nil || n.ByKey(testNetKey) == nil || n.ByKey("another") != nil || n.ByMAC("52:54:00:00:00:02") != nil {
		t.Fatalf("by MAC %v, by key %v", b, n.ByKey(testNetKey))
	}
	if loader, err := n.Loader(b, "x86_64", metal.UEFI); loader != LoaderIPXE || err != nil {
		t.Errorf("loader %q, %v", loader, err)
	}
	if _, err := n.Loader(b, "x86_64", metal.BIOS); fault.KindOf(err) != fault.Invalid {
		t.Errorf("of a BIOS: %v", err)
	}
	if got := netContent(t, n, b, NetKernel); got != "the kernel" {
		t.Errorf("the kernel: %q", got)
	}
	script := netContent(t, n, b, NetScript)
	for _, name := range []string{NetKernel, NetInitramfs, NetConfig} { // what a script names is served
		if !strings.Contains(script, "http://192.0.2.1/netboot/"+testNetKey+"/"+name) || netContent(t, n, b, name) == "" {
			t.Errorf("the script does not name %s:\n%s", name, script)
		}
	}
	if strings.Contains(script, "canary") || !strings.Contains(netContent(t, n, b, NetConfig), "canary") {
		t.Error("the token is in the script, or not in the configuration")
	}
	for _, name := range []string{"../secret", NetGrub, "ldlinux.c32"} {
		if _, err := n.Open(b, name, NetPlace{HTTP: "http://192.0.2.1/netboot/" + testNetKey}); fault.KindOf(err) != fault.NotFound {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := n.Saw(b, NetKernel, false); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if err := n.Give(b, 2); i < 2 && err != nil || i == 2 && fault.KindOf(err) != fault.Conflict {
			t.Errorf("given out %d times: %v", i, err)
		}
	}
	n = newNetShelf(t, dir, shelf) // after a kill
	if st := n.Story("n1"); st.Generation != "g1" || st.Seen != NetKernel || st.Fetches != 2 || n.ByKey(testNetKey) == nil {
		t.Errorf("after a restart: %+v", st)
	}
	if info, err := os.Stat(filepath.Join(dir, "boots", "n1.json")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the boot's file: %v, %v", info, err)
	}
	if err := n.Remove("n1", "another"); err != nil || n.ByKey(testNetKey) == nil {
		t.Errorf("another generation's end: %v", err)
	}
	if err := n.Remove("n1", "g1"); err != nil || n.ByKey(testNetKey) != nil || n.ByMAC("52:54:00:00:00:01") != nil {
		t.Errorf("removed: %v", err)
	}
	if _, err := n.Open(b, NetConfig, NetPlace{}); fault.KindOf(err) != fault.NotFound {
		t.Errorf("after the end the configuration is given: %v", err)
	}
	if left, err := os.ReadDir(filepath.Join(dir, "boots")); err != nil || len(left) != 0 {
		t.Errorf("left %v, %v", left, err)
	}
}

// TestPushedBootsExpire: nobody has to ask for a boot that is over, nor to withdraw it.
func TestPushedBootsExpire(t *testing.T) {
	dir := t.TempDir()
	shelf := newShelf(t, filepath.Join(dir, "files"), ShelfOptions{})
	n := newNetShelf(t, dir, shelf)
	if err := n.Put("n1", pushedBoot(t, shelf, nil)); err != nil {
		t.Fatal(err)
	}
	left := func() int {
		all, err := os.ReadDir(filepath.Join(dir, "boots"))
		if err != nil {
			t.Fatal(err)
		}
		return len(all)
	}
	if err := n.Sweep(); err != nil || left() != 1 {
		t.Fatalf("before its end: %v, %d boots", err, left())
	}
	n.now = func() time.Time { return time.Now().Add(2 * time.Hour) }
	ctx, cancel := context.WithCancel(t.Context())
	tick, done := make(chan time.Time), make(chan error, 1)
	go func() { done <- n.run(ctx, tick) }()
	tick <- time.Time{}
	tick <- time.Time{} // taken when the first is done
	cancel()
	if err := <-done; err != nil || left() != 0 {
		t.Errorf("after its end: %v, %d boots", err, left())
	}
}

func TestPushedBootsAreRefused(t *testing.T) {
	dir := t.TempDir()
	shelf := newShelf(t, filepath.Join(dir, "files"), ShelfOptions{})
	n := newNetShelf(t, dir, shelf)
	if err := n.Put("n1", pushedBoot(t, shelf, nil)); err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct {
		change func(*PushedBoot)
		kind   fault.Kind
	}{
		"a key that is a guess":       {func(p *PushedBoot) { p.Key = "key" }, fault.Invalid},
		"a MAC of another node":       {func(p *PushedBoot) {}, fault.Conflict},
		"a MAC in capitals":           {func(p *PushedBoot) { p.Boot.MACs = []string{"52:54:00:00:00:AB"} }, fault.Invalid},
		"no loader":                   {func(p *PushedBoot) { p.Loader = "bootx64.efi" }, fault.Invalid},
		"it is over":                  {func(p *PushedBoot) { p.Boot.Expires = time.Now() }, fault.Invalid},
		"a file with another digest":  {func(p *PushedBoot) { p.Files[NetKernel] = metal.BootFile{Name: p.Files[NetKernel].Name, Size: 1} }, fault.Conflict},
		"a file that leads elsewhere": {func(p *PushedBoot) { p.Files[NetKernel] = metal.BootFile{Name: "../../etc/passwd"} }, fault.Invalid},
	} {
		if err := n.Put("n2", pushedBoot(t, shelf, c.change)); fault.KindOf(err) != c.kind {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := n.Put("../n", pushedBoot(t, shelf, nil)); fault.KindOf(err) != fault.Invalid {
		t.Errorf("a holder that leads elsewhere: %v", err)
	}
	if left, err := os.ReadDir(filepath.Join(dir, "boots")); err != nil || len(left) != 1 {
		t.Errorf("left %v, %v", left, err)
	}
}

func FuzzPushedBoot(f *testing.F) {
	f.Add([]byte(`{"boot":{"macs":["52:54:00:00:00:01"],"generation":"g"},"key":"0123456789abcdefghijklmnopqrstuvwxyz","config":"{}","files":{"a":{"name":"b"}}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		dir := t.TempDir()
		shelf := newShelf(t, filepath.Join(dir, "files"), ShelfOptions{})
		if err := newNetShelf(t, dir, shelf).Put("n1", raw); err == nil {
			t.Errorf("a boot without files was taken: %q", raw)
		}
	})
}
