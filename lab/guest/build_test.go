package guest

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ingot/internal/fault"
)

func TestOptions(t *testing.T) {
	o, err := Options{CacheDir: "cache", Out: "out"}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	if !filepath.IsAbs(o.CacheDir) || !filepath.IsAbs(o.Out) || o.SizeMiB != 2048 || o.Suite != "bookworm" || o.Kernel == "" {
		t.Errorf("got %+v", o)
	}
	if _, err := (Options{SizeMiB: 100}).withDefaults(); fault.KindOf(err) != fault.Invalid {
		t.Errorf("a disk too small: %v", err)
	}
}

func TestKeyFollowsTheRecipe(t *testing.T) {
	base, _ := Options{}.withDefaults()
	seen := map[string]string{newRecipe(base).key(): "the defaults"}
	for name, change := range map[string]func(*Options){
		"a package more": func(o *Options) { o.Packages = []string{"tcpdump"} },
		"another kernel": func(o *Options) { o.Kernel = "linux-image-amd64" },
		"another size":   func(o *Options) { o.SizeMiB = 4096 },
		"another suite":  func(o *Options) { o.Suite = "trixie" },
	} {
		o := base
		change(&o)
		key := newRecipe(o).key()
		if seen[key] != "" {
			t.Errorf("%s has the key of %s", name, seen[key])
		}
		seen[key] = name
	}
	again := base
	again.Packages = []string{"sudo"} // there already
	if newRecipe(again).key() != newRecipe(base).key() {
		t.Error("naming a package twice changes the key")
	}
}

func TestLayoutIsAlignedAndWhole(t *testing.T) {
	for _, size := range []int64{1024, 2048, 4096} {
		l := layoutFor(size * mib)
		if l.espStart%mib != 0 || l.rootStart%mib != 0 || l.rootStart != l.espStart+l.espSize {
			t.Errorf("%d MiB: %+v", size, l)
		}
		if l.rootStart+l.rootSize != l.total-mib {
			t.Errorf("%d MiB: the root does not end a MiB before the disk: %+v", size, l)
		}
		if clusters := l.espSize / 512; clusters < 65525 {
			t.Errorf("an ESP of %d clusters is FAT16 to firmware", clusters)
		}
	}
}

func TestTreeIsFilled(t *testing.T) {
	o, _ := Options{}.withDefaults()
	r := newRecipe(o)
	seen := map[string]string{}
	if err := walkTree(func(name string, data []byte) error { seen[name] = r.fill(string(data)); return nil }); err != nil {
		t.Fatal(err)
	}
	for name, text := range seen {
		if strings.Contains(text, "@ROOT") || strings.Contains(text, "@SUITE") || strings.Contains(text, "@ESP") {
			t.Errorf("%s still has a blank in it: %s", name, text)
		}
	}
	for name, want := range map[string]string{
		"/etc/fstab":                          "UUID=" + r.id("root") + " / ext4",
		"/boot/grub/grub.cfg":                 `console=ttyS0,115200 no_timer_check product_name="OpenStack Nova"`,
		"/etc/cloud/cloud.cfg.d/90_ingot.cfg": "datasource_list: [ConfigDrive, OpenStack, None]",
	} {
		if !strings.Contains(seen[name], want) {
			t.Errorf("%s has no %q", name, want)
		}
	}
}

// finished puts a small image into a cache, as a build would.
func finished(t *testing.T, o Options) (recipe, string) {
	t.Helper()
	r := newRecipe(o)
	dir := filepath.Join(o.CacheDir, r.key())
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	img := &Image{Raw: filepath.Join(dir, rawName), Zst: filepath.Join(dir, zstName)}
	for name, text := range map[string]string{img.Raw: "a disk", img.Zst: "a small disk"} {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := img.hash(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, sumsName), []byte(img.sums()), 0o644); err != nil {
		t.Fatal(err)
	}
	return r, dir
}

func TestCacheIsUsedAndCopied(t *testing.T) {
	o, err := Options{CacheDir: t.TempDir(), Out: t.TempDir()}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	r, dir := finished(t, o)
	img, err := Build(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if !img.Cached || img.Key != r.key() || filepath.Dir(img.Raw) != o.Out {
		t.Errorf("got %+v", img)
	}
	if err := os.WriteFile(img.Raw, []byte("booted and changed"), 0o644); err != nil {
		t.Fatalf("the copy cannot be written: %v", err)
	}
	if kept, err := os.ReadFile(filepath.Join(dir, rawName)); err != nil || string(kept) != "a disk" {
		t.Errorf("the cache changed with the copy: %q, %v", kept, err)
	}
}

func TestDamagedCacheIsNotUsed(t *testing.T) {
	o, err := Options{CacheDir: t.TempDir()}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	r, dir := finished(t, o)
	if err := os.WriteFile(filepath.Join(dir, zstName), []byte("a wrong disk"), 0o644); err != nil {
		t.Fatal(err)
	}
	if img, err := open(dir, r); err == nil {
		t.Errorf("a damaged image was opened: %v", img)
	}
	if os.Geteuid() == 0 {
		return // Build would really build
	}
	var log bytes.Buffer
	o.Log = &log
	if _, err := Build(t.Context(), o); fault.KindOf(err) != fault.Forbidden {
		t.Errorf("building as a user: %v", err)
	}
	if !strings.Contains(log.String(), "not usable") {
		t.Errorf("the log does not say why it builds: %s", log.String())
	}
}
