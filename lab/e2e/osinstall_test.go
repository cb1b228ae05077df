package e2e

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"ingot/internal/client"
	"ingot/internal/image"
	"ingot/internal/image/imagetest"
	"ingot/internal/metal"
	"ingot/internal/wire"
	"ingot/lab"
)

// installMemory is what a machine has that is installed by an OS definition: the Debian ramdisk, and the scripts.
const installMemory = 1024

// What the definition of the tests is given, a value of each class.
const (
	greeting  = `Hello, "all of you" = 1`
	joinToken = "canary-private-4711"
	password  = "canary-secret-0815"
)

// TestREQ18And31ADefinitionOfOurs installs a machine from an image, an untrusted definition's script and a personalization package,
// and then again: what firmware starts from the disk shows what each of them left there. The second time the parameter that was
// secret is needed anew, the machine's agent is only polled, and nothing of the first run is left in the ramdisk.
func TestREQ18And31ADefinitionOfOurs(t *testing.T) {
	labOnly(t)
	x := newInstalled(t)
	from := x.consoleLength()
	said := x.ingot("node", "deploy", x.name, "--image", x.images.url+"good", "--checksum", sum(x.images.good), "--os", "ours",
		"--os-parameter", "greeting="+greeting, "--os-private", "join-token="+x.file("token", joinToken), "--os-secret", "root-password="+x.file("password", password),
		"--package", x.images.url+"package.tar.gz", "--package-user", "lab", "--package-password-file", x.file("package", packagePassword),
		"--wait", "--timeout", "12m")
	t.Logf("ingot node deploy says:\n%s", said)
	first := x.shows(from, 0)

	before := x.asked()
	refused, err := x.tries("node", "rebuild", x.name)
	if err == nil || !contains(refused, "root-password") || contains(refused, password) {
		t.Errorf("a rebuild without what was secret: %v, %s", err, refused)
	}
	if did := since(before, x.asked()); len(did) > 0 {
		t.Errorf("a rebuild that was refused did %v", did)
	}
	x.rests(metal.Active, soon)

	// The machine is on, and its agent will call nobody.
	x.set("/driver_info/poll_only", true)
	from = x.consoleLength()
	x.ingot("node", "rebuild", x.name, "--os-secret", "root-password="+x.file("password", password), "--package-user", "lab",
		"--package-password-file", x.file("package", packagePassword), "--wait", "--timeout", "12m")
	if second := x.shows(from, 1); second == first {
		t.Errorf("both runs were in one boot, %s", first)
	}
	log, err := os.ReadFile(x.log)
	if err != nil || contains(string(log), joinToken) || contains(string(log), password) || contains(string(log), packagePassword) {
		t.Errorf("the server's log has what it must not have (%v)", err)
	}
}

// installed is a lab with a machine, a server that installs it, and what it is installed from.
type installed struct {
	*netLab
	dir string // files that commands read
}

// newInstalled makes one, with the definition added and the node available.
func newInstalled(t *testing.T) *installed {
	t.Helper()
	c := lab.Defaults()
	c.Name, c.Dir, c.DiskGiB, c.MemoryMiB, c.Program = "osinst", t.TempDir(), 1, installMemory, program(t, "ingot")
	c.Subnet = netip.MustParsePrefix("198.18.84.0/24")
	l := upLab(t, c)
	m, host := l.Machines[0], l.HostAddress.String()
	s, _ := bootHostAt(t, host, func(s *server) { buildDebian(t, s) }, "deploy.erase_devices_priority=0", "os_install.startup_timeout=1800")
	networks, err := m.NetworkData()
	if err != nil {
		t.Fatal(err)
	}
	n := s.enrol(t, reach{m.BMCURL, m.User, m.Password.Expose(), m.Fingerprint}, map[string]any{"network_data": networks, "deploy_interface": "os-install",
		"automated_clean": false, "properties": map[string]any{"cpu_arch": "x86_64", "root_device": map[string]any{"name": "/dev/vda"}}})
	x := &installed{netLab: &netLab{labNode: &labNode{node: n, machine: m}, host: host}, dir: t.TempDir()}
	if _, err := s.CreatePort(t.Context(), map[string]any{"node_uuid": n.uuid(), "address": m.MACs[0]}); err != nil {
		t.Fatal(err)
	}
	x.raw = reporting(t)
	x.images = serveImages(t, host, packed(t, x.raw), 0)
	x.images.mux.HandleFunc("GET /package.tar.gz", personal(t))
	x.ingot("os", "add", "testdata/osdefinition", "--name", "ours")
	x.available(later)
	return x
}

