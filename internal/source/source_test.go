package source_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/rand"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"ingot/internal/fault"
	"ingot/internal/secret"
	"ingot/internal/source"
)

var quick = source.Options{Backoff: time.Millisecond, Stall: 5 * time.Second, Tries: 3}

func content(n int) []byte {
	b := make([]byte, n)
	rand.New(rand.NewSource(7)).Read(b)
	return b
}

// server serves one file and spoils some of its answers.
type server struct {
	file    []byte
	tag     string
	ranges  bool
	spoil   func(n int, w http.ResponseWriter, r *http.Request) bool // the n-th request, from 0; true: answered
	mu      sync.Mutex
	asked   []*http.Request
	cutting int // bytes after which each answer breaks off; 0: never
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	n := len(s.asked)
	s.asked = append(s.asked, r)
	s.mu.Unlock()
	if s.spoil != nil && s.spoil(n, w, r) {
		return
	}
	rest, start := s.file, 0
	if s.tag != "" {
		w.Header().Set("ETag", s.tag)
	}
	if v := r.Header.Get("Range"); s.ranges && v != "" && (r.Header.Get("If-Range") == "" || r.Header.Get("If-Range") == s.tag) {
		fmt.Sscanf(v, "bytes=%d-", &start)
		rest = s.file[start:]
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", start, len(s.file)-1, len(s.file)))
	}
	w.Header().Set("Content-Length", fmt.Sprint(len(rest)))
	if start > 0 {
		w.WriteHeader(http.StatusPartialContent)
	}
	if s.cutting > 0 && len(rest) > s.cutting {
		w.Write(rest[:s.cutting])
		w.(http.Flusher).Flush()
		drop(w)
		return
	}
	w.Write(rest)
}

// drop resets the connection in the middle of an answer.
func drop(w http.ResponseWriter) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		panic(err)
	}
	conn.(*net.TCPConn).SetLinger(0)
	conn.Close()
}

func (s *server) requests() []*http.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

func start(t *testing.T, h http.Handler) string {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv.URL
}

func fetch(t *testing.T, o source.Options, urls ...string) ([]byte, *source.Body, error) {
	t.Helper()
	b, err := source.Open(context.Background(), urls, o)
	if err != nil {
		return nil, nil, err
	}
	defer b.Close()
	got, err := io.ReadAll(b)
	return got, b, err
}

func TestPlainDownload(t *testing.T) {
	s := &server{file: content(300_000)}
	got, b, err := fetch(t, quick, start(t, s)+"/img")
	if err != nil || !bytes.Equal(got, s.file) || b.Size() != 300_000 || b.Breaks() != 0 {
		t.Errorf("%d bytes, size %d, %v", len(got), b.Size(), err)
	}
}

func TestDropIsContinued(t *testing.T) {
	for name, s := range map[string]*server{
		"ranges and tag":   {tag: `"v1"`, ranges: true},
		"ranges, no tag":   {ranges: true},
		"no ranges":        {tag: `"v1"`},
		"weak tag":         {tag: `W/"v1"`, ranges: true},
		"cut every 60 kB":  {tag: `"v1"`, ranges: true, cutting: 60_000},
		"5xx while broken": {tag: `"v1"`, ranges: true},
	} {
		s.file = content(500_000)
		if s.cutting == 0 {
			s.spoil = func(n int, w http.ResponseWriter, r *http.Request) bool {
				if n == 0 {
					w.Header().Set("ETag", s.tag)
					w.Header().Set("Content-Length", "500000")
					w.Write(s.file[:200_000])
					w.(http.Flusher).Flush()
					drop(w)
				} else if n == 1 && name == "5xx while broken" {
					w.WriteHeader(503)
				} else {
					return false
				}
				return true
			}
		}
		got, b, err := fetch(t, quick, start(t, s)+"/img")
		if err != nil || !bytes.Equal(got, s.file) || b.Breaks() == 0 {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
			continue
		}
		second := s.requests()[1]
		strong := strings.TrimPrefix(s.tag, `W/"v1"`)
		if second.Header.Get("Range") == "" || second.Header.Get("If-Range") != strong {
			t.Errorf("%s: second request asks %q if %q", name, second.Header.Get("Range"), second.Header.Get("If-Range"))
		}
	}
}

