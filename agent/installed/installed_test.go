package installed

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

func TestFstab(t *testing.T) {
	got := parseFstab(`# a comment
UUID=8a1c / ext4 errors=remount-ro 0 1
UUID=AB12-34CD /boot/efi vfat umask=0077 0 1
/dev/mapper/vg-var /var xfs defaults 0 2
UUID=8a1c /home btrfs subvol=@home,compress=zstd 0 0
UUID=8a1c /opt btrfs subvol=a\040b,ro 0 0
PARTLABEL=boot /boot/ ext4 defaults 0 2
UUID=1 /var ext4 defaults 0 2
/dev/sdb1 /data ext4 defaults 0 2
/swapfile none swap sw 0 0
/dev/sr0 /etc/passwd iso9660 ro 0 0
server:/x /srv nfs defaults 0 0
/dev/x /boot/../etc ext4 defaults 0 0
short /usr
`)
	want := []line{{"/dev/mapper/vg-var", "/var", "", "xfs", false}, {"UUID=8a1c", "/home", "@home", "btrfs", false}, {"UUID=8a1c", "/opt", "", "btrfs", true},
		{"server:/x", "/srv", "", "nfs", false}, {"PARTLABEL=boot", "/boot", "", "ext4", false}, {"UUID=AB12-34CD", "/boot/efi", "", "vfat", false}}
	if len(got) != len(want) {
		t.Fatalf("%+v", got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("line %d: %+v, want %+v", i, got[i], want[i])
		}
	}
}

func TestDevicePath(t *testing.T) {
	for source, want := range map[string]string{
		"UUID=AB12-34CD": "/dev/disk/by-uuid/AB12-34CD", `UUID="ab"`: "/dev/disk/by-uuid/ab", "LABEL=root": "/dev/disk/by-label/root",
		"PARTUUID=AB-01": "/dev/disk/by-partuuid/ab-01", "/dev/mapper/vg-var": "/dev/mapper/vg-var", "/dev/md/0": "/dev/md/0",
		"UUID=../../sda": "", "LABEL=a/b": "", "/dev/../etc/shadow": "", "/etc/shadow": "", "server:/x": "", "tmpfs": "", "OTHER=x": "", "UUID=": "", "": "",
	} {
		if got := devicePath(source); got != want {
			t.Errorf("%q: %q, want %q", source, got, want)
		}
	}
}

func FuzzFstab(f *testing.F) {
	f.Add("UUID=1 /boot ext4 defaults 0 2\n")
	f.Add("/dev/a\\040b /var/log btrfs subvol=@,ro\n")
	f.Fuzz(func(t *testing.T, data string) {
		for _, l := range parseFstab(data) {
			if strings.Contains(l.at, "..") || strings.ContainsAny(l.subvol, ", \n") {
				t.Errorf("%+v", l)
			}
			if p := devicePath(l.source); p != "" && (!strings.HasPrefix(p, "/dev/") || strings.Contains(p, "..") && filepath.Clean(p) != p) {
				t.Errorf("%q leads to %q", l.source, p)
			}
		}
	})
}

func TestDevices(t *testing.T) {
	got, err := parseDevices([]byte(`{"blockdevices":[{"path":"/dev/vda","type":"disk","fstype":"linux_raid_member","uuid":null,"mountpoints":[null],"ro":false,
		"children":[{"path":"/dev/md0","type":"raid1","fstype":"LVM2_member","uuid":"u","mountpoints":[null],"ro":true}]},
		{"path":"/dev/vdb","type":"disk","fstype":null,"uuid":null,"mountpoints":[],"ro":false,"children":[{"path":"/dev/md0","type":"raid1"}]}]}`))
	if err != nil || len(got) != 3 || got[1].Path != "/dev/md0" || got[1].FSType != "LVM2_member" || !got[1].ReadOnly || got[2].Path != "/dev/vdb" {
		t.Errorf("%+v %v", got, err)
	}
	if _, err := parseDevices([]byte("{")); err == nil {
		t.Error("half an answer is taken")
	}
}

// A root that a stranger wrote leads nowhere but into itself.
func TestRootOfAStranger(t *testing.T) {
	at := t.TempDir()
	outside := filepath.Join(t.TempDir(), "secret")
	for name, data := range map[string]string{outside: "PRETTY_NAME=outside\n", filepath.Join(at, "etc/fstab"): "", filepath.Join(at, "usr/lib/os-release"): "PRETTY_NAME=\"In\x1b[2Jside\"\n"} {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, to := range map[string]string{"etc/os-release": outside, "boot": "/", "var": "../../../.."} {
		if err := os.Symlink(to, filepath.Join(at, name)); err != nil {
			t.Fatal(err)
		}
	}
	if name, ok := system(at); !ok || name != "In[2Jside" {
		t.Errorf("%q %v", name, ok)
	}
	for _, name := range []string{"/boot", "/var", "/boot/efi"} {
		if f, err := openBelow(at, name, unix.O_PATH|unix.O_DIRECTORY, unix.RESOLVE_BENEATH|unix.RESOLVE_NO_SYMLINKS); err == nil {
			f.Close()
			t.Errorf("%s is a link and was followed", name)
		}
	}
	if err := os.Remove(filepath.Join(at, "etc/fstab")); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(filepath.Join(at, "etc/fstab"), 0o644); err != nil {
		t.Fatal(err)
	}
	if name, ok := system(at); !ok || name != "In[2Jside" {
		t.Errorf("without an fstab: %q %v", name, ok)
	}
	if err := os.Remove(filepath.Join(at, "usr/lib/os-release")); err != nil {
		t.Fatal(err)
	}
	if _, ok := system(at); ok {
		t.Error("a pipe is taken for an fstab")
	}
}

func TestOptions(t *testing.T) {
	for _, c := range []struct {
		kind, subvol string
		rw           bool
		want         string
	}{{"ext4", "", false, "ro,noload"}, {"ext4", "", true, "rw"}, {"vfat", "", false, "ro"}, {"btrfs", "@", false, "ro,rescue=nologreplay,subvol=@"}, {"xfs", "", false, "ro,norecovery"}} {
		if got := options(c.kind, c.subvol, c.rw); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
}

func TestPrintable(t *testing.T) {
	long := printable(strings.Repeat("ä", 200))
	if len(long) > 100 || !utf8.ValidString(long) {
		t.Errorf("%d bytes, valid %v", len(long), utf8.ValidString(long))
	}
}

func TestArguments(t *testing.T) {
	for _, args := range []string{"list --rw", "mount --wr", "mount a b", "umount x", "erase", "mount --rw --rw x y"} {
		var out, complaints bytes.Buffer
		if code := Main(context.Background(), strings.Fields(args), &out, &complaints); code != 2 || !strings.HasPrefix(complaints.String(), "Usage") {
			t.Errorf("%s: %d %s", args, code, complaints.String())
		}
	}
	var out, complaints bytes.Buffer
	if code := Main(context.Background(), []string{"help"}, &out, &complaints); code != 0 || !strings.Contains(out.String(), "--rw") {
		t.Errorf("help: %d %s", code, out.String())
	}
}
