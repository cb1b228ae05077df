package vendordata

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// FuzzAnswer is what a target may send: whatever it is, there is a document that can be served, or a failure without a word of it.
func FuzzAnswer(f *testing.F) {
	for _, body := range []string{`{"a": [1, "x"]}`, "", `{"a":`, "\xef\xbb\xbf{}", `"\ud800"`, strings.Repeat("[", 70), "[]\x00", "\"\xff\""} {
		f.Add(200, body, "max-age=60, private=\"x\"", "Wed, 21 Oct 2026 07:28:00 GMT", "3")
	}
	f.Add(500, "x", `no-cache="a, b", s-maxage=1`, "0", "-1")
	f.Add(304, "x", `=,;"\`, "", "99999999999999999999")
	now := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, status int, body, control, expires, age string) {
		document, wrong := judge(status, []byte(body))
		if (wrong == nil) == (document == nil) {
			t.Fatal("neither a document nor a failure, or both")
		}
		if wrong == nil {
			if !json.Valid(document) || !utf8.Valid(document) || depth(document) > maxDepth {
				t.Fatalf("%q became %q", body, document)
			}
			a := Answers{list: []answer{{target: "x", status: status, body: hidden(document), asked: now}}}
			again, err := DecodeAnswers(a.Encode())
			if err != nil || string(again.VendorData2(nil)) != string(a.VendorData2(nil)) || again.list[0].body.Expose() != string(document) {
				t.Fatalf("%q is another after sealing: %v, %s", document, err, again.VendorData2(nil))
			}
		}
		head := http.Header{"Cache-Control": {control}, "Expires": {expires}, "Date": {expires}, "Last-Modified": {expires}, "Age": {age}, "Etag": {control}, "Vary": {control}}
		rules := ages{time.Hour, time.Minute}
		got := rules.of(cacheable(head), status, now)
		if got.until.After(now.Add(rules.longest)) || got.stale.After(now.Add(2*rules.longest)) || got.again && got.until.Before(now) {
			t.Fatalf("%v: %+v", head, got)
		}
		if unchanged(status, nil) {
			t.Fatal("unchanged without a question")
		}
	})
}

// FuzzTargets is what an operator may write: a bad entry is an error that has nothing of it beyond a name, a good one can be asked.
func FuzzTargets(f *testing.F) {
	for _, entry := range []string{"x@https://u:p@v.example.org:1/a@b?c#d", "@", "x@", "x@http://[::1%25lo]/", "x@https://%zz/", "static@https://v"} {
		f.Add(entry)
	}
	f.Fuzz(func(t *testing.T, entry string) {
		got, err := parseTarget(entry)
		shown := TargetList{entry}.Shown()
		if err != nil {
			if name, _, _ := strings.Cut(entry, "@"); nameable(strings.TrimSpace(name)) {
				return
			}
			if len(entry) > 8 && strings.Contains(err.Error(), entry) {
				t.Fatalf("%q is in %v", entry, err)
			}
			return
		}
		if !nameable(got.name) || got.url.Hostname() == "" {
			t.Fatalf("%q is taken as %+v", entry, got)
		}
		if p, ok := got.url.User.Password(); ok && len(p) > 8 && !strings.Contains(got.url.Host+got.url.Path, p) && strings.Contains(shown, p) {
			t.Fatalf("%q shows its password: %s", entry, shown)
		}
		if again, err := parseTarget(got.name + "@" + got.url.String()); err != nil || again.url.String() != got.url.String() {
			t.Fatalf("%q: %v", entry, err)
		}
	})
}