func TestChangedFileIsNoticed(t *testing.T) {
	s := &server{file: content(100_000), tag: `"new"`, ranges: true}
	s.spoil = func(n int, w http.ResponseWriter, r *http.Request) bool {
		if n > 0 {
			return false
		}
		w.Header().Set("ETag", `"old"`)
		w.Header().Set("Content-Length", "100000")
		w.Write(s.file[:50_000])
		w.(http.Flusher).Flush()
		drop(w)
		return true
	}
	if _, _, err := fetch(t, quick, start(t, s)+"/img"); fault.KindOf(err) != fault.Conflict || !strings.Contains(err.Error(), "changed") {
		t.Errorf("a changed file: %v", err)
	}
}

func TestTruncatedForGood(t *testing.T) {
	s := &server{spoil: func(n int, w http.ResponseWriter, r *http.Request) bool {
		w.Header().Set("Content-Length", "1000")
		if n == 0 {
			w.Write(make([]byte, 400))
		}
		w.(http.Flusher).Flush()
		drop(w)
		return true
	}}
	got, _, err := fetch(t, quick, start(t, s)+"/img")
	if fault.KindOf(err) != fault.Unavailable || len(got) != 400 {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if n := len(s.requests()); n != quick.Tries {
		t.Errorf("%d requests, want %d", n, quick.Tries)
	}
}

func TestStall(t *testing.T) {
	release := make(chan struct{})
	s := &server{file: content(100_000), tag: `"v"`, ranges: true}
	s.spoil = func(n int, w http.ResponseWriter, r *http.Request) bool {
		if n > 0 {
			return false
		}
		w.Header().Set("ETag", s.tag)
		w.Header().Set("Content-Length", "100000")
		w.Write(s.file[:1000])
		w.(http.Flusher).Flush()
		<-release
		return true
	}
	at := start(t, s)
	t.Cleanup(func() { close(release) })
	o := quick
	o.Stall = 50 * time.Millisecond
	got, b, err := fetch(t, o, at+"/img")
	if err != nil || !bytes.Equal(got, s.file) || b.Breaks() != 1 {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

func TestStatuses(t *testing.T) {
	for _, c := range []struct {
		status, tries int
		kind          fault.Kind
	}{{404, 1, fault.Invalid}, {403, 1, fault.Invalid}, {206, 1, fault.Invalid}, {500, 3, fault.Unavailable}, {503, 3, fault.Unavailable}, {429, 3, fault.Unavailable}} {
		s := &server{spoil: func(_ int, w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(c.status); return true }}
		_, _, err := fetch(t, quick, start(t, s)+"/img")
		if fault.KindOf(err) != c.kind || len(s.requests()) != c.tries || !strings.Contains(err.Error(), fmt.Sprint(c.status)) {
			t.Errorf("%d: %v after %d requests, want %v after %d", c.status, err, len(s.requests()), c.kind, c.tries)
		}
	}
}

func TestURLsAreTriedInOrder(t *testing.T) {
	good := &server{file: content(10_000), ranges: true}
	half := &server{spoil: func(n int, w http.ResponseWriter, r *http.Request) bool {
		w.Header().Set("Content-Length", "10000")
		if n == 0 {
			w.Write(good.file[:5000])
			w.(http.Flusher).Flush()
		}
		drop(w)
		return true
	}}
	for name, first := range map[string]string{
		"404":       start(t, http.NotFoundHandler()),
		"refused":   "http://127.0.0.1:1",
		"half only": start(t, half),
	} {
		got, b, err := fetch(t, quick, first+"/img", start(t, good)+"/mirror/img")
		if err != nil || !bytes.Equal(got, good.file) || !strings.HasSuffix(b.URL(), "/mirror/img") {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
}

func TestSecretsStayOutOfErrors(t *testing.T) {
	at := start(t, http.NotFoundHandler())
	with := strings.Replace(at, "http://", "http://user:hunter2@", 1) + "/img?sig=hunter2#hunter2"
	dead := "http://user:hunter2@127.0.0.1:1/img?sig=hunter2"
	bad := start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", "http://%zz/?hunter2")
		w.WriteHeader(302)
	}))
	for _, u := range []string{with, dead, bad, "http://%zz/hunter2", "ftp://u:hunter2@h/x"} {
		_, _, err := fetch(t, quick, u)
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%v", err)
		}
		if public, ok := fault.PublicOf(err); !ok || public == "" {
			t.Errorf("there is no public sentence: %v", err)
		}
	}
}

func TestCredentialsStayAtTheirOrigin(t *testing.T) {
	other := &server{file: []byte("image")}
	far := start(t, other)
	first := &server{spoil: func(n int, w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == "/near" {
			http.Redirect(w, r, far+"/img", http.StatusFound)
		} else {
			http.Redirect(w, r, "/near", http.StatusFound)
		}
		return true
	}}
	near := start(t, first)
	for name, o := range map[string]source.Options{
		"basic":  {User: "u", Password: secret.New("p")},
		"header": {Authorization: secret.New("Bearer t")},
	} {
		first.asked, other.asked = nil, nil
		if _, _, err := fetch(t, o, near+"/img?sig=s"); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for i, r := range first.requests() {
			if r.Header.Get("Authorization") == "" {
				t.Errorf("%s: request %d to the origin has no credential", name, i)
			}
		}
		got := other.requests()[0].Header
		if got.Get("Authorization") != "" || got.Get("Referer") != "" {
			t.Errorf("%s: another host was told %v", name, got)
		}
	}
}

func TestRedirectsAreBounded(t *testing.T) {
	loop := start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/again", http.StatusFound) }))
	if _, _, err := fetch(t, quick, loop); fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), "redirects") {
		t.Errorf("a loop: %v", err)
	}
}

