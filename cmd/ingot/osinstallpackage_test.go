package main

import (
	"archive/tar"
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"ingot/internal/image"
	"ingot/internal/image/imagetest"
)

// mounts tells whether a package can be laid over what is on a disk that is a file: by a loop device, which root can make.
func mounts() bool { return os.Getenv("INGOT_LAB") != "" && os.Geteuid() == 0 }

// The system on a mountable image.
const (
	systemAt    = 4096 * 512 // bytes from the disk's beginning
	systemBytes = 16 << 20
)

// mountable is an image with a small system on an ext4.
func mountable(t *testing.T) []byte {
	t.Helper()
	tree, file := t.TempDir(), filepath.Join(t.TempDir(), "root")
	err := errors.Join(os.MkdirAll(filepath.Join(tree, "etc"), 0o755), os.WriteFile(filepath.Join(tree, "etc/os-release"), []byte("ID=doomed\n"), 0o600), os.WriteFile(filepath.Join(tree, "etc/fstab"), nil, 0o600))
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mke2fs", "-q", "-t", "ext4", "-d", tree, file, fmt.Sprint(systemBytes>>10, "k")).CombinedOutput(); err != nil { //nolint:gosec // numbers
		t.Fatalf("mke2fs: %v\n%s", err, out)
	}
	root, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 24<<20)
	imagetest.GPT(b, 512, imagetest.Part{Type: image.TypeESP, First: 2048, Last: systemAt/512 - 1, Name: "esp"},
		imagetest.Part{Type: image.TypeLinuxRoot, First: systemAt / 512, Last: (systemAt+systemBytes)/512 - 1, Name: "root"})
	copy(b[systemAt:], root)
	return b
}

// packageServer has an image for everybody, and a package for a user with a password.
type packageServer struct {
	*httptest.Server
	mu       sync.Mutex
	holds    chan struct{} // guarded by mu; nil: nobody is held
	holding  bool          // guarded by mu: half of the package is on its way
	contents []byte
}

// packageBytes is how large the package's one large file is: it does not fit into what a connection takes by itself.
const packageBytes = 4 << 20

func newPackageServer(t *testing.T, disk []byte) *packageServer {
	t.Helper()
	random := make([]byte, packageBytes)
	_, _ = rand.Read(random)
	s := &packageServer{contents: gzipped(t, aTar(t, "etc/motd", "by the package", "srv/large", string(random)))}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		switch {
		case r.URL.Path == "/disk.raw":
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(disk))
		case user == doomedUser && password == doomedPassword:
			s.give(w, r)
		default:
			http.Error(w, fmt.Sprint("refused: ", r.Header), http.StatusUnauthorized)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

// give sends the package, the second half of it when nobody is held any more.
func (s *packageServer) give(w http.ResponseWriter, r *http.Request) {
	half := len(s.contents) / 2
	w.Header().Set("Content-Length", fmt.Sprint(len(s.contents)))
	if _, err := w.Write(s.contents[:half]); err != nil {
		return
	}
	s.mu.Lock()
	until := s.holds
	s.holding = until != nil
	s.mu.Unlock()
	if until != nil {
		select {
		case <-until:
		case <-r.Context().Done():
		}
	}
	_, _ = w.Write(s.contents[half:]) // whoever is gone asks again, or not
}

// hold keeps the second half back until the func that is given is called.
func (s *packageServer) hold() (release func()) {
	until := make(chan struct{})
	s.mu.Lock()
	s.holds, s.holding = until, false
	s.mu.Unlock()
	return sync.OnceFunc(func() {
		s.mu.Lock()
		s.holds = nil
		s.mu.Unlock()
		close(until)
	})
}

func (s *packageServer) held() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.holding
}

// aTar is a tar file with some files in it: names and what is in them.
func aTar(t *testing.T, files ...string) string {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for i := 0; i < len(files); i += 2 {
		err := w.WriteHeader(&tar.Header{Name: files[i], Mode: 0o644, Size: int64(len(files[i+1]))})
		if err == nil {
			_, err = w.Write([]byte(files[i+1]))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// hasPackage sees that what the package brought is on the machine's disk, whole, and that no loop device is left of it.
func (d *doomed) hasPackage(when string) {
	t := d.test
	t.Helper()
	disk := filepath.Join(d.machine.root, "dev/vda")
	if out, err := exec.Command("losetup", "--associated", disk).Output(); err != nil || len(out) > 0 {
		t.Errorf("%s: a loop device is left: %s, %v", when, out, err)
	}
	f, err := os.Open(disk)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	system := make([]byte, systemBytes)
	if _, err := f.ReadAt(system, systemAt); err != nil {
		t.Fatal(err)
	}
	at := filepath.Join(t.TempDir(), "system")
	if err := os.WriteFile(at, system, 0o600); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(at)
	for _, c := range []struct{ ask, says string }{{"cat /etc/motd", "by the package"}, {"stat /srv/large", fmt.Sprint("Size: ", packageBytes)}} {
		out, err := exec.Command("debugfs", "-R", c.ask, at).Output() //nolint:gosec // of this test
		if err != nil || !strings.Contains(string(out), c.says) {
			t.Errorf("%s: on the disk %s says %q, %v", when, c.ask, out, err)
		}
	}
}
