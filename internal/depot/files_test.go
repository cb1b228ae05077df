package depot

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"ingot/internal/fault"
	"ingot/internal/secret"
)

// shelf is a folder of images beside a folder that is nobody's business.
func shelf(t *testing.T) (images, private string) {
	t.Helper()
	base := t.TempDir()
	images, private = filepath.Join(base, "images"), filepath.Join(base, "private")
	for _, dir := range []string{images, private, filepath.Join(images, "sub"), images + "-not"} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for path, content := range map[string]string{
		filepath.Join(images, "a.raw"): "image a", filepath.Join(images, "sub", "b.raw"): "image b",
		filepath.Join(private, "secret"): "private", filepath.Join(images+"-not", "c.raw"): "beside",
	} {
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, target := range map[string]string{"out": filepath.Join(private, "secret"), "outdir": private,
		"in": filepath.Join(images, "a.raw"), "loop": filepath.Join(images, "loop")} {
		if err := os.Symlink(target, filepath.Join(images, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(images, "pipe"), 0o644); err != nil {
		t.Fatal(err)
	}
	return images, private
}

func TestTrapSymlinksBypassTheAllowList(t *testing.T) {
	images, private := shelf(t)
	s := newStand(t, Options{AllowedFileRoots: []string{images}})
	for path, want := range map[string]string{
		filepath.Join(images, "a.raw"):        "image a",
		filepath.Join(images, "sub", "b.raw"): "image b",
		filepath.Join(images, "in"):           "image a",
	} {
		address := s.offer(t, Offer{Path: path})
		if res, b := s.fetch(t, "GET", address, ""); res.StatusCode != 200 || string(b) != want {
			t.Errorf("%s: %s %q", path, res.Status, b)
		}
		if res, b := s.fetch(t, "GET", address, "bytes=0-4"); res.StatusCode != 206 || string(b) != "image" {
			t.Errorf("%s, range: %s %q", path, res.Status, b)
		}
		if strings.Contains(address, images) {
			t.Errorf("the address shows where the image is: %s", address)
		}
	}
	for path, want := range map[string]fault.Kind{
		filepath.Join(private, "secret"):            fault.Forbidden,
		filepath.Join(images, "out"):                fault.Forbidden,
		filepath.Join(images, "outdir", "secret"):   fault.Forbidden,
		images + "/../private/secret":               fault.Forbidden,
		images + "-not/c.raw":                       fault.Forbidden,
		filepath.Join(images, "sub"):                fault.Forbidden,
		images:                                      fault.Forbidden,
		filepath.Join(images, "pipe"):               fault.Forbidden,
		filepath.Join(images, "absent"):             fault.NotFound,
		filepath.Join(images, "loop"):               fault.NotFound,
		images + "/" + strings.Repeat("x", maxPath): fault.Invalid,
		images + "/a\x00.raw":                       fault.Invalid,
	} {
		if _, err := s.Offer(Offer{Path: path, Expires: time.Now().Add(time.Hour)}); fault.KindOf(err) != want {
			t.Errorf("%s: %v, want %v", path, err, want)
		}
	}
}

func TestServersOwnFilesAreNeverServed(t *testing.T) {
	d, err := New(t.TempDir(), Options{Key: testKey, AllowedFileRoots: []string{"/"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/etc/hostname", "/proc/self/environ", "/dev/null", "/sys/kernel/uevent_seqnum"} {
		if _, err := d.Offer(Offer{Path: path, Expires: time.Now().Add(time.Hour)}); fault.KindOf(err) != fault.Forbidden {
			t.Errorf("%s: %v, want forbidden", path, err)
		}
	}
}

func TestLocalImageIsCheckedWhenServed(t *testing.T) {
	images, private := shelf(t)
	s := newStand(t, Options{AllowedFileRoots: []string{images}})
	path := filepath.Join(images, "a.raw")
	address := s.offer(t, Offer{Path: path})
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if res, _ := s.fetch(t, "GET", address, ""); res.StatusCode != 404 {
		t.Errorf("gone since the offer: %s", res.Status)
	}
	if err := os.Symlink(filepath.Join(private, "secret"), path); err != nil {
		t.Fatal(err)
	}
	if res, b := s.fetch(t, "GET", address, ""); res.StatusCode != 403 || strings.Contains(string(b), "private") {
		t.Errorf("a link out since the offer: %s %q", res.Status, b)
	}
	s.open(t, Options{Key: testKey})
	if res, _ := s.fetch(t, "GET", address, ""); res.StatusCode != 403 {
		t.Errorf("no longer allowed by the configuration: %s", res.Status)
	}
}

func TestFileAddressCannotBeChanged(t *testing.T) {
	images, _ := shelf(t)
	s := newStand(t, Options{AllowedFileRoots: []string{images}})
	a := strings.Split(s.offer(t, Offer{Path: filepath.Join(images, "a.raw"), MaxFetches: 1}), "/")
	b := strings.Split(s.offer(t, Offer{Path: filepath.Join(images, "sub", "b.raw"), MaxFetches: 1}), "/")
	for i := 2; i < 6; i++ { // id, terms, signature, name
		c := append([]string{}, a...)
		if c[i] == b[i] {
			continue // the same terms
		}
		c[i] = b[i]
		if res, body := s.fetch(t, "GET", strings.Join(c, "/"), ""); res.StatusCode != 403 {
			t.Errorf("part %d of another address: %s %q", i, res.Status, body)
		}
	}
	if _, err := s.signer.find("AAAA"); err == nil {
		t.Error("a short id must not open")
	}
}

func TestCheckReachable(t *testing.T) {
	s := newStand(t, Options{})
	ctx := context.Background()
	if err := CheckReachable(ctx, s.url+"/"); err != nil {
		t.Errorf("our own listener: %v", err)
	}
	if err := s.CheckReachable(ctx, s.url); err != nil {
		t.Errorf("our own listener, known by its key: %v", err)
	}
	other, err := New(t.TempDir(), Options{Key: secret.New(strings.Repeat("o", MinKeyLength))})
	if err != nil {
		t.Fatal(err)
	}
	if err := other.CheckReachable(ctx, s.url); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("another server's listener: %v", err)
	}
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("hello")) }))
	defer page.Close()
	away := httptest.NewServer(http.RedirectHandler(s.url+"/healthz", http.StatusFound))
	defer away.Close()
	closed := httptest.NewServer(nil)
	closed.Close()
	for url, want := range map[string]fault.Kind{page.URL: fault.Unavailable, away.URL: fault.Unavailable, closed.URL: fault.Unavailable,
		"ftp://192.0.2.1": fault.Invalid, "http://": fault.Invalid, "nonsense": fault.Invalid} {
		if err := CheckReachable(ctx, url); fault.KindOf(err) != want {
			t.Errorf("%s: %v, want %v", url, err, want)
		}
	}
	withPassword := strings.Replace(closed.URL, "http://", "http://u:hunter2@", 1)
	if err := CheckReachable(ctx, withPassword); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("the error must not show the password: %v", err)
	}
}