func TestTLS(t *testing.T) {
	file := &server{file: content(1000)}
	srv := httptest.NewUnstartedServer(file)
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.StartTLS()
	t.Cleanup(srv.Close)
	ca := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}))
	o := quick
	if _, _, err := fetch(t, o, srv.URL); fault.KindOf(err) != fault.Unavailable || !strings.Contains(err.Error(), "not trusted") {
		t.Errorf("unknown CA: %v", err)
	}
	o.CA = ca
	if got, _, err := fetch(t, o, srv.URL); err != nil || !bytes.Equal(got, file.file) {
		t.Errorf("known CA: %v", err)
	}
	more := quick
	more.MoreCA = ca
	if _, _, err := fetch(t, more, srv.URL); err != nil {
		t.Errorf("a CA beside the system's: %v", err)
	}
	more.MoreCA = "nonsense"
	if _, _, err := fetch(t, more, srv.URL); fault.KindOf(err) != fault.Invalid {
		t.Errorf("a bad CA beside the system's: %v", err)
	}
	o.CA = "nonsense"
	if _, _, err := fetch(t, o, srv.URL); fault.KindOf(err) != fault.Invalid {
		t.Errorf("bad CA: %v", err)
	}
	down := httptest.NewTLSServer(http.RedirectHandler("http://127.0.0.1:1/", http.StatusFound))
	t.Cleanup(down.Close)
	o.CA = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: down.Certificate().Raw}))
	if _, _, err := fetch(t, o, down.URL); !strings.Contains(fmt.Sprint(err), "https to http") {
		t.Errorf("downgrade: %v", err)
	}
}

func TestProxy(t *testing.T) {
	proxy := &server{file: []byte("by proxy")}
	o := quick
	o.Proxies = map[string]string{"http": start(t, proxy)}
	got, _, err := fetch(t, o, "http://image.invalid/img")
	if err != nil || string(got) != "by proxy" || proxy.requests()[0].Host != "image.invalid" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestCancel(t *testing.T) {
	began, release := make(chan struct{}), make(chan struct{})
	at := start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "1000")
		w.(http.Flusher).Flush()
		close(began)
		<-release
	}))
	t.Cleanup(func() { close(release) })
	ctx, cancel := context.WithCancel(context.Background())
	b, err := source.Open(ctx, []string{at}, quick)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	<-began
	cancel()
	if _, err := io.ReadAll(b); err != context.Canceled {
		t.Errorf("cancelled: %v", err)
	}
}

