package vendordata

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
)

func started(t *testing.T, c Config) *Server {
	t.Helper()
	s := New(c)
	if err := s.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func send(t *testing.T, method, url, body string, headers ...string) (int, http.Header, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(r)
	if err != nil {
		return 0, nil, err.Error()
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return resp.StatusCode, resp.Header, err.Error()
	}
	return resp.StatusCode, resp.Header, string(text)
}

const question = `{"project-id": "p1", "instance-id": "i1", "hostname": "web1: \"x\"\n", "boot-roles": "member,mail-operator", "user-data": null}`

// An answer is made of the question: by role and host name, as an object and as what cloud-init runs.
func TestAnswers(t *testing.T) {
	s := started(t, Config{Token: "right"})
	if code, _, _ := send(t, "POST", s.URL()+"/x", question); code != 401 {
		t.Errorf("without a token: %d", code)
	}
	code, _, text := send(t, "POST", s.URL()+"/x", question, "X-Auth-Token", "right")
	var f facts
	if err := json.Unmarshal([]byte(text), &f); err != nil || code != 200 || f.Hostname != "web1: \"x\"\n" || f.Purpose != "mail" || len(f.Roles) != 2 || f.Project != "p1" {
		t.Errorf("%d %s: %v", code, text, err)
	}
	_, _, text = send(t, "POST", s.URL()+"/cloud-init", question, "X-Auth-Token", "right")
	var config string
	if err := json.Unmarshal([]byte(text), &config); err != nil || !strings.HasPrefix(config, "#cloud-config\n") {
		t.Fatalf("%s: %v", text, err)
	}
	_, encoded, _ := strings.Cut(config, "content: ")
	document, err := base64.StdEncoding.DecodeString(strings.TrimSpace(encoded))
	var g facts
	if err != nil || json.Unmarshal(document, &g) != nil || g.Number != f.Number+1 || g.Instance != "i1" {
		t.Errorf("the file is %s: %v", document, err)
	}
	if code, _, _ := send(t, "POST", s.URL()+"/x", "{", "X-Auth-Token", "right"); code != 400 {
		t.Errorf("no question: %d", code)
	}
	all := s.Requests()
	if len(all) != 4 || all[0].Status != 401 || all[1].Question.BootRoles != "member,mail-operator" || all[1].Header.Get("X-Auth-Token") != "right" || s.Count() != 4 {
		t.Errorf("remembered: %+v", all)
	}
}

func TestCachingAndFaultsOverHTTP(t *testing.T) {
	s := started(t, Config{})
	if code, _, text := send(t, "PUT", s.URL()+"/lab/caching", `{"cache_control": "max-age=9", "etag": true, "headers": {"Age": "3"}}`); code != 204 {
		t.Fatal(code, text)
	}
	_, head, _ := send(t, "POST", s.URL()+"/x", question)
	if head.Get("Cache-Control") != "max-age=9" || head.Get("Etag") != `"r0"` || head.Get("Age") != "3" {
		t.Errorf("headers: %v", head)
	}
	if code, _, _ := send(t, "POST", s.URL()+"/x", question, "If-None-Match", `"r0"`); code != 304 {
		t.Errorf("the same again: %d", code)
	}
	for name, want := range map[string]int{Status500: 500, Status401: 401, Status204: 204, BadJSON: 200, HTML: 200, Empty: 200, Deep: 200, Unasked304: 304, Oversize: 200,
		Redirect: 307, RedirectHere: 307, Cut: 200, Gone: 0, Garbage: 0} {
		if code, _, text := send(t, "PUT", s.URL()+"/lab/faults", `[{"name": "`+name+`", "times": 1}]`); code != 204 {
			t.Fatal(name, code, text)
		}
		if code, _, text := send(t, "POST", s.URL()+"/x", question); code != want {
			t.Errorf("%s: %d %.100s", name, code, text)
		}
		if code, _, text := send(t, "POST", s.URL()+"/x", question); code != 200 || !strings.Contains(text, "number") {
			t.Errorf("%s does not heal: %d %.100s", name, code, text)
		}
	}
	for _, bad := range []string{`[{"name": "nonsense"}]`, `[{"name": "500", "times": -1}]`, `{`} {
		if code, _, _ := send(t, "PUT", s.URL()+"/lab/faults", bad); code != 400 {
			t.Errorf("%s: %d", bad, code)
		}
	}
	if _, _, text := send(t, "GET", s.URL()+"/lab/faults", ""); strings.TrimSpace(text) != "[]" {
		t.Errorf("faults: %s", text)
	}
	if _, _, text := send(t, "GET", s.URL()+"/lab/requests", ""); !strings.Contains(text, `"fault": "oversize"`) {
		t.Errorf("requests: %.200s", text)
	}
	for _, text := range []string{"500:0", "500:x", "nonsense", "nonsense:1"} {
		if f, err := ParseFault(text); err == nil {
			t.Errorf("%s was read as %+v", text, f)
		}
	}
	if f, err := ParseFault("401:2"); err != nil || f != (Fault{Name: Status401, Times: 2}) {
		t.Errorf("%+v, %v", f, err)
	}
}
