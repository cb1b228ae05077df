package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"hash/fnv"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var updateGolden = flag.Bool("update-golden", false, "write testdata/golden anew")

// An example is one request that shows what a route answers. {name} in path, body and first stands for an object of
// goldenObjects; in an example that writes, {node} is a node of its own.
type example struct {
	route string // as in openapi.json: "GET /v1/nodes/{node}"
	path  string // what is asked for, "" is the route's own path
	body  string
	state string   // of the node that a writing example has of its own; "" is enroll
	first []string // requests that prepare it: "METHOD path body", at the newest version
	shape bool     // what is in the answer differs from run to run: only its shape is kept
}

// goldenObjects are the objects of the reading examples, by name.
var goldenObjects = map[string]string{
	"chassis": goldenID(1, "chassis"), "node": goldenID(2, "node"), "child": goldenID(3, "child"), "free": goldenID(4, "free"), "waiting": goldenID(5, "waiting"),
	"port": goldenID(6, "port"), "portgroup": goldenID(7, "portgroup"), "connector": goldenID(8, "connector"), "target": goldenID(9, "target"),
	"template": goldenID(10, "template"), "runbook": goldenID(11, "runbook"), "rule": goldenID(12, "rule"), "allocation": goldenID(13, "allocation"), "os": goldenID(14, "os"),
}

// goldenID is a UUID that stays the same however many examples there are.
func goldenID(kind uint32, name string) string {
	h := fnv.New64a()
	h.Write([]byte(name))
	return fmt.Sprintf("%08x-0000-4000-8000-%012x", kind, h.Sum64()&0xffffffffffff)
}

