package depot

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"ingot/internal/agentapi"
	"ingot/internal/fault"
	"ingot/internal/secret"
)

const plantedToken = "token-planted-in-boot-json"

var testKey = secret.New(strings.Repeat("k", MinKeyLength))

// writeTemplate makes a ramdisk folder whose ISO is noise with the placeholders in it.
func writeTemplate(t testing.TB, dir string) []byte { return writeTemplateOf(t, dir, "") }

func writeTemplateOf(t testing.TB, dir, kind string) []byte {
	t.Helper()
	iso := make([]byte, 300<<10)
	if _, err := rand.Read(iso); err != nil {
		t.Fatal(err)
	}
	m := Manifest{Version: ManifestVersion, Kind: kind, Regions: Placeholders()}
	at := int64(2048)
	for i := range m.Regions {
		m.Regions[i].Offset = at
		copy(iso[at:], Placeholder(m.Regions[i]))
		at += m.Regions[i].Size + 4096
	}
	sum := sha256.Sum256(iso)
	m.Files = []File{{Name: ISOName, Size: int64(len(iso)), SHA256: hex.EncodeToString(sum[:])}}
	b, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	replace(t, filepath.Join(dir, ISOName), iso)
	replace(t, filepath.Join(dir, ManifestName), b)
	return iso
}

