package ramdisk

import (
	"archive/tar"
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"ingot/internal/depot"
	"ingot/internal/fault"
)

// sshHost is the builder in these tests: nothing of it may be in a ramdisk.
const sshHost = "builder.example"

// packed is a made-up system's tar, with what a builder leaves in one.
func packed(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "system.tar")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	w := tar.NewWriter(f)
	for _, h := range []struct {
		tar.Header
		data string
	}{
		{tar.Header{Name: "./", Typeflag: tar.TypeDir, Mode: 0o755}, ""},
		{tar.Header{Name: "./lib", Typeflag: tar.TypeSymlink, Linkname: "usr/lib"}, ""},
		{tar.Header{Name: "./root/", Typeflag: tar.TypeDir, Mode: 0o700}, ""},
		{tar.Header{Name: "./usr/lib/x", Mode: 0o644}, "library"},
		{tar.Header{Name: "./usr/lib/y", Typeflag: tar.TypeLink, Linkname: "./usr/lib/x", Mode: 0o644}, ""},
		{tar.Header{Name: "./usr/bin/sudo", Mode: 0o4755}, "sudo"},
		{tar.Header{Name: "./var/mail", Typeflag: tar.TypeDir, Mode: 0o2775, Gid: 8}, ""},
		{tar.Header{Name: "./etc/skel/.profile", Mode: 0o644}, "profile"},
		{tar.Header{Name: "./etc/passwd", Mode: 0o644}, "root:x:0:0:root:/root:/bin/bash\n"},
		{tar.Header{Name: "./etc/passwd-", Mode: 0o644}, "copy"},
		{tar.Header{Name: "./etc/group", Mode: 0o644}, "root:x:0:\n"},
		{tar.Header{Name: "./etc/shadow", Mode: 0o640, Gid: 42}, "root:*:3652:0:99999:7:::\n"},
		{tar.Header{Name: "./etc/gshadow", Mode: 0o640, Gid: 42}, "root:*::\n"},
		{tar.Header{Name: "./etc/hostname", Mode: 0o644}, sshHost},
		{tar.Header{Name: "./etc/resolv.conf", Mode: 0o644}, "search " + sshHost},
		{tar.Header{Name: "./etc/machine-id", Mode: 0o444}, sshHost},
		{tar.Header{Name: "./etc/ssh/ssh_host_ed25519_key", Mode: 0o600}, sshHost},
		{tar.Header{Name: "./etc/apt/sources.list.d/0000.sources", Mode: 0o644}, sshHost},
		{tar.Header{Name: "./etc/systemd/system/multi-user.target.wants/ssh.service", Typeflag: tar.TypeSymlink, Linkname: "/lib/systemd/system/ssh.service"}, ""},
		{tar.Header{Name: "./etc/rc2.d/S01ssh", Typeflag: tar.TypeSymlink, Linkname: "../init.d/ssh"}, ""},
		{tar.Header{Name: "./var/log/apt/history.log", Mode: 0o644}, sshHost},
		{tar.Header{Name: "./var/cache/debconf/config.dat", Mode: 0o644}, sshHost},
	} {
		h.Size, h.ModTime = int64(len(h.data)), time.Unix(1_700_000_000, 0)
		if h.Typeflag == 0 {
			h.Typeflag = tar.TypeReg
		}
		if err := w.WriteHeader(&h.Header); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(h.data)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestWhatIsInTheDebianRamdisk(t *testing.T) {
	var raw [2][]byte
	for i := range raw {
		f, err := os.Open(packed(t))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		var a archive
		if err := addSystem(&a, f); err != nil {
			t.Fatal(err)
		}
		if err := layOver(&a); err != nil {
			t.Fatal(err)
		}
		if err := makeUser(&a); err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if _, err := a.write(&b); err != nil {
			t.Fatal(err)
		}
		raw[i] = b.Bytes()
	}
	if !bytes.Equal(raw[0], raw[1]) {
		t.Error("two archives of one system differ")
	}
	if bytes.Contains(raw[0], []byte(sshHost)) {
		t.Error("something of the builder's is in it")
	}
	names, modes, content := readCPIO(t, raw[0])
	for name, want := range map[string]string{
		"usr/bin/sudo": "104755 0:0", "root": "40700 0:0", "var/mail": "42775 0:0 of 0:8", "home/rescue": "40700 0:0 of 1000:1000", "etc/shadow": "100640 0:0 of 0:42",
		"etc/sudoers.d/ingot": "100440 0:0", "usr/lib/ingot/host-keys": "100755 0:0", "init": "100755 0:0", "lib": "120777 0:0",
	} {
		if modes[name] != want { // the first pair of numbers is a device's, the second an owner that is not root
			t.Errorf("%s is %q, want %q", name, modes[name], want)
		}
	}
	for name, want := range map[string]string{
		"usr/lib/x": "library", "usr/lib/y": "library", "home/rescue/.profile": "profile", "etc/machine-id": "", "etc/hostname": "rescue\n",
		"etc/shadow":                                "root:*:3652:0:99999:7:::\nrescue:!:3652:0:99999:7:::\n",
		"etc/systemd/system/default.target":         "/usr/lib/systemd/system/multi-user.target",
		"etc/udev/rules.d/69-lvm.rules":             "/dev/null",
		"etc/systemd/system/systemd-repart.service": "/dev/null",
	} {
		if got, ok := content[name]; string(got) != want || !ok && !slices.Contains(names, name) {
			t.Errorf("%s holds %q, want %q", name, got, want)
		}
	}
	for _, name := range names {
		for _, not := range []string{"ssh_host_", "sources", "resolv.conf", "authorized_keys", "rc2.d/", "wants/ssh", "passwd-", "var/log/apt", "config.dat"} {
			if strings.Contains(name, not) {
				t.Errorf("%s is in it", name)
			}
		}
	}
	// What is enabled is ours.
	for _, name := range names {
		if strings.Contains(name, ".wants/") && !strings.Contains(name, "ingot-") {
			t.Errorf("%s is enabled", name)
		}
	}
}

func TestTrapDefaultCredentials(t *testing.T) {
	if err := locked([]byte("root:*:1::::::\na:!:::::::\nb:!$6$x:::::::\n")); err != nil {
		t.Error(err)
	}
	for _, line := range []string{"root::1::::::\n", "root:$6$x$y:1::::::\n", "root\n"} {
		if err := locked([]byte(line)); err == nil {
			t.Errorf("%q is taken for locked", line)
		}
	}
}

func TestLeaves(t *testing.T) {
	for name, want := range map[string]bool{
		"etc/rc2.d": false, "etc/rc2.d/S01ssh": true, "etc/rcS.d/x": true, "usr/lib/python3.11": true, "usr/lib/python3.11/a/b": true, "usr/lib/pythia": false,
		"etc/hostname": true, "etc/hostname.d": false, "etc/passwd": false, "etc/shadow-": true, "var/log": false, "var/log/wtmp": true,
		"usr/lib/x86_64-linux-gnu/perl-base/strict.pm": false, "usr/lib/x86_64-linux-gnu/perl/5.36/x": true, "usr/share/perl5/Debconf.pm": false, "etc/ssh/sshd_config": false,
		"usr/lib/x86_64-linux-gnu/gconv/IBM850.so": false, "usr/lib/x86_64-linux-gnu/gconv/IBM851.so": true,
	} {
		if got := leaves(name); got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestHostSuite(t *testing.T) {
	file := filepath.Join(t.TempDir(), "os-release")
	for text, want := range map[string]string{
		"ID=debian\nVERSION_CODENAME=bookworm\n": "bookworm", "ID=\"debian\"\nVERSION_CODENAME='trixie'\n": "trixie", "ID=fedora\nVERSION_CODENAME=x\n": "", "ID=debian\n": "",
	} {
		write(t, file, []byte(text))
		got, err := hostSuite(file)
		if got != want || want == "" && fault.KindOf(err) != fault.Unavailable {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
}

func TestKinds(t *testing.T) {
	for _, c := range []struct {
		o    Options
		want string // in the error; "": none
	}{
		{Options{}, ""},
		{Options{Kind: depot.KindDebian, Include: []string{"htop", "mc=3:4.8.29-2"}}, ""},
		{Options{Kind: "fedora"}, "deploy or debian"},
		{Options{Include: []string{"htop"}}, "--kind debian"},
		{Options{Kind: depot.KindDebian, Include: []string{"--option"}}, "no package's name"},
		{Options{Kind: depot.KindDebian, Include: []string{"a,b"}}, "no package's name"},
	} {
		err := c.o.checkKind()
		if c.want == "" && err != nil || c.want != "" && (fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%+v: %v", c.o, err)
		}
	}
	if got := Folder("data", depot.KindDebian); got != "data/ramdisk-debian" {
		t.Error(got)
	}
}

// A folder of a family that is left out may hold what others need.
func TestRescuedModules(t *testing.T) {
	tree, err := openModules(makeModules(t, "", map[string]string{
		"drivers/net/wireless/radio.ko": "depends=cfg", "net/wireless/cfg.ko": "depends=", "drivers/gpu/drm.ko": "depends=", "drivers/net/nic.ko": "depends=drm"}))
	if err != nil {
		t.Fatal(err)
	}
	names, err := tree.rescued()
	if err != nil || !slices.Equal(names, []string{"drm", "nic"}) {
		t.Error(names, err)
	}
}

func TestAddedWhereTopFoldersAreLinks(t *testing.T) {
	f, err := os.Open(packed(t))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var a archive
	if err := addSystem(&a, f); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, name := range []string{"lib/tool", "root/notes"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, name), []byte("mine"))
	}
	if _, err := addFolders(&a, []string{dir}); err != nil {
		t.Fatal(err)
	}
	if _, ok := a.entries["usr/lib/tool"]; !ok || a.entries["lib"].mode != modeLink || a.entries["root"].mode != 0o040700 {
		t.Errorf("%+v", a.entries)
	}
	write(t, filepath.Join(dir, "lib/x"), []byte("mine"))
	if _, err := addFolders(&a, []string{dir}); fault.KindOf(err) != fault.Invalid {
		t.Errorf("a package's file was replaced: %v", err)
	}
}
