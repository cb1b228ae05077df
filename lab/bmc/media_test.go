package bmc

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	insertPath = MediaPath + "/Actions/VirtualMedia.InsertMedia"
	ejectPath  = MediaPath + "/Actions/VirtualMedia.EjectMedia"
)

// imageServer serves /ok.iso, /big.iso (over 1 KiB), /empty.iso and /short.iso, which breaks off.
func imageServer(t *testing.T) *httptest.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("/ok.iso", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("an image")) })
	mux.HandleFunc("/big.iso", func(w http.ResponseWriter, _ *http.Request) { w.Write(make([]byte, 4096)) })
	mux.HandleFunc("/empty.iso", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/short.iso", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		w.Write([]byte("half"))
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

func TestMediaIsFetchedAndSeenByTheMachine(t *testing.T) {
	dir, images := t.TempDir(), imageServer(t)
	leftover := filepath.Join(dir, "cd7.iso")
	if err := os.WriteFile(leftover, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r := newRig(t, func(c *Config) { c.MediaDir, c.MediaLimit = dir, 1024 })
	if _, err := os.Stat(leftover); err == nil {
		t.Error("what an earlier BMC left is still there")
	}
	url := images.URL + "/ok.iso?token=t0psecret"
	r.do("POST", insertPath, map[string]any{"Image": url, "Inserted": true, "WriteProtected": true}, 204)
	_, d := r.do("GET", MediaPath, nil, 200)
	if d["Image"] != url || d["Inserted"] != true || d["ImageName"] != "ok.iso" || d["ConnectedVia"] != "URI" {
		t.Errorf("drive %v", d)
	}
	r.do("POST", insertPath, map[string]any{"Image": url}, 409) // must be ejected first
	r.resetTo("On", 204)
	file := r.machine.Boots()[0].Media
	if got, err := os.ReadFile(file); err != nil || string(got) != "an image" {
		t.Errorf("the machine was given %q: %q, %v", file, got, err)
	}
	r.do("POST", ejectPath, nil, 204)
	r.do("POST", ejectPath, map[string]any{}, 204) // an empty drive is fine
	if r.machine.Media() != "" {
		t.Error("the running machine still has the media")
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("files are left after eject: %v", left)
	}
	if c := r.bmc.Counters(); c["InsertMedia"] != 2 || c["EjectMedia"] != 2 {
		t.Errorf("counters %v", c)
	}
}

func TestMediaThatCannotBeRead(t *testing.T) {
	dir, images := t.TempDir(), imageServer(t)
	r := newRig(t, func(c *Config) { c.MediaDir, c.MediaLimit = dir, 1024 })
	gone := httptest.NewServer(nil)
	gone.Close()
	for _, url := range []string{images.URL + "/big.iso", images.URL + "/empty.iso", images.URL + "/short.iso",
		images.URL + "/missing.iso?token=t0psecret", gone.URL + "/x.iso?token=t0psecret", "ftp://host/x.iso", "/x.iso", "http://"} {
		_, d := r.do("POST", insertPath, map[string]any{"Image": url}, 400)
		if msg := d["error"].(map[string]any)["message"].(string); strings.Contains(msg, "t0psecret") {
			t.Errorf("%s: the answer shows the query: %s", url, msg)
		}
		if _, d := r.do("GET", MediaPath, nil, 200); d["Inserted"] != false {
			t.Errorf("%s: the drive is not empty", url)
		}
	}
	r.do("POST", insertPath, map[string]any{}, 400)
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("files are left: %v", left)
	}
}

func TestMediaByPatch(t *testing.T) {
	r := newRig(t) // without MediaDir: only recorded
	if err := r.bmc.SetFaults(Fault{Name: PatchOnly}); err != nil {
		t.Fatal(err)
	}
	_, d := r.do("GET", MediaPath, nil, 200)
	if d["Actions"] != nil {
		t.Errorf("the drive has actions: %v", d["Actions"])
	}
	r.do("POST", insertPath, map[string]any{"Image": "http://x/y.iso"}, 404)
	r.do("PATCH", MediaPath, map[string]any{"Image": "http://x/y.iso", "Inserted": true}, 204)
	r.resetTo("On", 204)
	if got := r.machine.Boots()[0].Media; got != "http://x/y.iso" {
		t.Errorf("the machine was given %q", got)
	}
	r.do("PATCH", MediaPath, map[string]any{"Image": nil}, 204)
	if _, d = r.do("GET", MediaPath, nil, 200); d["Image"] != nil || d["Inserted"] != false {
		t.Errorf("drive after eject: %v", d)
	}
}