func TestLyingServerSendsTooMuch(t *testing.T) {
	at := start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Range") == "" {
			w.Header().Set("ETag", `"v"`)
			w.Header().Set("Content-Length", "1000")
			w.Write(make([]byte, 500))
			w.(http.Flusher).Flush()
			drop(w)
			return
		}
		w.Header().Set("Content-Range", "bytes 500-999/1000")
		w.WriteHeader(http.StatusPartialContent)
		w.Write(make([]byte, 5000)) // chunked: no length of its own
	}))
	if _, _, err := fetch(t, quick, at); fault.KindOf(err) != fault.Conflict {
		t.Errorf("more than announced: %v", err)
	}
}

func TestParseDigest(t *testing.T) {
	s256, s512 := strings.Repeat("aB", 32), strings.Repeat("0f", 64)
	for spec, want := range map[string]string{
		s256: "sha256", s512: "sha512", "sha256:" + s256: "sha256", "SHA512: " + s512: "sha512",
		"sha512:" + s256: "", "md5:" + s256[:32]: "", s256[:32]: "", s256[:40]: "", "sha1:" + s256[:40]: "", "": "", "zz": "", s256[:63] + "g": "",
	} {
		d, err := source.ParseDigest(spec, false)
		if d.Algorithm != want || (want == "") != (fault.KindOf(err) == fault.Invalid && err != nil) || d.Hex != strings.ToLower(d.Hex) {
			t.Errorf("%q: %+v, %v", spec, d, err)
		}
	}
	_, err := source.ParseDigest(s256[:32], false)
	if public, _ := fault.PublicOf(err); !strings.Contains(public, "forged") {
		t.Errorf("md5 is refused with %q", public)
	}
}

func TestChecksumFiles(t *testing.T) {
	a, b := strings.Repeat("a1", 32), strings.Repeat("b2", 32)
	long, md5 := strings.Repeat("c3", 64), strings.Repeat("d4", 16)
	for _, c := range []struct{ name, text, want string }{
		{"gnu", b + "  other.raw\n" + a + "  img.raw\n", a},
		{"gnu binary", a + " *img.raw\r\n" + b + " *other.raw\n", a},
		{"dot slash", a + "  ./img.raw\n" + b + "  x\n", a},
		{"bsd", "SHA256 (other.raw) = " + b + "\nSHA256 (img.raw) = " + a + "\n", a},
		{"bsd sha512", "SHA512 (img.raw) = " + long + "\n", long},
		{"bsd without blanks", "SHA256(img.raw)=" + a + "\n", a},
		{"openssl", "SHA2-256(img.raw)= " + a + "\n", a},
		{"indented", "  " + a + "  img.raw\n", a},
		{"several names", "# all\n\n" + b + "  a.raw\n" + a + " *img.raw\n" + b + "  img.raw.old\n", a},
		{"single", a + "\n", a},
		{"single with a comment", "# of img.raw\n" + a + "\n", a},
		{"single of 40 digits", a[:40] + "\n", ""},
		{"two without a name", a + "\n" + b + "\n", ""},
		{"a name that is a pattern for it", a + "  .*\n" + a + "  img.ra[w]\n", ""},
		{"signed", "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n" + a + "  img.raw\n-----BEGIN PGP SIGNATURE-----\nabc\n", a},
		{"comment", "# SHA\n" + a + " img.raw\n", a},
		{"repeated", a + "  img.raw\n" + a + "  img.raw\n", a},
		{"upper", strings.ToUpper(a) + "  img.raw\n", a},
		{"contradicting", a + "  img.raw\n" + b + "  img.raw\n", ""},
		{"absent", b + "  other.raw\n", ""},
		{"suffix of a name", b + "  not-img.raw\n", ""},
		{"pattern characters", b + "  imgxraw\n", ""},
		{"md5 only", md5 + "  img.raw\n", ""},
		{"single md5", md5 + "\n", ""},
		{"empty", "\n", ""},
		{"html", "<html>nothing</html>", ""},
	} {
		at := start(t, &server{file: []byte(c.text)})
		d, err := source.Checksum(context.Background(), "http://h/dir/img.raw?x=1", at+"/sums", quick)
		if d.Hex != c.want || (c.want == "") != (err != nil) {
			t.Errorf("%s: %+v, %v", c.name, d, err)
		}
		if err == nil && d.Origin != at+"/sums" {
			t.Errorf("%s: origin %q", c.name, d.Origin)
		}
	}
}

