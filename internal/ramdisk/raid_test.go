package ramdisk

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestLinked takes a program of this machine apart, which every Linux has in this form.
func TestLinked(t *testing.T) {
	folders := []string{"/lib/x86_64-linux-gnu", "/lib64", "/usr/lib/x86_64-linux-gnu"}
	needs, interpreter, err := needsOf("/bin/ls")
	if err != nil || interpreter == "" || len(needs) == 0 {
		t.Skipf("no dynamic /bin/ls here: %v", err)
	}
	files, err := linked("bin/ls", "/bin/ls", folders)
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, f := range files {
		if info, err := os.Lstat(f.source); err != nil || !info.Mode().IsRegular() || names[f.name] {
			t.Errorf("%+v: %v", f, err)
		}
		names[f.name] = true
	}
	for _, want := range []string{"bin/ls", interpreter[1:], "lib/x86_64-linux-gnu/libc.so.6"} {
		if !names[want] {
			t.Errorf("%s is not among %v", want, names)
		}
	}
	if _, err := linked("bin/ls", "/bin/ls", []string{t.TempDir()}); err == nil {
		t.Error("libraries that are nowhere were found")
	}
	if _, _, err := needsOf("/etc/passwd"); err == nil {
		t.Error("a text was taken for a program")
	}
}

func TestRAIDModulesAreLoadedLater(t *testing.T) {
	tree, err := openModules(makeModules(t, "", map[string]string{"a/virtio_net.ko": "depends=", "md/raid1.ko": "depends=md-mod", "md/md-mod.ko": "depends="}))
	if err != nil {
		t.Fatal(err)
	}
	s, err := tree.pick(wanted)
	if err != nil {
		t.Fatal(err)
	}
	mdadm := filepath.Join(t.TempDir(), "mdadm")
	write(t, mdadm, nil)
	var a archive
	extra, err := fillRAID(&a, tree, s, []placed{{mdadmFile, mdadm}})
	if err != nil || !slices.Equal(extra, []string{"md_mod", "raid1"}) || a.entries[mdadmFile].mode != modeExec {
		t.Errorf("%v %v", extra, err)
	}
	if list := string(a.entries["etc/ingot/modules.raid"].data); list != "/lib/modules/"+tree.release+"/kernel/md/md-mod.ko\n/lib/modules/"+tree.release+"/kernel/md/raid1.ko\n" {
		t.Errorf("%q", list)
	}
	a = archive{}
	if extra, err = fillRAID(&a, tree, s, nil); err != nil || extra != nil || len(a.entries) > 0 {
		t.Errorf("without mdadm: %v %v %v", extra, a.entries, err)
	}
}
