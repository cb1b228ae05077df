package e2e

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// debMirror serves packages of Debian as an operator's own mirror does: few of them, with an index that the operator signed.
type debMirror struct {
	url     string // without a slash at its end
	suite   string
	keyring []byte // what the signature is verified with

	index    map[string]debPackage // by name: all that this host's apt knows
	byFile   map[string]debPackage // by path below the mirror's root
	packages []byte                // what the mirror gives of the index
	release  []byte                // and of its signed beginning

	mu     sync.Mutex
	served int // how many packages
}

// debPackage is a stanza of the index.
type debPackage struct {
	name, version, file, sha256 string
	stanza                      []byte
}

// mirrorDebian makes a mirror that machines reach at host, with what debootstrap needs for a system of a variant ("minbase", or
// "" for its default) and more packages. They are fetched by this host's apt once, and kept in the user's cache directory.
func mirrorDebian(t *testing.T, host, variant string, include ...string) *debMirror {
	t.Helper()
	m := &debMirror{index: map[string]debPackage{}, byFile: map[string]debPackage{}}
	m.readIndex(t)
	m.url = serveHandler(t, host, m) + "debian"
	args := []string{"--print-debs", "--arch=amd64", "--include=" + strings.Join(include, ",")}
	if variant != "" {
		args = append(args, "--variant="+variant)
	}
	names := strings.Fields(string(toolOutput(t, "debootstrap", append(args, m.suite, filepath.Join(t.TempDir(), "target"), m.url)...)))
	if len(names) < 50 {
		t.Fatalf("debootstrap wants only %v", names)
	}
	m.fetch(t, names)
	m.narrow(t, names)
	return m
}

// narrow makes the index one of a few packages: debootstrap reads it again and again, in an emulated machine.
func (m *debMirror) narrow(t *testing.T, names []string) {
	t.Helper()
	var packages bytes.Buffer
	for _, name := range names {
		packages.Write(m.index[name].stanza)
		packages.WriteString("\n\n")
	}
	m.packages = packages.Bytes()
	home := t.TempDir()
	gpg := func(in []byte, args ...string) []byte {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "gpg", append([]string{"--homedir", home, "--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", ""}, args...)...)
		var out, said bytes.Buffer
		cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(in), &out, &said
		if err := cmd.Run(); err != nil {
			t.Fatalf("gpg %s: %v\n%s", strings.Join(args, " "), err, &said)
		}
		return out.Bytes()
	}
	t.Cleanup(func() {
		if out, err := exec.Command("gpgconf", "--homedir", home, "--kill", "all").CombinedOutput(); err != nil {
			t.Errorf("gpgconf: %v\n%s", err, out)
		}
	})
	gpg(nil, "--quick-generate-key", "The lab's mirror", "ed25519", "sign", "never")
	m.keyring = gpg(nil, "--export")
	m.release = gpg(fmt.Appendf(nil, "Origin: Lab\nSuite: %[1]s\nCodename: %[1]s\nComponents: main\nArchitectures: amd64\nSHA256:\n %[3]s %[4]d main/binary-amd64/Packages\nDate: %[2]s\n",
		m.suite, time.Now().UTC().Format(time.RFC1123), sum(m.packages), len(m.packages)), "--clearsign")
}

// readIndex takes the index of this host's Debian from its apt.
func (m *debMirror) readIndex(t *testing.T) {
	t.Helper()
	release, err := os.ReadFile("/etc/os-release")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(release)) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "VERSION_CODENAME="); ok {
			m.suite = strings.Trim(name, `"`)
		}
	}
	const suffix = "_main_binary-amd64_Packages"
	file := ""
	for line := range strings.Lines(string(toolOutput(t, "apt-get", "indextargets", "--format", "$(CODENAME) $(COMPONENT) $(ARCHITECTURE) $(ORIGIN) $(FILENAME)", "Created-By: Packages"))) {
		f := strings.Fields(line)
		if len(f) == 5 && f[0] == m.suite && f[1] == "main" && f[2] == "amd64" && f[3] == "Debian" && strings.Contains(f[4], suffix) {
			file = f[4]
		}
	}
	if file == "" {
		t.Skipf("skipped: this host's apt has no index of Debian %s", m.suite)
	}
	m.packages = toolOutput(t, "/usr/lib/apt/apt-helper", "cat-file", file)
	if m.release, err = os.ReadFile(file[:strings.LastIndex(file, suffix)] + "_InRelease"); err != nil {
		t.Fatal(err)
	}
	for stanza := range bytes.SplitSeq(m.packages, []byte("\n\n")) {
		p := debPackage{stanza: stanza}
		for line := range bytes.Lines(stanza) {
			key, value, _ := strings.Cut(strings.TrimSpace(string(line)), ": ")
			switch key {
			case "Package":
				p.name = value
			case "Version":
				p.version = value
			case "Filename":
				p.file = value
			case "SHA256":
				p.sha256 = value
			}
		}
		if p.name != "" && p.file != "" {
			m.index[p.name], m.byFile[p.file] = p, p
		}
	}
}

// fetch has apt fetch packages that are not there yet.
func (m *debMirror) fetch(t *testing.T, names []string) {
	t.Helper()
	building.Lock()
	defer building.Unlock()
	dir := debCache()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	var missing []string
	for _, name := range names {
		p, ok := m.index[name]
		if !ok {
			t.Fatalf("%s is not in the index", name)
		}
		if _, err := os.Stat(filepath.Join(dir, p.sha256)); err != nil {
			missing = append(missing, name+"="+p.version)
		}
	}
	if len(missing) == 0 {
		return
	}
	t.Logf("fetching %d packages", len(missing))
	scratch, err := os.MkdirTemp(dir, "new-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(scratch)
	cmd := exec.CommandContext(t.Context(), "apt-get", append([]string{"-q", "download"}, missing...)...)
	cmd.Dir = scratch
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("apt-get download: %v\n%s", err, out)
	}
	files, err := filepath.Glob(filepath.Join(scratch, "*.deb"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err == nil {
			err = os.Rename(f, filepath.Join(dir, sum(data)))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func debCache() string { return filepath.Join(filepath.Dir(ramdiskCache()), "debs") }

func (m *debMirror) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	at, ok := strings.CutPrefix(r.URL.Path, "/debian/")
	switch {
	case !ok:
	case at == "dists/"+m.suite+"/InRelease":
		_, _ = w.Write(m.release)
		return
	case at == "dists/"+m.suite+"/main/binary-amd64/Packages":
		_, _ = w.Write(m.packages)
		return
	case m.byFile[path.Clean(at)].sha256 != "":
		m.mu.Lock()
		m.served++
		m.mu.Unlock()
		http.ServeFile(w, r, filepath.Join(debCache(), m.byFile[path.Clean(at)].sha256))
		return
	}
	http.NotFound(w, r)
}

// gave is how many packages were fetched from it.
func (m *debMirror) gave() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.served
}

// toolOutput is what a program prints.
func toolOutput(t *testing.T, name string, args ...string) []byte {
	t.Helper()
	var out, said bytes.Buffer
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, &said)
	}
	return out.Bytes()
}
