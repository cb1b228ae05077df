package vendordata

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"ingot/internal/fault"
	"ingot/internal/secret"
)

// keys is a Signer with a token that can be renewed.
type keys struct {
	mu      sync.Mutex
	renewed int
}

func (k *keys) Sign(_ context.Context, r *http.Request, _ []byte) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	r.Header.Set("X-Auth-Token", "token-"+string(rune('a'+k.renewed)))
	return nil
}

func (k *keys) Renew(context.Context, *http.Request) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.renewed++
	return true
}

var example = Request{ProjectID: "p1", InstanceID: "i1", ImageID: "m1", UserData: secret.New("#!/bin/sh\n"), Hostname: "web1",
	Metadata: map[string]string{"k": "v"}, BootRoles: []string{"member", "odd,admin", "reader"}}

// TestWhatATargetIsSent is the request of §8.2: hyphens in the keys, user data as base64, roles divided by commas.
func TestWhatATargetIsSent(t *testing.T) {
	var head http.Header
	var sent []byte
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		head = r.Header.Clone()
		sent, _ = io.ReadAll(r.Body)
		_, _ = io.WriteString(w, `["<&>", 1]`)
	}))
	defer server.Close()
	s, err := New(configured("x@"+server.URL+"/a"), Options{}, quiet())
	if err != nil {
		t.Fatal(err)
	}
	a, err := s.Fetch(t.Context(), example)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"project-id":"p1","instance-id":"i1","image-id":"m1","user-data":"IyEvYmluL3NoCg==","hostname":"web1","metadata":{"k":"v"},"boot-roles":"member,reader"}`
	if string(sent) != want {
		t.Errorf("sent was %s\nwant %s", sent, want)
	}
	if head.Get("Content-Type") != "application/json" || head.Get("Accept") != "application/json" || head.Get("User-Agent") != userAgent {
		t.Errorf("headers: %v", head)
	}
	got := a.VendorData2(json.RawMessage(`{"a":1}`))
	if string(got) != `{"static":{"a":1},"x":["<&>",1]}` {
		t.Errorf("vendor_data2.json is %s", got)
	}
	again, err := DecodeAnswers(a.Encode())
	if err != nil || string(again.VendorData2(nil)) != `{"x":["<&>",1]}` || again.id != a.id {
		t.Errorf("after sealing: %v, %s", err, again.VendorData2(nil))
	}
	r, err := DecodeRequest(example.Encode())
	if err != nil || r.UserData.Expose() != "#!/bin/sh\n" || strings.Join(r.BootRoles, " ") != "member odd,admin reader" || r.Metadata["k"] != "v" {
		t.Errorf("a request after sealing: %v, %+v", err, r)
	}
	empty, err := Request{}.body()
	if err != nil || !strings.Contains(string(empty), `"user-data":null,"hostname":"","metadata":{},"boot-roles":""`) {
		t.Errorf("an empty request: %s", empty)
	}
}

// TestRequirement07FailuresOrTheEnd: a target that fails is {} or the end (requirement 6), the others are there in any case.
func TestRequirement07FailuresOrTheEnd(t *testing.T) {
	good := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"ok": true}`) }))
	defer good.Close()
	for _, c := range []struct {
		status     int
		body, word string
	}{
		{200, "canary <html>", NotJSON}, {200, `{"canary": 1} {}`, NotJSON}, {500, `{"canary": 1}`, Refused}, {404, "", Refused},
		{304, "", Redirected}, {300, `{"canary": 1}`, Redirected}, {200, "\"\xff canary\"", NotJSON},
		{200, strings.Repeat("[", 65) + strings.Repeat("]", 65), NotJSON}, {200, `"` + strings.Repeat("x", 1<<20) + `"`, TooLarge},
		{204, "", ""}, {200, " \n", ""}, {201, `null`, ""}, {202, `"text"`, ""},
	} {
		bad := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(c.status)
			_, _ = io.WriteString(w, c.body)
		}))
		for _, fatal := range []bool{false, true} {
			conf := configured("bad@"+bad.URL+"/?token=canary", "good@"+good.URL)
			conf.VendordataDynamicFailureFatal = fatal
			s, err := New(conf, Options{}, quiet())
			if err != nil {
				t.Fatal(err)
			}
			a, err := s.Fetch(t.Context(), Request{})
			if (err != nil) != (fatal && c.word != "") {
				t.Errorf("%d %.20q, fatal %v: %v", c.status, c.body, fatal, err)
			}
			if public, _ := fault.PublicOf(err); err != nil && (fault.KindOf(err) != fault.Unavailable || !strings.Contains(public, `target "bad"`) || strings.Contains(err.Error(), "canary")) {
				t.Errorf("%d %.20q: the error says %v", c.status, c.body, err)
			}
			want := `{}`
			if c.word == "" && strings.TrimSpace(c.body) != "" {
				want = c.body
			}
			if got := string(a.VendorData2(nil)); got != `{"bad":`+want+`,"good":{"ok":true}}` {
				t.Errorf("%d %.20q: %.100s", c.status, c.body, got)
			}
			if r := s.Report(a); r[0].Failed != c.word || (len(a.Failed()) == 1) != (c.word != "") || r[1].From != Asked {
				t.Errorf("%d %.20q: %+v", c.status, c.body, r)
			}
		}
		bad.Close()
	}
}

// Requests whose bodies differ have different digests, and only they.
func TestDigest(t *testing.T) {
	seen := map[string]int{example.digest(): -1}
	for i, change := range []func(*Request){
		func(r *Request) { r.ProjectID = "" }, func(r *Request) { r.InstanceID = "i2" }, func(r *Request) { r.ImageID += "x" }, func(r *Request) { r.Hostname = "" },
		func(r *Request) { r.UserData = secret.Secret{} }, func(r *Request) { r.Metadata = nil }, func(r *Request) { r.Metadata = map[string]string{"kv": ""} },
		func(r *Request) { r.BootRoles = nil }, func(r *Request) { r.BootRoles = []string{"reader", "member"} },
		func(r *Request) { r.ProjectID, r.InstanceID = "p", "1i1" },
	} {
		r := example
		change(&r)
		if other, known := seen[r.digest()]; known {
			t.Errorf("change %d has the digest of %d", i, other)
		}
		seen[r.digest()] = i
	}
	same := example
	same.BootRoles = []string{"member", "reader"} // the odd one is not sent
	if same.digest() != example.digest() {
		t.Error("the same body has another digest")
	}
}
