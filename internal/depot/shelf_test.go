package depot

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ingot/internal/fault"
)

func shelfFile(n int, content string) Pushed {
	sum := sha256.Sum256([]byte(content))
	return Pushed{Name: strings.Repeat(string(rune('a'+n)), 40), Size: int64(len(content)), SHA256: hex.EncodeToString(sum[:]), Expires: time.Now().Add(time.Hour)}
}

func newShelf(t *testing.T, dir string, o ShelfOptions) *Shelf {
	t.Helper()
	s, err := OpenShelf(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *Shelf) put(t *testing.T, f Pushed, content string) {
	t.Helper()
	if err := s.Put(t.Context(), f, strings.NewReader(content)); err != nil {
		t.Fatal(err)
	}
}

func shelfGet(t *testing.T, s *Shelf, path, part string) (int, string) {
	t.Helper()
	h := httptest.NewServer(s.Handler())
	defer h.Close()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, h.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if part != "" {
		req.Header.Set("Range", part)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

func TestShelfServesWhatWasPut(t *testing.T) {
	dir := t.TempDir()
	s := newShelf(t, dir, ShelfOptions{})
	f := shelfFile(0, "what a machine boots")
	s.put(t, f, "what a machine boots")
	s.put(t, f, "") // it is there: nothing is read
	at := PushedPath(f.Name, "boot.iso")
	if code, body := shelfGet(t, s, at, ""); code != 200 || body != "what a machine boots" {
		t.Errorf("%d %q", code, body)
	}
	if code, body := shelfGet(t, s, at, "bytes=7-13"); code != 206 || body != "machine" {
		t.Errorf("a range: %d %q", code, body)
	}
	for _, path := range []string{"/", "/pushed/", "/pushed/" + f.Name, "/pushed/" + f.Name[:39] + "/boot.iso", "/pushed/..%2f" + f.Name + "/x", "/pushed/" + f.Name + ".data/x"} {
		if code, body := shelfGet(t, s, path, ""); code == 200 || strings.Contains(body, f.Name) {
			t.Errorf("%s: %d %q", path, code, body)
		}
	}
	g := shelfFile(0, "another")
	s.put(t, g, "another")
	if _, body := shelfGet(t, s, at, ""); body != "another" {
		t.Errorf("replaced: %q", body)
	}
	if all, err := s.List(); err != nil || len(all) != 1 || all[0].SHA256 != g.SHA256 {
		t.Errorf("listed: %+v, %v", all, err)
	}
	for range 2 { // the second finds nothing
		if err := s.Remove(f.Name); err != nil {
			t.Fatal(err)
		}
	}
	if code, _ := shelfGet(t, s, at, ""); code != 404 {
		t.Errorf("removed: %d", code)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

func TestShelfRefuses(t *testing.T) {
	dir := t.TempDir()
	s := newShelf(t, dir, ShelfOptions{MaxFile: 100, Quota: 150, MaxFiles: 2, MaxLife: 2 * time.Hour})
	big := strings.Repeat("x", 101)
	with := func(change func(*Pushed)) Pushed {
		f := shelfFile(1, "content")
		change(&f)
		return f
	}
	for name, c := range map[string]struct {
		f    Pushed
		body string
		kind fault.Kind
	}{
		"a name that leads elsewhere": {with(func(f *Pushed) { f.Name = "../" + f.Name }), "content", fault.Invalid},
		"a name with a dot":           {with(func(f *Pushed) { f.Name += ".data" }), "content", fault.Invalid},
		"a name that is a guess":      {with(func(f *Pushed) { f.Name = "boot" }), "content", fault.Invalid},
		"no checksum":                 {with(func(f *Pushed) { f.SHA256 = "" }), "content", fault.Invalid},
		"another checksum":            {with(func(f *Pushed) { f.SHA256 = strings.Repeat("0", 64) }), "content", fault.Invalid},
		"too few bytes":               {with(func(*Pushed) {}), "conten", fault.Invalid},
		"too many bytes":              {with(func(*Pushed) {}), "contents", fault.Invalid},
		"a size below nothing":        {with(func(f *Pushed) { f.Size = -1 }), "", fault.Invalid},
		"it has expired":              {with(func(f *Pushed) { f.Expires = time.Now() }), "content", fault.Invalid},
		"it would stay too long":      {with(func(f *Pushed) { f.Expires = time.Now().Add(3 * time.Hour) }), "content", fault.Invalid},
		"too large":                   {shelfFile(1, big), big, fault.TooLarge},
	} {
		if err := s.Put(t.Context(), c.f, strings.NewReader(c.body)); fault.KindOf(err) != c.kind {
			t.Errorf("%s: %v", name, err)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	s.put(t, shelfFile(2, big[:90]), big[:90])
	if err := s.Put(t.Context(), shelfFile(3, big[:61]), strings.NewReader(big[:61])); fault.KindOf(err) != fault.TooLarge {
		t.Errorf("beyond the quota: %v", err)
	}
	s.put(t, shelfFile(3, "small"), "small")
	if err := s.Put(t.Context(), shelfFile(4, "one more"), strings.NewReader("one more")); fault.KindOf(err) != fault.TooLarge {
		t.Errorf("beyond the number: %v", err)
	}
}

// slowBody stands still in the middle until it is let go.
type slowBody struct{ begun, goOn chan struct{} }

func (b slowBody) Read(p []byte) (int, error) {
	close(b.begun)
	<-b.goOn
	return copy(p, "content"), io.EOF
}

func TestShelfCountsWhatIsUnderWay(t *testing.T) {
	s := newShelf(t, t.TempDir(), ShelfOptions{Quota: 10})
	slow := slowBody{make(chan struct{}), make(chan struct{})}
	ended := make(chan error, 1)
	go func() { ended <- s.Put(t.Context(), shelfFile(0, "content"), slow) }()
	<-slow.begun
	if err := s.Put(t.Context(), shelfFile(0, "content"), strings.NewReader("content")); fault.KindOf(err) != fault.Conflict {
		t.Errorf("the same name at once: %v", err)
	}
	if err := s.Put(t.Context(), shelfFile(1, "content"), strings.NewReader("content")); fault.KindOf(err) != fault.TooLarge {
		t.Errorf("beyond the quota with what is under way: %v", err)
	}
	close(slow.goOn)
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestShelfSurvivesARestart(t *testing.T) {
	dir := t.TempDir()
	s := newShelf(t, dir, ShelfOptions{})
	kept, short := shelfFile(0, "kept"), shelfFile(1, "cut short")
	s.put(t, kept, "kept")
	s.put(t, short, "cut short")
	damage := map[string]string{short.Name + shelfData: "cut", // another size than was said
		strings.Repeat("p", 40) + shelfPart: "half an upload", kept.Name + shelfPart: "half a newer one",
		strings.Repeat("d", 40) + shelfData: "killed before its note", kept.Name + shelfNote + shelfPart: "{", strings.Repeat("n", 40) + shelfNote: "{}"}
	for name, content := range damage {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s = newShelf(t, dir, ShelfOptions{})
	if all, err := s.List(); err != nil || len(all) != 1 || all[0].Name != kept.Name || !all[0].Expires.Equal(kept.Expires) {
		t.Errorf("after a restart: %+v, %v", all, err)
	}
	if code, body := shelfGet(t, s, PushedPath(kept.Name, "x"), ""); code != 200 || body != "kept" {
		t.Errorf("%d %q", code, body)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 2 {
		t.Errorf("left: %v, %v", left, err)
	}
}

func TestShelfForgetsWhatExpired(t *testing.T) {
	dir := t.TempDir()
	s := newShelf(t, dir, ShelfOptions{Quota: 10})
	f := shelfFile(0, "content")
	s.put(t, f, "content")
	s.now = func() time.Time { return f.Expires }
	if code, _ := shelfGet(t, s, PushedPath(f.Name, "x"), ""); code != 404 {
		t.Errorf("expired, and not yet removed: %d", code)
	}
	g := shelfFile(1, "content")
	g.Expires = f.Expires.Add(time.Hour)
	s.put(t, g, "content") // there is room again
	if all, err := s.List(); err != nil || len(all) != 1 || all[0].Name != g.Name {
		t.Errorf("listed: %+v, %v", all, err)
	}
}

func FuzzShelfNote(f *testing.F) {
	f.Add([]byte(`{"name":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","size":1,"sha256":"","expires":"2030-01-01T00:00:00Z"}`))
	f.Add([]byte(`{"size":-1}`))
	f.Fuzz(func(t *testing.T, note []byte) {
		dir, name := t.TempDir(), strings.Repeat("a", 40)
		for ext, b := range map[string][]byte{shelfNote: note, shelfData: []byte("x")} {
			if err := os.WriteFile(filepath.Join(dir, name+ext), b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		s := newShelf(t, dir, ShelfOptions{})
		all, err := s.List()
		if err != nil || len(all) > 1 || len(all) == 1 && (all[0].Name != name || all[0].Size != 1) {
			t.Errorf("%q gave %+v, %v", note, all, err)
		}
		if bytes.Contains(note, []byte("expires")) {
			return
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
			t.Errorf("%q left %v, %v", note, left, err)
		}
	})
}
