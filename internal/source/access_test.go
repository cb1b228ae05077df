package source_test

import (
	"context"
	"encoding/pem"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"ingot/internal/fault"
	"ingot/internal/secret"
	"ingot/internal/source"
)

// heard is a server that remembers the credentials it was told.
type heard struct {
	mu   sync.Mutex
	told []string
}

func (h *heard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.told = append(h.told, r.Header.Get("Authorization")+r.Header.Get("X-Auth-Token"))
	if h.told[len(h.told)-1] == "" && strings.HasPrefix(r.URL.Path, "/closed") {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	_, _ = w.Write([]byte("0123456789"))
}

func (h *heard) all() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return strings.Join(h.told, ",")
}

func pemOf(s *httptest.Server) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
}

// withCredentials are the three ways to give credentials.
func withCredentials() map[string]source.Options {
	basic, bearer, token := quick, quick, quick
	basic.User, basic.Password = "u", secret.New("hunter2")
	bearer.Authorization = secret.New("Bearer hunter2")
	token.Token = secret.New("hunter2")
	return map[string]source.Options{"basic": basic, "bearer": bearer, "token": token}
}

func TestEveryCredentialStaysAtItsOrigin(t *testing.T) {
	for kind, o := range withCredentials() {
		far := &heard{}
		away := start(t, far)
		near := start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization")+r.Header.Get("X-Auth-Token") == "" {
				t.Errorf("%s: its own server was not told", kind)
			}
			http.Redirect(w, r, away+r.URL.Path, http.StatusFound)
		}))
		if got, _, err := fetch(t, o, near+"/open"); err != nil || string(got) != "0123456789" {
			t.Errorf("%s: %q, %v", kind, got, err)
		}
		_, _, err := fetch(t, o, near+"/closed")
		public, _ := fault.PublicOf(err)
		if fault.KindOf(err) != fault.Invalid || !strings.Contains(public, "401") || !strings.Contains(public, "credentials are sent to the server that they are for") {
			t.Errorf("%s: refused with %v", kind, err)
		}
		if strings.Trim(far.all(), ",") != "" {
			t.Errorf("%s: the other server was told %q", kind, far.all())
		}
		if _, _, err := fetch(t, o, "http://127.0.0.1:1/", away+"/open"); err != nil || strings.Trim(far.all(), ",") != "" {
			t.Errorf("%s: the second URL of a list was told %q, %v", kind, far.all(), err)
		}
	}
}

func TestTrustedServersAreToldToo(t *testing.T) {
	far := &heard{}
	cdn := httptest.NewTLSServer(far)
	defer cdn.Close()
	near := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, cdn.URL, http.StatusFound) }))
	defer near.Close()
	o := quick
	o.CA, o.Authorization = pemOf(cdn)+pemOf(near), secret.New("Bearer hunter2")
	host := strings.TrimPrefix(cdn.URL, "https://")
	for trusted, want := range map[string]string{host: "Bearer hunter2", host[1:]: "", "x" + host: "", "127.0.0.1": "", "": ""} {
		far.told, o.Trusted = nil, []string{trusted}
		if _, _, err := fetch(t, o, near.URL); err != nil || far.all() != want {
			t.Errorf("trusting %q: told %q, %v", trusted, far.all(), err)
		}
	}
}

func TestRedirectsThatAreNotFollowed(t *testing.T) {
	for to, says := range map[string]string{
		"http://u:p@127.0.0.1:1/":         "user name or password",
		"ftp://127.0.0.1/img":             "neither http nor https",
		"file:///etc/passwd":              "neither http nor https",
		"http://169.254.169.254/latest":   "169.254.169.254",
		"http://[::ffff:169.254.0.1]/":    "169.254.0.1",
		"http://[64:ff9b::a9fe:a9fe]/":    "64:ff9b::a9fe:a9fe",
		"http://[fe80::1]/":               "fe80::1",
		"http://%zz/":                     "cannot be parsed",
		"http://[fe80::1%25lo]:80/latest": "fe80::1",
	} {
		at := start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", to)
			w.WriteHeader(http.StatusFound)
		}))
		o := quick
		o.Refused, _ = source.ParseNetworks([]string{"169.254.0.0/16", "fe80::/10"})
		_, _, err := fetch(t, o, at+"/img")
		public, _ := fault.PublicOf(err)
		if fault.KindOf(err) == fault.Unavailable || !strings.Contains(public, says) {
			t.Errorf("to %s: %v", to, err)
		}
	}
}