// goldenServer is a server whose answers are the same each time, but for moments.
func goldenServer(t *testing.T) *running {
	conf := filepath.Join(t.TempDir(), "ingot.conf")
	if err := os.WriteFile(conf, []byte("[DEFAULT]\nhost = c1\n[api]\nramdisk_endpoints_public = true\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return serving(t, t.TempDir(), "--config", conf)
}

// TestGoldens asks every route of openapi.json at the first version that has it and at the newest, and compares the
// answers with testdata/golden. A route without an example fails: give it a line in goldenexamples_test.go, and run
// this with -update-golden.
func TestGoldens(t *testing.T) {
	r := goldenServer(t)
	firsts := r.firstVersions(t)
	for _, line := range goldenFixtures {
		r.prepares(t, line, goldenObjects)
	}
	seen, files := map[string]bool{}, map[string]bool{}
	all := slices.Concat(readingExamples, writingExamples)
	for _, e := range all {
		first, known := firsts[e.route]
		if !known {
			t.Errorf("%s is not in openapi.json", e.route)
			continue
		}
		seen[e.route] = true
		for _, version := range slices.Compact([]string{first, "1.115"}) {
			name := goldenName(e, version)
			if files[name] {
				t.Errorf("two examples have the name %s", name)
			}
			files[name] = true
			compareGolden(t, filepath.Join("testdata", "golden", name), r.answer(t, e, version))
		}
	}
	for route := range firsts {
		if !seen[route] {
			t.Errorf("%s has no example in goldenexamples_test.go", route)
		}
	}
	have, err := os.ReadDir(filepath.Join("testdata", "golden"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range have {
		if !files[f.Name()] {
			t.Errorf("testdata/golden/%s belongs to no example: delete it", f.Name())
		}
	}
}

// firstVersions are the routes that the server itself tells of, and the first version of each.
func (r *running) firstVersions(t *testing.T) map[string]string {
	t.Helper()
	var doc struct {
		Paths map[string]map[string]struct {
			First string `json:"x-openstack-min-ver"`
		}
	}
	if err := json.Unmarshal(r.call(t, "GET", "/openapi.json", nil, 200), &doc); err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for path, methods := range doc.Paths {
		for method, op := range methods {
			if op.First == "" {
				op.First = "1.1"
			}
			out[strings.ToUpper(method)+" "+path] = op.First
		}
	}
	if len(out) < 100 {
		t.Fatalf("openapi.json tells of %d routes only", len(out))
	}
	return out
}

var notInNames = regexp.MustCompile(`[^a-zA-Z0-9.-]+`)

func goldenName(e example, version string) string {
	method, path, _ := strings.Cut(e.route, " ")
	if e.path != "" {
		path = e.path
	}
	return method + notInNames.ReplaceAllString(strings.ReplaceAll(path, "/v1", ""), "_") + "@" + version + ".txt"
}

// waits looks at a resource until a field has a value.
func (r *running) waits(t *testing.T, path, field, want string) {
	t.Helper()
	patiently(t, path+" to have "+field+" "+want, func() bool {
		var v map[string]any
		return json.Unmarshal(r.call(t, "GET", path, nil, 200), &v) == nil && v[field] == want
	})
}

// prepares sends "METHOD path body", or waits: "until node state", "wish allocation", "active allocation", "inspecting node".
func (r *running) prepares(t *testing.T, line string, objects map[string]string) {
	t.Helper()
	words := strings.SplitN(goldenFill(line, objects), " ", 3)
	switch words[0] {
	case "until":
		r.settled(t, words[1], words[2])
		return
	case "wish": // an allocation that no conductor works on any more
		r.waits(t, "/v1/allocations/"+words[1], "state", "error")
		return
	case "active":
		r.waits(t, "/v1/allocations/"+words[1], "state", "active")
		return
	case "inspecting":
		r.waits(t, "/v1/nodes/"+words[1], "provision_state", "inspect wait")
		return
	}
	body := ""
	if len(words) == 3 {
		body = words[2]
	}
	if res, got := r.sends(t, words[0], words[1], body, "latest"); res.StatusCode >= 300 {
		t.Fatalf("%s: %s\n%s", line, res.Status, got)
	}
}

func goldenFill(s string, objects map[string]string) string {
	for name, id := range objects {
		s = strings.ReplaceAll(s, "{"+name+"}", id)
	}
	return s
}

func (r *running) sends(t *testing.T, method, path, body, version string) (*http.Response, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, r.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-OpenStack-Ironic-API-Version", version)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, got
}

// answer asks, and renders what came as a golden file has it.
func (r *running) answer(t *testing.T, e example, version string) []byte {
	t.Helper()
	method, path, _ := strings.Cut(e.route, " ")
	if e.path != "" {
		path = e.path
	}
	objects := goldenObjects
	if method != http.MethodGet {
		objects = r.ownNode(t, e, version)
	}
	res, body := r.sends(t, method, goldenFill(path, objects), goldenFill(e.body, objects), version)
	var out bytes.Buffer
	fmt.Fprintf(&out, "%s %s\nX-OpenStack-Ironic-API-Version: %s\n", method, path, version)
	if e.body != "" {
		fmt.Fprintf(&out, "\n%s\n", e.body)
	}
	fmt.Fprintf(&out, "\n%s\n", res.Status)
	for _, name := range []string{"Allow", "Content-Type", "Location", "X-OpenStack-Ironic-API-Version"} {
		if v := res.Header.Get(name); v != "" {
			fmt.Fprintf(&out, "%s: %s\n", name, v)
		}
	}
	if len(body) > 0 {
		fmt.Fprintf(&out, "\n%s\n", goldenBody(t, body, e.shape))
	}
	return r.normal(out.Bytes(), objects)
}

// ownNode makes the node that an example may write to, in its state, and what the example needs besides.
func (r *running) ownNode(t *testing.T, e example, version string) map[string]string {
	t.Helper()
	objects := map[string]string{}
	kind := uint32(0x100)
	for _, name := range []string{"node", "port", "portgroup", "connector", "target", "chassis", "template", "runbook", "rule", "allocation", "os"} {
		objects[name] = goldenID(kind, goldenName(e, version)+name)
		kind++
	}
	tail := objects["node"][24:]
	objects["mac"] = "02:" + strings.Join([]string{tail[:2], tail[2:4], tail[4:6], tail[6:8], tail[8:10]}, ":")
	objects["trait"] = "CUSTOM_" + strings.ToUpper(tail)
	steps := []string{`POST /v1/nodes {"uuid": "{node}", "driver": "fake-hardware", "resource_class": "own-{node}", "automated_clean": false, "rescue_interface": "fake"}`}
	for _, s := range []struct{ state, verb string }{{"manageable", "manage"}, {"available", "provide"}, {"active", "active"}} {
		if e.state == "" || e.state == "enroll" {
			break
		}
		steps = append(steps, `PUT /v1/nodes/{node}/states/provision {"target": "`+s.verb+`"}`, "until {node} "+s.state)
		if s.state == e.state {
			break
		}
	}
	for _, line := range slices.Concat(steps, e.first) {
		r.prepares(t, line, objects)
	}
	return objects
}

// goldenBody is JSON over several lines, or its shape.
func goldenBody(t *testing.T, body []byte, shape bool) []byte {
	t.Helper()
	var v any
	if err := json.Unmarshal(body, &v); err != nil {
		return []byte(fmt.Sprintf("(%T of another kind)", body))
	}
	if failure, ok := v.(map[string]any); ok && failure["error_message"] != nil { // JSON in a string
		var inner any
		if text, isText := failure["error_message"].(string); isText && json.Unmarshal([]byte(text), &inner) == nil {
			failure["error_message (JSON in a string)"] = inner
			delete(failure, "error_message")
		}
	}
	if shape {
		v = shapeOf(v, 2)
	}
	out, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// shapeOf is the types of a value, a few levels deep: of a list that of its first item.
func shapeOf(v any, levels int) any {
	switch v := v.(type) {
	case map[string]any:
		if levels == 0 {
			return "<object>"
		}
		out := map[string]any{}
		for key, inner := range v {
			out[key] = shapeOf(inner, levels-1)
		}
		return out
	case []any:
		if len(v) == 0 {
			return []any{}
		}
		return []any{shapeOf(v[0], levels)}
	case nil:
		return nil
	}
	return fmt.Sprintf("<%T>", v)
}

var goldenNoise = []struct {
	what *regexp.Regexp
	with string
}{
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT[0-9:.]+(\+00:00|Z)`), "<time>"},
	{regexp.MustCompile(`req-[0-9a-f-]{36}`), "<request>"},
	{regexp.MustCompile(`"(duration_seconds|generation|place)": [0-9.e+-]+`), `"$1": <number>`},
	{regexp.MustCompile(`"(agent_token|next|after)": "[^"]+"`), `"$1": "<text>"`},
}

var goldenUUID = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)

// normal takes out what is another in each run. An object is known by its name.
func (r *running) normal(b []byte, objects map[string]string) []byte {
	s := strings.ReplaceAll(string(b), r.url, "BASE")
	for name, id := range goldenObjects {
		s = strings.ReplaceAll(s, id, "<"+name+">")
	}
	for name, id := range objects {
		s = strings.ReplaceAll(s, id, "<"+name+">")
	}
	s = goldenUUID.ReplaceAllString(s, "<uuid>")
	for _, n := range goldenNoise {
		s = n.what.ReplaceAllString(s, n.with)
	}
	return []byte(s)
}

func compareGolden(t *testing.T, file string, got []byte) {
	t.Helper()
	if *updateGolden {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Errorf("%v; run this test with -update-golden", err)
		return
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs; -update-golden writes it anew, and git shows what changed. Got:\n%s", file, got)
	}
}