func TestChecksumAuto(t *testing.T) {
	file := content(50_000)
	s256, s512 := sha256.Sum256(file), sha512.Sum512(file)
	for _, c := range []struct {
		name, path, text, want string
	}{
		{"beside", "/d/img.raw.sha256", hex.EncodeToString(s256[:]), "/d/img.raw.sha256"},
		{"sums", "/d/SHA256SUMS", hex.EncodeToString(s256[:]) + "  img.raw\n", "/d/SHA256SUMS"},
		{"sha512", "/d/img.raw.sha512", hex.EncodeToString(s512[:]), "/d/img.raw.sha512"},
		{"sums 512", "/d/SHA512SUMS", hex.EncodeToString(s512[:]) + "  img.raw\n", "/d/SHA512SUMS"},
		{"soft 404", "/d/img.raw.sha256", "<html>not here</html>", ""},
		{"nothing", "/none", "", ""},
	} {
		at := start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/d/img.raw":
				w.Write(file)
			case c.path:
				w.Write([]byte(c.text))
			default:
				http.NotFound(w, r)
			}
		}))
		d, err := source.Checksum(context.Background(), at+"/d/img.raw?sig=hunter2", "auto", quick)
		want := source.Computed
		if c.want != "" {
			want = at + c.want
		}
		h := d.Hash()
		h.Write(file)
		if err != nil || d.Origin != want || d.Hex != hex.EncodeToString(h.Sum(nil)) {
			t.Errorf("%s: %+v, %v; want origin %s", c.name, d, err, want)
		}
	}
	dead := start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(502) }))
	if _, err := source.Checksum(context.Background(), dead+"/img", "auto", quick); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("a server that is down: %v", err)
	}
}

func TestSafe(t *testing.T) {
	for in, want := range map[string]string{
		"https://u:p@h:8/a%20b?q=1#f": "https://h:8/a%20b", "http://h": "http://h", "http://%zz": "(unreadable URL)",
	} {
		if got := source.Safe(in); got != want {
			t.Errorf("Safe(%q) = %q, want %q", in, got, want)
		}
		if _, err := url.Parse(source.Safe(in)); err != nil {
			t.Error(err)
		}
	}
}

func TestRanges(t *testing.T) {
	file := content(200_000)
	busy := func(n int, w http.ResponseWriter, r *http.Request) bool {
		if n == 2 {
			http.Error(w, "busy", http.StatusServiceUnavailable)
		}
		return n == 2
	}
	s := &server{file: file, tag: `"a"`, ranges: true, spoil: busy} // the second part is tried twice
	open := func(s *server) (*source.Body, *source.Ranges) {
		t.Helper()
		web := httptest.NewServer(s)
		t.Cleanup(web.Close)
		b, err := source.Open(context.Background(), []string{web.URL + "/f"}, quick)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { b.Close() })
		return b, b.Ranges()
	}
	body, r := open(s)
	if n, err := r.Size(); n != int64(len(file)) || err != nil {
		t.Errorf("size %d, %v", n, err)
	}
	for _, off := range []int{0, 100_000, len(file) - 1000} {
		p := make([]byte, 1000)
		if n, err := r.ReadAt(p, int64(off)); n != len(p) || err != nil || !bytes.Equal(p, file[off:off+1000]) {
			t.Errorf("at %d: %d bytes, %v", off, n, err)
		}
	}
	if got, err := io.ReadAll(body); err != nil || !bytes.Equal(got, file) {
		t.Errorf("the download beside it: %d bytes, %v", len(got), err)
	}
	s.tag = `"b"`
	if _, err := r.ReadAt(make([]byte, 10), 5); fault.KindOf(err) != fault.Conflict {
		t.Errorf("a changed file: %v", err)
	}
	_, r = open(&server{file: file})
	if _, err := r.ReadAt(make([]byte, 10), 5); fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), "range requests") {
		t.Errorf("a server without ranges: %v", err)
	}
	_, r = open(&server{file: file, ranges: true})
	if _, err := r.ReadAt(make([]byte, 10), int64(len(file)-5)); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("past the end: %v", err)
	}
}