func TestRefusedNetworks(t *testing.T) {
	served := &heard{}
	at := start(t, served)
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(at, "http://"))
	for _, c := range []struct {
		url, network string
		refused      bool
	}{
		{at, "127.0.0.0/8", true},
		{at, "127.0.0.1", true},
		{at, "10.0.0.0/8", false},
		{"http://localhost:" + port, "127.0.0.0/8,::1", true}, // judged by where the name leads
		{"http://[::ffff:127.0.0.1]:" + port, "127.0.0.0/8", true},
		{"http://2130706433:" + port, "127.0.0.0/8", true}, // some resolvers read one number as an address
	} {
		o := quick
		o.Tries = 1
		var err error
		if o.Refused, err = source.ParseNetworks(strings.Split(c.network, ",")); err != nil {
			t.Fatal(err)
		}
		before := len(served.told)
		_, _, err = fetch(t, o, c.url+"/img")
		if (err != nil) != c.refused || c.refused && len(served.told) != before {
			t.Errorf("%s with %s refused: %v", c.url, c.network, err)
		}
		if public, _ := fault.PublicOf(err); c.refused && fault.KindOf(err) == fault.Forbidden && !strings.Contains(public, "refused_image_networks") {
			t.Errorf("%s: refused with %q", c.url, public)
		}
	}
	for _, bad := range []string{"", "x", "10.0.0.0/33", "::ffff:10.0.0.0/104", "fe80::1%eth0"} {
		if _, err := source.ParseNetworks([]string{bad}); fault.KindOf(err) != fault.Invalid {
			t.Errorf("network %q: %v", bad, err)
		}
	}
}

func TestProxyIsNoWayRound(t *testing.T) {
	proxy := &heard{}
	o := quick
	o.Proxies = map[string]string{"http": start(t, proxy)}
	o.Refused, _ = source.ParseNetworks([]string{"169.254.0.0/16"})
	if _, _, err := fetch(t, o, "http://169.254.169.254/x"); fault.KindOf(err) != fault.Forbidden || len(proxy.told) != 0 {
		t.Errorf("through a proxy: %v, which was asked %d times", err, len(proxy.told))
	}
}

func TestSizeMustBeRight(t *testing.T) {
	chunked := func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		_, _ = w.Write([]byte("0123456789"))
	}
	for name, h := range map[string]http.HandlerFunc{"announced": (&heard{}).ServeHTTP, "not announced": chunked} {
		at := start(t, h)
		for size, ok := range map[int64]bool{0: true, 10: true, 9: false, 11: false} {
			o := quick
			o.Size = size
			_, _, err := fetch(t, o, at)
			public, _ := fault.PublicOf(err)
			if (err == nil) != ok || !ok && (fault.KindOf(err) != fault.Invalid || !strings.Contains(public, "must have")) {
				t.Errorf("%s, must have %d: %v", name, size, err)
			}
		}
	}
}

func TestTrapMD5StillAccepted(t *testing.T) {
	md5 := strings.Repeat("d4", 16)
	text := start(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(md5 + "  img.raw\n")) }))
	o := quick
	o.MD5 = true
	for _, spec := range []string{md5, "md5:" + md5, text + "/MD5SUMS"} {
		if d, err := source.Checksum(context.Background(), "http://h/img.raw", spec, o); err != nil || d.Algorithm != "md5" || d.Hash().Size() != 16 {
			t.Errorf("%s, where MD5 is allowed: %+v, %v", spec, d, err)
		}
		if _, err := source.Checksum(context.Background(), "http://h/img.raw", spec, quick); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%s, where it is not: %v", spec, err)
		}
	}
}

// TestTrapChecksumByURLTrusted: files of checksums can be refused, and another server's gets no credentials of the image's.
func TestTrapChecksumByURLTrusted(t *testing.T) {
	sums := &heard{}
	other := start(t, sums)
	text := start(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(strings.Repeat("d4", 32) + "  img.raw\n"))
	}))
	o := quick
	if _, err := source.Checksum(context.Background(), "http://h/img.raw", text+"/SUMS", o); err != nil {
		t.Errorf("where checksum files are allowed: %v", err)
	}
	o.NoChecksumFiles = true
	for _, spec := range []string{text + "/SUMS", "auto"} {
		if _, err := source.Checksum(context.Background(), "http://h/img.raw", spec, o); fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), "disable_support_for_checksum_files") {
			t.Errorf("%s, where checksum files are off: %v", spec, err)
		}
	}
	o = quick
	o.User, o.Password = "u", secret.New("hunter2")
	_, _ = source.Checksum(context.Background(), "http://h/img.raw", other+"/sums", o)
	if strings.Trim(sums.all(), ",") != "" {
		t.Errorf("another server's checksum file was fetched with %q", sums.all())
	}
	u, _ := url.Parse(other)
	_, _ = source.Checksum(context.Background(), "http://"+u.Host+"/img.raw", other+"/sums", o)
	if !strings.Contains(sums.all(), "Basic ") {
		t.Error("the image's own server was not told who asks for the checksum file")
	}
}
