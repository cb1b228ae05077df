package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"ingot/internal/metal"
	"ingot/lab"
)

// The definition of Debian's package, and what an operator adds to it: files in testdata/debianhost are those that a node of a
// cluster would have.
const (
	debianDefinition = "/usr/share/ganeti/os/debootstrap"
	debianMemory     = 1536
	debianLimit      = 90 * time.Minute // a whole Debian, on an emulated processor
)

// debianExtra are the packages that make of debootstrap's smallest system one that starts on a machine; the definition writes into
// ifupdown's folder.
var debianExtra = []string{"linux-image-cloud-amd64", "grub-pc-bin", "grub2-common", "systemd-sysv", "udev", "initramfs-tools", "zstd", "kmod", "ifupdown"}

// debianVariant is the configuration of the variant, for the address of a mirror, its suite and packages. The definition gives
// debootstrap no options of an operator's, and its configuration is a shell's: that gives them. The initramfs is small, since
// making a usual one takes an emulated processor many minutes.
const debianVariant = `MIRROR=%q
SUITE=%q
EXTRA_PKGS=%q
debootstrap() {
	mkdir -p "$TMPDIR/etc/initramfs-tools/conf.d" "$TMPDIR/usr/share/initramfs-tools/modules.d"
	echo MODULES=list >"$TMPDIR/etc/initramfs-tools/conf.d/lab"
	printf '%%s\n' virtio_pci virtio_blk ext4 >"$TMPDIR/usr/share/initramfs-tools/modules.d/lab"
	command debootstrap --variant=minbase --keyring=/usr/share/keyrings/lab.gpg "$@"
}
`

// TestDebiansDefinition installs a machine with Ganeti's definition for Debian, of whose scripts nothing is changed, from a mirror
// that the test serves; the machine starts and says its three parameters. Then its disk is exported, and imported on another
// machine, which starts and says the same.
func TestDebiansDefinition(t *testing.T) {
	if os.Getenv("INGOT_LAB_FULL") != "1" {
		t.Skip("skipped: set INGOT_LAB_FULL=1; TestREQ18And31ADefinitionOfOurs installs a machine by a definition of ours, in minutes")
	}
	if _, err := os.Stat(debianDefinition); err != nil {
		t.Skipf("skipped: the package ganeti-instance-debootstrap is not installed: %v", err)
	}
	x := newDebian(t)
	from := x.first.consoleLength()
	began := time.Now()
	x.ingot("node", "deploy", x.first.name, "--os", "debootstrap+lab", "--hostname", "web1", "--os-parameter", "greeting="+greeting, "--os-parameter", "filesystem=ext4",
		"--os-private", "join-token="+x.first.file("token", joinToken), "--os-secret", "root-password="+x.first.file("password", password),
		"--wait", "--timeout", "90m")
	t.Logf("installed after %.0f s, with %d packages of the mirror", time.Since(began).Seconds(), x.mirror.gave())
	if x.mirror.gave() < 50 {
		t.Errorf("the mirror gave %d packages only", x.mirror.gave())
	}
	hash := x.first.says(from)

	store := x.store(t)
	x.ingot("os", "export", x.first.name, "--to", store.url+"web1", "--wait", "--timeout", "60m")
	t.Logf("exported: %v", store.sizes())
	x.lendBootSector(t)
	from = x.second.consoleLength()
	x.ingot("os", "import", x.second.name, "--from", store.url+"web1", "--hostname", "web1", "--wait", "--timeout", "60m")
	if other := x.second.says(from); other != hash {
		t.Errorf("root's password is %s on the first machine and %s on the second", hash, other)
	}
}

// debianLab is a lab with two machines that start by BIOS, a mirror, and a server that knows the definition.
type debianLab struct {
	*server
	first, second *installed
	mirror        *debMirror
}

func newDebian(t *testing.T) *debianLab {
	t.Helper()
	second := &lab.Machine{}
	net := startNetLabOf(t, func(l *lab.Lab) { second = l.Machines[1] }, func(c *lab.Config) {
		c.Name, c.Subnet, c.Firmware, c.MemoryMiB, c.Machines, c.DiskGiB = "debian", netip.MustParsePrefix("198.18.83.0/24"), lab.BIOS, debianMemory, 2, 3
	}, "deploy.erase_devices_priority=0", "os_install.startup_timeout=3600", "conductor.deploy_callback_timeout=3600")
	x := &debianLab{server: net.node.server, first: &installed{netLab: net, dir: t.TempDir()}}
	x.stop()
	buildDebian(t, x.server)
	x.start()
	other := x.enrolAs(t, "n2", reach{second.BMCURL, second.User, second.Password.Expose(), second.Fingerprint}, map[string]any{"automated_clean": false,
		"properties": map[string]any{"cpu_arch": "x86_64", "root_device": map[string]any{"name": "/dev/vda"}}})
	if _, err := x.CreatePort(t.Context(), map[string]any{"node_uuid": other.uuid(), "address": second.MACs[0]}); err != nil {
		t.Fatal(err)
	}
	x.second = &installed{netLab: &netLab{labNode: &labNode{node: other, machine: second}, host: net.host}, dir: t.TempDir()}
	x.mirror = mirrorDebian(t, net.host, "minbase", debianExtra...)
	dir := x.definition(t)
	x.ingot("os", "add", dir, "--name", "debootstrap")
	x.ingot("os", "trust", "debootstrap", "--dir", dir)
	for _, m := range []*installed{x.first, x.second} {
		for name, value := range map[string]string{"/boot_interface": "ipxe", "/deploy_interface": "os-install"} {
			m.set(name, value)
		}
		m.available(later)
	}
	return x
}

