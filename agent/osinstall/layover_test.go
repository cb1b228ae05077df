package osinstall_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ingot/agent/osinstall"
	"ingot/internal/osdef"
)

// TestLayOver puts what is in the bundle's folder where a definition reads it, and nothing else.
func TestLayOver(t *testing.T) {
	root := t.TempDir()
	for name, content := range map[string]string{"etc/default/debootstrap": "the package's", "etc/hosts": "127.0.1.1 rescue\n", "outside": "stays"} {
		writeFile(t, filepath.Join(root, name), content)
	}
	// As in Debian: the top folders are links, and some files are, too.
	for name, target := range map[string]string{"lib": "usr/lib", "etc/localtime": "/outside"} {
		if err := os.Symlink(target, filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(root, "usr/lib"), 0o755); err != nil {
		t.Fatal(err)
	}
	err := osinstall.LayOver(root, []osdef.File{
		{Name: "create", Executable: true, Content: []byte("#!/bin/sh\n")},
		{Name: "ramdisk/etc/default/debootstrap", Content: []byte("SUITE=bookworm\n")},
		{Name: "ramdisk/etc/ganeti/hooks/grub", Executable: true, Content: []byte("#!/bin/sh\n")},
		{Name: "ramdisk/etc/localtime", Content: []byte("UTC")},
		{Name: "ramdisk/lib/x", Content: []byte("library")},
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"etc/default/debootstrap": "SUITE=bookworm\n", "etc/hosts": "127.0.1.1 rescue\n", "outside": "stays",
		"etc/localtime": "UTC", "usr/lib/x": "library", "etc/ganeti/hooks/grub": "#!/bin/sh\n"} {
		if got, err := os.ReadFile(filepath.Join(root, name)); err != nil || string(got) != want {
			t.Errorf("%s holds %q, want %q (%v)", name, got, want, err)
		}
	}
	for name, want := range map[string]os.FileMode{"etc/ganeti/hooks/grub": 0o755, "etc/default/debootstrap": 0o644, "etc/ganeti": 0o755 | os.ModeDir} {
		if info, err := os.Lstat(filepath.Join(root, name)); err != nil || info.Mode() != want {
			t.Errorf("%s has %v, want %v (%v)", name, info.Mode(), want, err)
		}
	}
	if _, err := os.Stat(filepath.Join(root, "create")); err == nil {
		t.Error("a script of the bundle is laid over, too")
	}
}

// TestLayOverRefuses leaves alone what is the kernel's, or not below the root.
func TestLayOverRefuses(t *testing.T) {
	root, outside := t.TempDir(), t.TempDir()
	if err := os.Symlink(outside, filepath.Join(root, "out")); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(root, "file"), "a file")
	for name, want := range map[string]string{"ramdisk/proc/sys/kernel/core_pattern": "/proc is the kernel's", "ramdisk/sys/x": "/sys is the kernel's",
		"ramdisk/out/x": "ramdisk/out/x", "ramdisk/../x": "ramdisk/../x", "ramdisk/file/x": "ramdisk/file/x"} {
		if err := osinstall.LayOver(root, []osdef.File{{Name: name, Content: []byte("x")}}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
	if left, err := os.ReadDir(outside); err != nil || len(left) > 0 {
		t.Errorf("outside: %v, %v", left, err)
	}
}

func writeFile(t *testing.T, name, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestOnlyTrustedDefinitionsAreLaidOver: a trusted definition finds its files at their places, and an untrusted one leaves none there.
func TestOnlyTrustedDefinitionsAreLaidOver(t *testing.T) {
	for _, c := range []struct {
		script  string
		trusted bool
	}{{"create", true}, {"untrusted/create", false}} {
		s := setUp(t)
		root := t.TempDir()
		s.Lay = func(files []osdef.File) error { return osinstall.LayOver(root, files) }
		at := filepath.Join(root, "etc/default/thing")
		d := definition(t, map[string]string{c.script: "cat '" + at + "' || echo nothing is there", "ramdisk/etc/default/thing": "as the operator wants it"})
		d.Trusted = c.trusted
		r, err := s.Install(t.Context(), work(d), s.tell)
		if err != nil {
			t.Fatal(err)
		}
		_, err = os.Stat(at)
		if c.trusted != (err == nil) || c.trusted != strings.Contains(strings.Join(r.Scripts[0].Lines, "\n"), "as the operator wants it") {
			t.Errorf("%s, trusted %v: it said %q, and its file: %v", c.script, c.trusted, r.Scripts[0].Lines, err)
		}
	}
}