// replace puts a new file in the place of another, as a build does.
func replace(t testing.TB, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path+".new", b, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// boots is a conductor with one boot that is alive until it is ended.
type boots struct {
	mu    sync.Mutex
	asked int
	ended bool
}

func (b *boots) boot(_ context.Context, node, generation string) (agentapi.BootConfig, string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked++
	if b.ended || node != "n1" || generation != "7" {
		return agentapi.BootConfig{}, "", fault.New(fault.NotFound, "This boot is over.")
	}
	return agentapi.BootConfig{Version: 1, NodeUUID: node, AgentToken: plantedToken,
		Time: fmt.Sprintf("2026-01-02T03:04:%02dZ", b.asked%60)}, "nofb", nil
}

// stand is a depot behind a real server.
type stand struct {
	*Depot
	url   string
	dir   string
	boots *boots
	log   *bytes.Buffer
	close func() // stops the server and waits for its requests: before it, the log is theirs
}

func newStand(t *testing.T, o Options) *stand {
	t.Helper()
	s := &stand{dir: t.TempDir(), boots: &boots{}, log: &bytes.Buffer{}}
	writeTemplate(t, s.dir)
	if o.Key.Empty() {
		o.Key = testKey
	}
	o.Boot = s.boots.boot
	o.Log = slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s.open(t, o)
	return s
}

// open starts a depot over the stand's folder, as a restarted server would.
func (s *stand) open(t *testing.T, o Options) {
	t.Helper()
	d, err := New(s.dir, o)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(d.Handler())
	t.Cleanup(func() {
		server.Close()
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	s.Depot, s.url, s.close = d, server.URL, server.Close
}

func (s *stand) offer(t *testing.T, o Offer) string {
	t.Helper()
	if o.Expires.IsZero() {
		o.Expires = time.Now().Add(time.Hour)
	}
	if o.Path == "" && o.Node == "" {
		o.Node, o.Generation = "n1", "7"
	}
	path, err := s.Offer(o)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// fetch asks for a path; span is a Range header or "".
func (s *stand) fetch(t *testing.T, method, path, span string) (*http.Response, []byte) {
	t.Helper()
	req, err := http.NewRequest(method, s.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if span != "" {
		req.Header.Set("Range", span)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil && res.StatusCode < 300 {
		b = nil // cut off
	}
	return res, b
}

func TestBootISOIsServedWhole(t *testing.T) {
	s := newStand(t, Options{})
	path := s.offer(t, Offer{})
	res, b := s.fetch(t, "GET", path, "")
	if res.StatusCode != 200 || int64(len(b)) != mustISO(t, s.Depot).Size() {
		t.Fatalf("%s, %d bytes", res.Status, len(b))
	}
	var boot agentapi.BootConfig
	if err := json.Unmarshal(b[2048:2048+64<<10], &boot); err != nil || boot.AgentToken != plantedToken {
		t.Errorf("boot.json in the ISO: %+v, %v", boot, err)
	}
	head, none := s.fetch(t, "HEAD", path, "")
	if head.StatusCode != 200 || head.ContentLength != int64(len(b)) || len(none) != 0 {
		t.Errorf("HEAD: %s, length %d", head.Status, head.ContentLength)
	}
	part, got := s.fetch(t, "GET", path, "bytes=2000-70000")
	if part.StatusCode != 206 || !bytes.Equal(got, b[2000:70001]) {
		t.Errorf("range: %s, %d bytes, or other bytes than in the whole", part.Status, len(got))
	}
	if past, _ := s.fetch(t, "GET", path, "bytes=99999999-"); past.StatusCode != 416 {
		t.Errorf("a range past the end: %s", past.Status)
	}
}

func mustISO(t *testing.T, d *Depot) *BootISO {
	t.Helper()
	iso, err := d.BootISO(agentapi.RoleDeploy)
	if err != nil {
		t.Fatal(err)
	}
	return iso
}

func TestAddressSurvivesRestart(t *testing.T) {
	s := newStand(t, Options{})
	path := s.offer(t, Offer{})
	s.open(t, Options{Key: testKey, Boot: s.boots.boot})
	if res, _ := s.fetch(t, "GET", path, ""); res.StatusCode != 200 {
		t.Errorf("after a restart: %s", res.Status)
	}
	s.open(t, Options{Key: secret.New(strings.Repeat("x", MinKeyLength)), Boot: s.boots.boot})
	if res, _ := s.fetch(t, "GET", path, ""); res.StatusCode != 403 {
		t.Errorf("with another key: %s", res.Status)
	}
}

func TestOnlyWhatWasOffered(t *testing.T) {
	s := newStand(t, Options{})
	path := s.offer(t, Offer{MaxFetches: 2})
	parts := strings.Split(path, "/") // "", boot, node, generation, terms, signature, boot.iso
	change := func(i int, to string) string {
		c := append([]string{}, parts...)
		c[i] = to
		return strings.Join(c, "/")
	}
	later := fmt.Sprintf("%d-2", time.Now().Add(48*time.Hour).Unix())
	unlimited := strings.TrimSuffix(parts[4], "-2") + "-0"
	for name, c := range map[string]struct {
		path string
		want int
	}{
		"other node":       {change(2, "n2"), 403},
		"other generation": {change(3, "8"), 403},
		"later expiry":     {change(4, later), 403},
		"no limit":         {change(4, unlimited), 403},
		"no terms":         {change(4, "x"), 403},
		"other signature":  {change(5, strings.Repeat("A", 43)), 403},
		"no signature":     {change(5, ""), 404},
		"other file":       {change(6, "kernel"), 404},
		"expired":          {s.offer(t, Offer{Expires: time.Now().Add(-time.Second)}), 403},
		"over":             {s.offer(t, Offer{Node: "n1", Generation: "6"}), 404},
		"root":             {"/", 404},
	} {
		if res, b := s.fetch(t, "GET", c.path, ""); res.StatusCode != c.want || bytes.Contains(b, []byte(plantedToken)) {
			t.Errorf("%s: %s, want %d", name, res.Status, c.want)
		}
	}
	for _, method := range []string{"POST", "PUT", "DELETE", "PATCH"} {
		if res, _ := s.fetch(t, method, path, ""); res.StatusCode != 405 {
			t.Errorf("%s: %s, want 405", method, res.Status)
		}
	}
	s.boots.mu.Lock()
	s.boots.ended = true
	s.boots.mu.Unlock()
	if res, _ := s.fetch(t, "GET", path, ""); res.StatusCode != 404 {
		t.Errorf("after the boot ended: %s, want 404", res.Status)
	}
}

func TestTrapTokensInWorldReadableISOs(t *testing.T) {
	s := newStand(t, Options{})
	path := s.offer(t, Offer{MaxFetches: 2})
	size := mustISO(t, s.Depot).Size()
	half := fmt.Sprintf("bytes=0-%d", size/2-1)
	for i := range 4 {
		if res, b := s.fetch(t, "GET", path, half); res.StatusCode != 206 || int64(len(b)) != size/2 {
			t.Fatalf("half %d: %s, %d bytes", i, res.Status, len(b))
		}
	}
	if res, _ := s.fetch(t, "HEAD", path, ""); res.StatusCode != 200 {
		t.Errorf("HEAD costs nothing: %s", res.Status)
	}
	if res, _ := s.fetch(t, "GET", path, half); res.StatusCode != 403 {
		t.Errorf("the fifth half of two: %s", res.Status)
	}
	if res, _ := s.fetch(t, "GET", s.offer(t, Offer{MaxFetches: 3}), ""); res.StatusCode != 200 {
		t.Errorf("another offer has its own count: %s", res.Status)
	}
}

func TestConcurrentFetchesCannotPassTheLimit(t *testing.T) {
	s := newStand(t, Options{})
	path := s.offer(t, Offer{MaxFetches: 1})
	whole := make(chan bool, 8)
	var wg sync.WaitGroup
	for range cap(whole) {
		wg.Go(func() {
			res, err := http.Get(s.url + path)
			if err != nil {
				whole <- false
				return
			}
			defer res.Body.Close()
			_, err = io.Copy(io.Discard, res.Body)
			whole <- err == nil && res.StatusCode == 200
		})
	}
	wg.Wait()
	close(whole)
	n := 0
	for ok := range whole {
		if ok {
			n++
		}
	}
	if n > 1 {
		t.Errorf("%d whole copies went out, at most 1 may", n)
	}
}

func TestOneBootIsToldOneTime(t *testing.T) {
	s := newStand(t, Options{})
	path := s.offer(t, Offer{})
	first, a := s.fetch(t, "GET", path, "bytes=2048-4095")
	second, b := s.fetch(t, "GET", path, "bytes=2048-4095")
	if !bytes.Equal(a, b) || first.Header.Get("ETag") != second.Header.Get("ETag") {
		t.Errorf("two requests of one boot differ: %q and %q", a[:200], b[:200])
	}
}

func TestRebuiltTemplateLeavesOldAddressesGood(t *testing.T) {
	s := newStand(t, Options{})
	path := s.offer(t, Offer{})
	_, before := s.fetch(t, "GET", path, "bytes=0-2047")
	writeTemplate(t, s.dir)
	res, after := s.fetch(t, "GET", path, "bytes=0-2047")
	if res.StatusCode != 206 || !bytes.Equal(before, after) {
		t.Errorf("a boot under way got %s and other bytes: %v", res.Status, !bytes.Equal(before, after))
	}
	_, fresh := s.fetch(t, "GET", s.offer(t, Offer{}), "bytes=0-2047")
	if bytes.Equal(fresh, before) {
		t.Error("a new offer must be of the new template")
	}
	if err := os.Remove(filepath.Join(s.dir, ManifestName)); err != nil {
		t.Fatal(err)
	}
	if res, after := s.fetch(t, "GET", path, "bytes=0-2047"); res.StatusCode != 206 || !bytes.Equal(before, after) {
		t.Errorf("with the folder gone, a boot under way got %s", res.Status)
	}
}

func TestNothingBuiltYet(t *testing.T) {
	d, err := New(t.TempDir(), Options{Key: testKey})
	if err != nil {
		t.Fatal(err)
	}
	_, err = d.Offer(Offer{Node: "n1", Generation: "1", Expires: time.Now().Add(time.Hour)})
	if fault.KindOf(err) != fault.Unavailable {
		t.Errorf("offer without a ramdisk: %v", err)
	}
}

func TestOffersThatCannotBe(t *testing.T) {
	s := newStand(t, Options{})
	soon := time.Now().Add(time.Hour)
	for _, o := range []Offer{
		{Node: "../etc", Generation: "1", Expires: soon},
		{Node: "n1", Generation: "a/b", Expires: soon},
		{Node: "n1", Generation: "", Expires: soon},
		{Node: "n1", Generation: "1"},
		{Node: "n1", Generation: "1", Expires: soon, MaxFetches: -1},
		{Path: "relative", Expires: soon},
	} {
		if path, err := s.Offer(o); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%+v: %q, %v; want invalid", o, path, err)
		}
	}
	if _, err := New(s.dir, Options{Key: secret.New("short")}); err == nil || strings.Contains(err.Error(), "short\"") {
		t.Errorf("a short key: %v", err)
	}
	if _, err := New(s.dir, Options{Key: testKey, AllowedFileRoots: []string{"images"}}); err == nil {
		t.Error("a relative folder must be refused")
	}
}

func TestTooManyAtOnce(t *testing.T) {
	s := newStand(t, Options{MaxRequests: 1})
	path := s.offer(t, Offer{})
	s.gate <- struct{}{}
	if res, _ := s.fetch(t, "GET", path, ""); res.StatusCode != 503 || res.Header.Get("Retry-After") == "" {
		t.Errorf("with no place left: %s", res.Status)
	}
	<-s.gate
	if res, _ := s.fetch(t, "GET", path, ""); res.StatusCode != 200 {
		t.Errorf("with a place again: %s", res.Status)
	}
}

func TestTrapTokensInQueryStrings(t *testing.T) {
	s := newStand(t, Options{})
	path := s.offer(t, Offer{MaxFetches: 1})
	for _, p := range []string{path, path, strings.Replace(path, "n1", "n2", 1)} {
		s.fetch(t, "GET", p, "")
	}
	signature := strings.Split(path, "/")[5]
	s.close()
	for _, planted := range []string{signature, plantedToken, testKey.Expose()} {
		if strings.Contains(s.log.String(), planted) {
			t.Errorf("the log holds %q: %s", planted, s.log)
		}
	}
	if !strings.Contains(s.log.String(), "boot ISO fetched") || !strings.Contains(s.log.String(), "fetch refused") {
		t.Errorf("the log must tell both: %s", s.log)
	}
}
