package source

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// FuzzChecksumFile: whatever a checksum file says, a digest that is found is one, and stands in the file.
func FuzzChecksumFile(f *testing.F) {
	a := strings.Repeat("a1", 32)
	for _, text := range []string{a, a + "  img.raw\n", a + " *img.raw", "SHA256 (img.raw) = " + a, "SHA2-256(img.raw)= " + a, "# x\n" + a[:32] + " img.raw", "\\" + a + "  img.raw"} {
		f.Add(text, "img.raw", true)
	}
	f.Fuzz(func(t *testing.T, text, name string, md5 bool) {
		if len(text) > maxChecksumFile {
			return
		}
		d, err := inChecksums(text, name, md5)
		if err != nil {
			return
		}
		if !strings.Contains(strings.ToLower(text), d.Hex) || d.Algorithm == MD5 && !md5 || len(d.Hex) != 2*d.Hash().Size() {
			t.Errorf("%+v of %q", d, text)
		}
	})
}

// FuzzRedirect: whatever a server redirects to, no credential reaches another origin, and no refused network is gone to.
func FuzzRedirect(f *testing.F) {
	for _, to := range []string{"http://a/", "https://u:p@b/", "//c", "http://169.254.1.1/", "http://[::ffff:a9fe:1]/x", "gopher://x", "http://[fe80::1%25e]:80/"} {
		f.Add(to)
	}
	refused, err := ParseNetworks([]string{"169.254.0.0/16", "fe80::/10"})
	if err != nil {
		f.Fatal(err)
	}
	o := Options{Refused: refused}
	f.Fuzz(func(t *testing.T, to string) {
		from, _ := http.NewRequest(http.MethodGet, "http://a/img", nil)
		from.Header.Set("Authorization", "Basic x")
		from.Header.Set("X-Auth-Token", "x")
		u, err := from.URL.Parse(to)
		if err != nil {
			return
		}
		next := &http.Request{URL: u, Header: from.Header.Clone()}
		if o.checkRedirect(next, []*http.Request{from}) != nil {
			return
		}
		told := next.Header.Get("Authorization") + next.Header.Get("X-Auth-Token")
		if told != "" && (u.Scheme != "http" || !strings.EqualFold(u.Host, "a")) || u.User != nil || o.refusedHost(u) != nil {
			t.Errorf("went on to %s, telling %q", u.Redacted(), told)
		}
	})
}

// FuzzContentRange: what is read of the header is not negative.
func FuzzContentRange(f *testing.F) {
	for _, v := range []string{"bytes 0-1/2", "bytes 5-9/*", "bytes -1-2/3", "", "bytes 9223372036854775808-1/1"} {
		f.Add(v)
	}
	f.Fuzz(func(t *testing.T, v string) {
		if start, total, err := contentRange(v); err == nil && (start < 0 || total < -1) {
			t.Errorf("%q is %d of %d", v, start, total)
		}
	})
}

// FuzzSafe: what is fit for messages has no credential and no query.
func FuzzSafe(f *testing.F) {
	f.Add("https://u:p@h/x?y#z")
	f.Fuzz(func(t *testing.T, raw string) {
		u, err := url.Parse(Safe(raw))
		if err == nil && (u.User != nil || u.RawQuery != "" || u.Fragment != "") {
			t.Errorf("%q became %q", raw, Safe(raw))
		}
	})
}
