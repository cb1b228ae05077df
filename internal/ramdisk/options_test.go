package ramdisk

import (
	"os"
	"path/filepath"
	"testing"
)

// TestRelativeFolders: the default output folder is a relative one, and dpkg-deb runs elsewhere.
func TestRelativeFolders(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("agent", []byte("x"), 0o700); err != nil {
		t.Fatal(err)
	}
	o := Options{Agent: "agent", Out: "ingot-data/ramdisk", Work: "work"}
	if err := o.check(); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{o.Agent, o.Out, o.Work} {
		if !filepath.IsAbs(p) {
			t.Errorf("%q stayed relative", p)
		}
	}
}
