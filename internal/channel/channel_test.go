package channel

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"ingot/internal/agentapi"
	"ingot/internal/osdef"
	"ingot/internal/secret"
)

const (
	privateCanary = "PRIV-canary-71"
	secretCanary  = "SECR-canary-72"
)

// tree is a definition with both parts, a file that is no script, and variants.
var tree = fstest.MapFS{
	"ganeti_api_version": {Data: []byte("20\n")}, "parameters.list": {Data: []byte("mirror\ntoken\nroot-key\nos-package\n")}, "variants.list": {Data: []byte("12\n13\n")},
	"common.sh": {Data: []byte("# shared, private\n")}, "create": program("create"), "export": program("export"), "import": program("import"), "rename": program("rename"), "verify": program("verify"),
	"untrusted/create": program("untrusted/create"),
}

func program(says string) *fstest.MapFile {
	return &fstest.MapFile{Data: []byte("#!/bin/sh\necho " + says + "\n"), Mode: 0o755}
}

func bundle(t testing.TB, tree fstest.MapFS) *osdef.Bundle {
	t.Helper()
	b, err := osdef.FromFS(tree, osdef.Usual, nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func content(t testing.TB) Content {
	t.Helper()
	c, err := Of(agentapi.OSWork{
		Definition: &agentapi.OSDefinition{Name: "debian", Variant: "12", Bundle: bundle(t, tree).Tar()},
		MetaData:   json.RawMessage(`{"name":"n1"}`),
		Parameters: []agentapi.OSParameter{
			{Name: "mirror", Value: "http://m/?a=1&b=<2>", Class: "public"}, {Name: "token", Value: privateCanary, Class: "private"}, {Name: "root-key", Value: secretCanary, Class: "secret"},
			{Name: "os-package", Value: "/etc/passwd", Class: "public"},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// rig serves both ends on loopback, by the server that agents use.
type rig struct {
	*testing.T
	c           *Channel
	guest, host string
}

func newRig(t *testing.T, c Content) *rig {
	t.Helper()
	r := &rig{T: t, c: New(c)}
	r.guest, r.host = listen(t, r.c.Handler(Guest)), listen(t, r.c.Handler(Host))
	return r
}

// listen serves until the test ends, and gives the address.
func listen(t *testing.T, h http.Handler) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- Serve(t.Context(), l, h) }() // the context ends before cleanups run
	t.Cleanup(func() {
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

// ask sends a request as it is, and gives status, body and headers.
func (r *rig) ask(at, method, path, body string) (int, string, http.Header) {
	r.Helper()
	q, err := http.NewRequestWithContext(r.Context(), method, "http://"+at+path, strings.NewReader(body))
	if err != nil {
		r.Fatal(err)
	}
	a, err := http.DefaultTransport.RoundTrip(q) // which follows nothing
	if err != nil {
		r.Fatal(err)
	}
	defer a.Body.Close()
	said, err := io.ReadAll(a.Body)
	if err != nil {
		r.Fatal(err)
	}
	return a.StatusCode, string(said), a.Header
}

func (r *rig) wants(at, method, path, body string, status int, says string) {
	r.Helper()
	if got, said, _ := r.ask(at, method, path, body); got != status || said != says {
		r.Errorf("%s %s: %d %q, want %d %q", method, path, got, said, status, says)
	}
}

func (r *rig) refused(at, method, path, body string, status int) {
	r.Helper()
	got, said, _ := r.ask(at, method, path, body)
	if got != status || strings.Contains(said, "canary") || method != http.MethodHead && said == "" {
		r.Errorf("%s %s: %d %q, want %d and a sentence", method, path, got, said, status)
	}
}

func TestREQ20ParametersWithTheirClasses(t *testing.T) {
	r := newRig(t, content(t))
	for _, version := range []string{"latest", "2013-12-01", "2020-02-29", "2026-11-27"} {
		status, said, h := r.ask(r.guest, "GET", "/ganeti/"+version+"/os/parameters.json", "")
		var got map[string][2]string
		if err := json.Unmarshal([]byte(said), &got); err != nil || status != http.StatusOK || h.Get("Content-Type") != "application/json" || h.Get("Cache-Control") != "no-store" {
			t.Fatalf("%s: %d %q %v", version, status, said, err)
		}
		want := map[string][2]string{"mirror": {"http://m/?a=1&b=<2>", "public"}, "token": {privateCanary, "private"}, "root-key": {secretCanary, "secret"}, "os-package": {"/etc/passwd", "public"}}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v", version, got)
		}
	}
	r.wants(r.guest, "GET", "/ganeti/latest/os/parameters/mirror", "", 200, "http://m/?a=1&b=<2>")
	r.wants(r.host, "GET", "/ganeti/2016-01-01/os/parameters/root-key", "", 200, secretCanary)
	r.wants(r.host, "HEAD", "/ganeti/latest/os/parameters/token", "", 200, "")
	r.wants(r.guest, "GET", "/ganeti/latest/meta_data.json", "", 200, `{"name":"n1"}`)
	r.refused(r.guest, "GET", "/ganeti/latest/os/parameters/other", "", 404)
	r.refused(r.guest, "GET", "/ganeti/latest/os/parameters/MIRROR", "", 404)

	empty := newRig(t, Content{})
	empty.wants(empty.guest, "GET", "/ganeti/latest/os/parameters.json", "", 200, "{}\n")
	empty.refused(empty.guest, "GET", "/ganeti/latest/meta_data.json", "", 404)
	empty.refused(empty.guest, "GET", "/ganeti/latest/os/package", "", 404)
}

func TestREQ11And20OnlyPublicOnesStay(t *testing.T) {
	c := content(t)
	c.Package = &agentapi.OSPackage{URL: "https://p/x.tgz", User: "u", Password: "canary-password"}
	r := newRig(t, c)
	r.wants(r.guest, "GET", "/ganeti/latest/os/package", "", 200, "https://p/x.tgz")
	r.wants(r.guest, "GET", "/ganeti/latest/os/package/user", "", 200, "u")
	r.wants(r.guest, "GET", "/ganeti/latest/os/package/password", "", 200, "canary-password")
	r.wants(r.host, "POST", "/ganeti/latest/write", "a secret word, canary", 200, "")
	r.c.End()
	for _, path := range []string{"os/parameters/token", "os/parameters/root-key", "os/scripts/create", "os/package/user", "os/package/password", "read"} {
		r.refused(r.guest, "GET", "/ganeti/latest/"+path, "", 410)
	}
	for _, body := range []string{"raw", `{"stage":"late","percent":1}`} {
		r.refused(r.guest, "POST", "/ganeti/latest/write", body, 410)
	}
	r.refused(r.guest, "GET", "/ganeti/latest/os/parameters/other", "", 404)
	r.wants(r.guest, "GET", "/ganeti/latest/os/parameters/mirror", "", 200, "http://m/?a=1&b=<2>")
	r.wants(r.guest, "GET", "/ganeti/latest/os/package", "", 200, "https://p/x.tgz")
	if _, said, _ := r.ask(r.guest, "GET", "/ganeti/latest/os/parameters.json", ""); strings.Contains(said, "canary") || !strings.Contains(said, "mirror") {
		t.Errorf("it says %s", said)
	}
	if !IsGone(r.c.Tell([]byte("cancel"))) {
		t.Error("something can be told behind the end")
	}
	if shown := fmt.Sprintf("%+v", r.c.content); strings.Contains(shown, "canary") {
		t.Errorf("kept: %s", shown)
	}
}

func TestREQ21WhatOneEndWritesTheOtherReads(t *testing.T) {
	r := newRig(t, content(t))
	const read, write = "/ganeti/latest/read", "/ganeti/2015-10-01/write"
	r.wants(r.guest, "GET", read, "", 204, "")
	for _, m := range []string{"one", "two\n", "\x00\xff"} {
		r.wants(r.host, "POST", write, m, 200, "")
	}
	r.wants(r.host, "POST", write, "", 200, "")
	r.wants(r.host, "GET", read, "", 204, "")
	if err := r.c.Tell([]byte(`{"control":"cancel"}`)); err != nil {
		t.Fatal(err)
	}
	for _, m := range []string{"one", "two\n", "\x00\xff", `{"control":"cancel"}`} {
		r.wants(r.guest, "GET", read, "", 200, m)
	}
	r.wants(r.guest, "GET", read, "", 204, "")
	r.wants(r.guest, "POST", write, "back", 200, "")
	r.wants(r.guest, "GET", read, "", 204, "")
	r.wants(r.host, "GET", read, "", 200, "back")
}

func TestREQ21TwoReadersNeverGetTheSameBytes(t *testing.T) {
	r := newRig(t, Content{})
	const n = 200
	for i := range n {
		r.wants(r.host, "POST", "/ganeti/latest/write", strconv.Itoa(i), 200, "")
	}
	var mu sync.Mutex
	var got []string
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			last := -1
			for {
				status, said, _ := r.ask(r.guest, "GET", "/ganeti/latest/read", "")
				if status == http.StatusNoContent {
					return
				}
				if i, err := strconv.Atoi(said); err != nil || i <= last {
					t.Errorf("%q after %d", said, last)
				} else {
					last = i
				}
				mu.Lock()
				got = append(got, said)
				mu.Unlock()
			}
		})
	}
	all.Wait()
	slices.Sort(got)
	if len(got) != n || len(slices.Compact(got)) != n {
		t.Errorf("%d messages were read, %d of them different, of %d", len(got), len(slices.Compact(got)), n)
	}
}

func TestREQ21TheBufferHasABound(t *testing.T) {
	r := newRig(t, Content{})
	const write = "/ganeti/latest/write"
	r.refused(r.guest, "POST", write, strings.Repeat("x", MaxBuffered+1), 413)
	q, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+r.guest+write, io.MultiReader(strings.NewReader(strings.Repeat("x", MaxBuffered)), strings.NewReader("y"))) // no length is said
	if err != nil {
		t.Fatal(err)
	}
	a, err := http.DefaultTransport.RoundTrip(q)
	if err != nil {
		t.Fatal(err)
	}
	a.Body.Close()
	if a.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("one that is too long and does not say so: %d", a.StatusCode)
	}
	half := strings.Repeat("h", MaxBuffered/2)
	r.wants(r.guest, "POST", write, half, 200, "")
	r.wants(r.guest, "POST", write, half, 200, "")
	if status, _, h := r.ask(r.guest, "POST", write, "z"); status != http.StatusTooManyRequests || h.Get("Retry-After") == "" {
		t.Errorf("over the bound: %d %v", status, h)
	}
	r.wants(r.host, "GET", "/ganeti/latest/read", "", 200, half)
	r.wants(r.guest, "POST", write, "z", 200, "")
	r.wants(r.host, "GET", "/ganeti/latest/read", "", 200, half)
	r.wants(r.host, "GET", "/ganeti/latest/read", "", 200, "z")

	s := &side{r.c, Guest}
	for i := range MaxMessages {
		if err := s.Write(t.Context(), []byte("m")); err != nil {
			t.Fatalf("message %d: %v", i, err)
		}
	}
	r.refused(r.guest, "POST", write, "one more", 429)
	if err := (&side{r.c, Host}).Write(t.Context(), []byte(half+half)); err != nil {
		t.Error(err)
	}
	if err := r.c.Tell([]byte("cancel")); err != nil {
		t.Errorf("the server finds no room behind what the host wrote: %v", err)
	}
	if err := r.c.Tell([]byte(strings.Repeat("c", ControlRoom))); err == nil {
		t.Error("the server's own messages have no bound")
	}
}

func TestREQ21MethodsAndVersions(t *testing.T) {
	r := newRig(t, content(t))
	for _, c := range []struct{ method, path, allow string }{
		{"POST", "/ganeti/latest/read", "GET"}, {"HEAD", "/ganeti/latest/read", "GET"}, {"GET", "/ganeti/latest/write", "POST"}, {"PUT", "/ganeti/latest/write", "POST"},
		{"POST", "/ganeti/latest/os/parameters.json", "GET, HEAD"}, {"DELETE", "/ganeti/latest/os/parameters/mirror", "GET, HEAD"}, {"OPTIONS", "/ganeti/latest/meta_data.json", "GET, HEAD"},
	} {
		if status, _, h := r.ask(r.guest, c.method, c.path, "x"); status != http.StatusMethodNotAllowed || h.Get("Allow") != c.allow {
			t.Errorf("%s %s: %d, Allow %q", c.method, c.path, status, h.Get("Allow"))
		}
	}
	for _, version := range []string{"2013-11-30", "2026-11-28", "2024-02-30", "2024-2-03", "Latest", "1.0", "", "20240101", "latest%2f", "2024-01-01T00:00:00Z"} {
		r.refused(r.guest, "GET", "/ganeti/"+version+"/os/parameters.json", "", 404)
	}
	for _, path := range []string{"/", "/ganeti", "/ganeti/", "/ganeti/latest", "/ganeti/latest/", "/ganeti/latest/os", "/ganeti/latest/os/", "/ganeti/latest/os/parameters", "/ganeti/latest/os/parameters/",
		"/ganeti/latest/os/scripts/", "/ganeti/latest/read/", "/ganeti/latest/meta-data/", "/latest/meta-data/", "//ganeti/latest/read", "/ganeti//latest/read", "/ganeti/latest//read", "/GANETI/latest/read"} {
		r.refused(r.guest, "GET", path, "", 404)
	}
}

func TestREQ22ScriptsAreOfAList(t *testing.T) {
	r := newRig(t, content(t))
	for _, name := range []string{"create", "export", "import", "rename", "verify", "untrusted/create"} {
		r.wants(r.guest, "GET", "/ganeti/latest/os/scripts/"+name, "", 200, "#!/bin/sh\necho "+name+"\n")
	}
	for _, name := range []string{"common.sh", "parameters.list", "ganeti_api_version", "create_untrusted", "untrusted", "untrusted/", "untrusted/export", "untrusted//create", "create+12", "debian+12/create", "12/create",
		"../create", "untrusted/../create", "./create", "..", "%2e%2e/create", "untrusted%2fcreate", "untrusted%2Fcreate", "%63reate", "..%2f..%2fetc%2fpasswd", "..\\create", "create%00", "create/", "/create", "/etc/passwd"} {
		r.refused(r.guest, "GET", "/ganeti/latest/os/scripts/"+name, "", 404)
	}
	old := fstest.MapFS{}
	for name, f := range tree {
		if name != "untrusted/create" && name != "create" {
			old[name] = f
		}
	}
	old["create_untrusted"] = program("old")
	scripts, err := Scripts(bundle(t, old))
	if err != nil {
		t.Fatal(err)
	}
	r = newRig(t, Content{Scripts: scripts})
	r.wants(r.guest, "GET", "/ganeti/latest/os/scripts/create_untrusted", "", 200, "#!/bin/sh\necho old\n")
	r.refused(r.guest, "GET", "/ganeti/latest/os/scripts/create", "", 404)
}

// Upstream serves the file that the public parameter os-package names.
func TestREQ22NoValueIsAPath(t *testing.T) {
	r := newRig(t, content(t))
	r.refused(r.guest, "GET", "/ganeti/latest/os/package", "", 404)
	r.refused(r.guest, "GET", "/ganeti/latest/os/os-install-package", "", 404)
	r.wants(r.guest, "GET", "/ganeti/latest/os/parameters/os-package", "", 200, "/etc/passwd")
	for _, path := range []string{"os/parameters/../scripts/create", "os/parameters/%2e%2e/scripts/create", "os/parameters/mirror%2f", "os/parameters/mirror/", "os/parameters/a.b", "../../etc/passwd", "os/../read"} {
		r.refused(r.guest, "GET", "/ganeti/latest/"+path, "", 404)
	}
}

func TestREQ24ProgressOfEitherEnd(t *testing.T) {
	var told []agentapi.OSProgress
	c := content(t)
	c.OnProgress = func(p agentapi.OSProgress) { told = append(told, p) }
	r := newRig(t, c)
	const write = "/ganeti/latest/write"
	r.wants(r.guest, "POST", write, ` {"stage":"disk","percent":40,"message":"half\tdone"}`, 200, "")
	r.wants(r.host, "POST", write, `{"stage":"packages","percent":10}`, 200, "")
	r.wants(r.guest, "POST", write, `{"stage":"disk","percent":30,"message":"with `+secretCanary+` and `+privateCanary+`"}`, 200, "")
	r.wants(r.guest, "POST", write, `{"final":true,"code":3}`, 200, "")
	r.wants(r.guest, "POST", write, `{"stage":"disk","percent":50,"more":1}`, 200, "") // no progress: for the other end
	for _, wrong := range []string{`{"stage":"disk","percent":101}`, `{"stage":"disk","percent":-1}`, `{"stage":"","percent":1}`, `{"stage":"disk","percent":"50"}`, `{"stage":"disk","percent":1.5}`,
		`{"stage":"a\u0007b"}`, `{"stage":"` + strings.Repeat("s", 65) + `"}`, `{"final":true,"code":256}`, `{"stage":"x","code":1}`} {
		r.refused(r.guest, "POST", write, wrong, 400)
	}
	want := []agentapi.OSProgress{{Stage: "disk", Percent: 40, Message: "half done"}, {Stage: "packages", Percent: 10},
		{Stage: "disk", Percent: 40, Message: "with ****** and ******"}, {Final: true, Code: 3}}
	if !reflect.DeepEqual(told, want) {
		t.Errorf("told: %+v", told)
	}
	r.wants(r.host, "GET", "/ganeti/latest/read", "", 200, `{"stage":"disk","percent":50,"more":1}`)
}

func TestREQ24StagesAreBoundedAndNeverFallBack(t *testing.T) {
	s := Stages{}
	for i := range maxStages {
		if _, err := s.Next(agentapi.OSProgress{Stage: strconv.Itoa(i), Percent: i}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Next(agentapi.OSProgress{Stage: "more"}); err == nil {
		t.Error("there is no bound")
	}
	if p, err := s.Next(agentapi.OSProgress{Stage: "7", Percent: 3}); err != nil || p.Percent != 7 {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestWordsOfAProgressAreBounded(t *testing.T) {
	hide := osdef.Classes{Private: map[string]secret.Secret{"a": secret.New("abc"), "b": secret.New("")}, Secret: map[string]secret.Secret{"c": secret.New("abcdef\n")}}
	p := Clean(agentapi.OSProgress{Stage: "s", Message: "x abcdef y abc\n" + strings.Repeat("ö", maxWords)}, hide)
	if !strings.HasPrefix(p.Message, "x ****** y ****** ö") || len(p.Message) > maxWords+len("…") || !strings.HasSuffix(p.Message, "ö…") {
		t.Errorf("%q", p.Message)
	}
}

func TestREQ05ValuesAreTakenOutInEveryForm(t *testing.T) {
	hide := osdef.Classes{Private: map[string]secret.Secret{"a": secret.New("pass&word \"1\""), "u": secret.New("u")}, Secret: map[string]secret.Secret{"k": secret.New("line one\nline two\n")}}
	for text, want := range map[string]string{
		"said pass&word \"1\" twice": "said ****** twice", `{"p":"pass\u0026word \"1\""}`: `{"p":"******"}`, "?p=pass%26word+%221%22&": "?p=******&",
		"cGFzcyZ3b3JkICIxIg==": "******", "7061737326776f7264202231220a": "******0a",
		"it has line two alone": "it has ****** alone", "the trusted user u, u: uu": "the trusted user ******, ******: uu", "u": "******", "": "",
	} {
		if got := Scrub(text, hide); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
}

// FuzzRespond asks for anything: nothing but what is on the list is ever answered, and nothing panics.
func FuzzRespond(f *testing.F) {
	for _, path := range []string{"/ganeti/latest/os/parameters.json", "/ganeti/2020-01-01/os/scripts/untrusted/create", "/ganeti/latest/os/scripts/../create", "/ganeti/latest/os/parameters/%2e%2e", "/ganeti/latest/write", "/ganeti/latest/read"} {
		f.Add("GET", path, []byte(`{"stage":"disk","percent":40}`))
		f.Add("POST", path, []byte(`{"stage":1}`))
	}
	kept := content(f)
	served := map[string]bool{}
	for _, s := range kept.Scripts {
		served[string(s)] = true
	}
	f.Fuzz(func(t *testing.T, method, path string, body []byte) {
		if !strings.HasPrefix(path, "/") {
			return
		}
		q, err := http.NewRequestWithContext(t.Context(), method, "http://h"+path, bytes.NewReader(body))
		if err != nil {
			return
		}
		told := 0
		c := kept
		c.OnProgress = func(p agentapi.OSProgress) {
			told++
			if checkProgress(p) != nil || len(p.Message) > maxWords+len("…") {
				t.Errorf("told: %+v", p)
			}
		}
		ch := New(c)
		w := httptest.NewRecorder()
		status, err := Respond(&side{ch, Guest}, w, q)
		if err != nil {
			t.Error(err)
		}
		at := q.URL.EscapedPath()
		if status != w.Code || strings.Contains(at, "%") && status != http.StatusNotFound || strings.Contains(at, "..") && status != http.StatusNotFound {
			t.Errorf("%s %s: %d, written %d", method, at, status, w.Code)
		}
		if strings.Contains(at, "/os/scripts/") && status == http.StatusOK && method == http.MethodGet && !served[w.Body.String()] {
			t.Errorf("%s gives %q", at, w.Body)
		}
		if m := (&side{ch, Host}); told == 0 && status == http.StatusOK && method == http.MethodPost && len(body) > 0 {
			if got, err := m.Read(t.Context()); err != nil || !bytes.Equal(got, body) {
				t.Errorf("%q arrives as %q, %v", body, got, err)
			}
		}
	})
}