// definition is a copy of the package's, as an operator makes it: scripts as they are, with a variant, parameters of the operator's
// own, and what the scripts read of their host.
func (x *debianLab) definition(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "debootstrap")
	tool(t, "cp", "-aL", debianDefinition, dir)
	tool(t, "cp", "-a", "testdata/debianhost", filepath.Join(dir, "ramdisk"))
	list, err := os.OpenFile(filepath.Join(dir, "parameters.list"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = list.WriteString("greeting What the machine says\njoin-token What it joins its cluster with\nroot-password Of the user root\n")
	variant := fmt.Sprintf(debianVariant, x.mirror.url, x.mirror.suite, strings.Join(debianExtra, ","))
	at := filepath.Join(dir, "ramdisk/etc/ganeti/instance-debootstrap/variants")
	keys := filepath.Join(dir, "ramdisk/usr/share/keyrings")
	err = errors.Join(err, list.Close(), os.MkdirAll(at, 0o755), os.MkdirAll(keys, 0o755), os.WriteFile(filepath.Join(at, "lab.conf"), []byte(variant), 0o600),
		os.WriteFile(filepath.Join(keys, "lab.gpg"), x.mirror.keyring, 0o600), os.WriteFile(filepath.Join(dir, "variants.list"), []byte("lab\n"), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"create", "export", "import", "rename", "verify", "common.sh"} {
		tool(t, "cmp", filepath.Join(debianDefinition, name), filepath.Join(dir, name))
	}
	return dir
}

// lendBootSector gives the second machine the boot loader in front of the first one's partition: Debian's definition dumps and
// restores files, and an import runs no hooks.
func (x *debianLab) lendBootSector(t *testing.T) {
	t.Helper()
	front := make([]byte, mib)
	one, err := os.Open(x.first.machine.DiskPath)
	if err == nil {
		_, err = io.ReadFull(one, front)
		err = errors.Join(err, one.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	clear(front[440:512]) // the partition table is the import's own to make
	two, err := os.OpenFile(x.second.machine.DiskPath, os.O_WRONLY, 0)
	if err == nil {
		_, err = two.WriteAt(front, 0)
		err = errors.Join(err, two.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// debianSays is what the installed system says on its console; the last is the hash of root's password.
var debianSays = regexp.MustCompile(`(\[greeting:.*?)INGOT REPORT ENDS`)

// says waits until the installed system says what it has, looks at it, and gives the hash of root's password.
func (x *installed) says(from int) string {
	t := x.t
	t.Helper()
	x.sees(from, debianSays)
	said := debianSays.FindString(x.printed(from))
	t.Logf("%s says: %s", x.name, said)
	for _, want := range []string{"[greeting:" + greeting + "]", "[token:" + joinToken + "]", "[name:web1]"} {
		if !strings.Contains(said, want) {
			t.Errorf("%s does not say %s", x.name, want)
		}
	}
	hash := regexp.MustCompile(`\[root:(\$6\$([^$]*)\$[^\]]*)\]`).FindStringSubmatch(said)
	if hash == nil {
		t.Fatal("root has no password")
	}
	if want := strings.TrimSpace(tool(t, "openssl", "passwd", "-6", "-salt", hash[2], password)); want != hash[1] {
		t.Errorf("root's password is not the secret parameter: %s, want %s", hash[1], want)
	}
	x.rests(metal.Active, soon)
	return hash[1]
}

// exports is a folder that takes files by PUT.
type exports struct {
	url, dir string
	mu       sync.Mutex
}

func (x *debianLab) store(t *testing.T) *exports {
	t.Helper()
	e := &exports{dir: t.TempDir()}
	e.url = serveHandler(t, x.first.host, e)
	return e
}

func (e *exports) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	at := filepath.Join(e.dir, filepath.FromSlash(path.Clean("/"+r.URL.Path)))
	if r.Method != http.MethodPut {
		http.ServeFile(w, r, at)
		return
	}
	f, err := create(at)
	if err == nil {
		_, err = io.Copy(f, r.Body)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.WriteHeader(http.StatusCreated)
}

func create(at string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(at), 0o700); err != nil {
		return nil, err
	}
	return os.OpenFile(at, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
}

// sizes are the files that are there.
func (e *exports) sizes() string {
	var b bytes.Buffer
	_ = filepath.Walk(e.dir, func(at string, info os.FileInfo, err error) error {
		if err == nil && !info.IsDir() {
			fmt.Fprintf(&b, "%s %d ", filepath.Base(at), info.Size())
		}
		return err
	})
	return b.String()
}