// file gives the path of a file with a value.
func (x *installed) file(name, value string) string {
	x.t.Helper()
	at := filepath.Join(x.dir, name)
	if err := os.WriteFile(at, []byte(value), 0o600); err != nil {
		x.t.Fatal(err)
	}
	return at
}

// tries runs a command that may fail, and gives all that it says.
func (s *server) tries(args ...string) (string, error) {
	cmd := exec.CommandContext(s.t.Context(), program(s.t, "ingot"), args...)
	cmd.Env = append(os.Environ(), "INGOT_ENDPOINT=http://"+s.api)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (x *installed) set(path string, value any) {
	x.t.Helper()
	x.ingot("node", "set", x.name, "--maintenance", "on")
	if _, err := x.UpdateNode(x.t.Context(), x.name, []wire.PatchOp{client.Set(path, value)}, false); err != nil {
		x.t.Fatal(err)
	}
	x.ingot("node", "set", x.name, "--maintenance", "off")
}

// reportEnd is the last that the disk says.
var reportEnd = regexp.MustCompile(`(INGOT REPORT ENDS)`)

// shows waits until the disk was started and has said all, looks at it, and gives the boot in which the script ran.
func (x *installed) shows(from, reinstall int) string {
	t := x.t
	t.Helper()
	x.sees(from, reportEnd)
	said := x.printed(from)
	said = said[strings.Index(said, startedFromDisk):]
	t.Logf("the disk says: %s", said)
	secret := sha256.Sum256([]byte(password))
	for _, want := range []string{"[image:written]", "[motd:the package's]", "[package:laid over]", "[greeting:" + greeting + "]", "[token:" + joinToken + "]", "[password:" + hex.EncodeToString(secret[:])[:16] + "]",
		"[fresh:yes]", fmt.Sprintf("[reinstall:%d]", reinstall)} {
		if !strings.Contains(said, want) {
			t.Errorf("the disk does not say %s", want)
		}
	}
	boot := regexp.MustCompile(`\[boot:([0-9a-f]{8})\]`).FindStringSubmatch(said)
	if boot == nil {
		t.Fatal("the disk does not say in which boot the script ran")
	}
	return boot[1]
}

// reporting is an image whose GRUB says what is in files of its root file system, which are those of the image, of a script and of
// a package.
func reporting(t *testing.T) []byte {
	t.Helper()
	const rootStart, rootSize = 2048 + espSize/512, 48 * mib
	tree := t.TempDir()
	for name, text := range map[string]string{"etc/os-release": "NAME=Reporting\n", "etc/fstab": "", "etc/motd": "[motd:the image's]\n",
		"etc/lab/image": "[image:written]\n", "etc/lab/script": "[script:never ran]\n"} {
		at := filepath.Join(tree, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(at), 0o755), os.WriteFile(at, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(t.TempDir(), "root")
	tool(t, "mke2fs", "-q", "-t", "ext4", "-E", "root_owner=0:0", "-d", tree, file, fmt.Sprintf("%dk", rootSize>>10))
	root, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 2*mib+espSize+rootSize)
	imagetest.GPT(b, 512, imagetest.Part{Type: image.TypeESP, First: 2048, Last: rootStart - 1, Name: "esp"},
		imagetest.Part{Type: image.TypeLinuxRoot, First: rootStart, Last: rootStart + rootSize/512 - 1, Name: "root"})
	copy(b[mib:], espWith(t, debianShim, "echo \""+startedFromDisk+"\"\nsearch --no-floppy --set=found --file /etc/lab/image\n"+
		"for f in image script package; do cat ($found)/etc/lab/$f; done\ncat ($found)/etc/motd\necho \"INGOT REPORT ENDS\"\nsleep 36000\n"))
	copy(b[rootStart*512:], root)
	return b
}

// packagePassword is asked for by who serves the personalization package.
const packagePassword = "canary-package-9"

// personal serves a personalization package to who has its credentials.
func personal(t *testing.T) http.HandlerFunc {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for name, text := range map[string]string{"etc/motd": "[motd:the package's]\n", "etc/lab/package": "[package:laid over]\n"} {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(text)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, text); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	return func(w http.ResponseWriter, r *http.Request) {
		if user, given, _ := r.BasicAuth(); user != "lab" || given != packagePassword {
			w.Header().Set("WWW-Authenticate", "Basic")
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		http.ServeContent(w, r, "package.tar.gz", time.Time{}, bytes.NewReader(b.Bytes()))
	}
}
