package main

import (
	"bufio"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"ingot/lab/beside"
)

func TestScriptsAreUnderstood(t *testing.T) {
	steps, err := load()
	if err != nil {
		t.Fatal(err)
	}
	sections := map[string]bool{}
	for _, s := range steps {
		if s.section == "" {
			t.Errorf("%s is in no section", s.place)
		}
		sections[s.section] = true
	}
	if len(steps) < 500 || len(sections) < 20 {
		t.Errorf("%d steps in %d sections", len(steps), len(sections))
	}
}

func TestExplanationsAreUnderstood(t *testing.T) {
	document, err := os.ReadFile("../../docs/compatibility.md")
	if err != nil {
		t.Fatal(err)
	}
	rows, err := readRows(string(document))
	if err != nil || len(rows) == 0 {
		t.Fatalf("%d rows: %v", len(rows), err)
	}
	for _, r := range rows {
		if len(r.requests)+len(r.versions)+len(r.where)+len(r.theirs)+len(r.ours) == 0 {
			t.Errorf("line %d explains everything", r.line)
		}
	}
}

func TestParse(t *testing.T) {
	steps, err := parse("x.txt", bufio.NewScanner(strings.NewReader(`
== a section
# nothing
with A: b
POST /v1/nodes @1.1,none {"a": "b c"}
GET /v1
PUT /x @all raw:text/plain hello
keep abc a.0.b
wait $n provision_state=clean failed
`)))
	if err != nil {
		t.Fatal(err)
	}
	if len(steps) != 5 {
		t.Fatalf("%d steps", len(steps))
	}
	first := steps[0]
	if first.body != `{"a": "b c"}` || !slices.Equal(first.versions, []string{"1.1", "none"}) || first.headers[0] != [2]string{"A", "b"} || first.section != "a section" {
		t.Errorf("%+v", first)
	}
	if s := steps[1]; len(s.headers) != 0 || s.body != "" || !slices.Equal(s.versions, []string{newest}) {
		t.Errorf("%+v", s)
	}
	if s := steps[2]; s.kind != "text/plain" || s.body != "hello" || len(s.versions) != len(allVersions) {
		t.Errorf("%+v", s)
	}
	if s := steps[4]; s.name != "$n" || s.field != "provision_state" || s.value != "clean failed" {
		t.Errorf("%+v", s)
	}
	for _, bad := range []string{"with A", "keep a", "wait $n", "BREW /v1", "GET v1"} {
		if _, err := parse("x", bufio.NewScanner(strings.NewReader(bad))); err == nil {
			t.Errorf("%q was understood", bad)
		}
	}
}

func jsonAnswer(s *side, status int, body string) answer {
	return s.read(&http.Response{StatusCode: status, Header: http.Header{"Content-Type": {"application/json"}}}, []byte(body))
}

func TestCompare(t *testing.T) {
	theirs, ours := newSide(&beside.Server{URL: "http://a:1"}), newSide(&beside.Server{URL: "http://b:2"})
	for _, s := range []*side{theirs, ours} {
		s.fill("$n")
	}
	for _, c := range []struct {
		name, theirs, ours string
		status             int
		want               []string
	}{
		{"bases, times and UUIDs", `{"a":"http://a:1/v1","at":"2026-01-02T03:04:05+00:00","u":"` + uuidOf("x") + `"}`,
			`{"a":"http://b:2/v1","at":"2027-01-02T03:04:05.5+00:00","u":"` + uuidOf("y") + `"}`, 200, nil},
		{"a UUID of the script", `{"u":"` + uuidOf("$n") + `"}`, `{"u":"` + uuidOf("y") + `"}`, 200, []string{"body.u"}},
		{"another form of time", `{"at":"2026-01-02T03:04:05+00:00"}`, `{"at":"2026-01-02T03:04:05Z"}`, 200, []string{"body.at"}},
		{"keys", `{"a":1,"b":2}`, `{"b":2,"c":3}`, 200, []string{"body.a", "body.c"}},
		{"types", `{"a":null,"b":"1","c":{}}`, `{"a":{},"b":1,"c":[]}`, 200, []string{"body.a", "body.b", "body.c"}},
		{"a list of the same difference", `[{"a":1},{"a":1}]`, `[{"a":2},{"a":2}]`, 200, []string{"body[].a"}},
		{"length", `[1,2]`, `[1]`, 200, []string{"body"}},
		{"sentences", `{"error_message":"{\"faultcode\":\"Client\",\"faultstring\":\"x\",\"debuginfo\":null}"}`,
			`{"error_message":"{\"faultcode\":\"Client\",\"faultstring\":\"y\",\"debuginfo\":null}"}`, 400, nil},
		{"form of errors", `{"error_message":"{\"faultcode\":\"Client\"}"}`, `{"error_message":"{\"code\":400}"}`, 400,
			[]string{"body.error_message.code", "body.error_message.faultcode"}},
		{"no JSON", `text`, `{}`, 200, []string{"body"}},
		{"no body", ``, `{}`, 200, []string{"body"}},
	} {
		var got []string
		for _, d := range compare(jsonAnswer(theirs, c.status, c.theirs), jsonAnswer(ours, c.status, c.ours)) {
			got = append(got, d.where)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	if d := compare(jsonAnswer(theirs, 200, `{}`), jsonAnswer(ours, 404, `[]`)); len(d) != 1 || d[0].where != "status" {
		t.Errorf("another status: %v", d)
	}
}

func TestRows(t *testing.T) {
	rows, err := readRows("x\n" + heading + "\ntext\n| Requests | Versions | Where | Ironic | Here | Why |\n|---|---|---|---|---|---|\n" +
		"| `GET /a*`, `GET /b` | `<1.8`, `latest` | status | | `4*` | because |\n## next\n| a | b |\n")
	if err != nil || len(rows) != 1 {
		t.Fatalf("%v: %v", rows, err)
	}
	if rows[0].line != 6 {
		t.Errorf("line %d", rows[0].line)
	}
	for _, c := range []struct {
		request, version, ours string
		want                   bool
	}{
		{"GET /a/b", "1.7", "404", true}, {"GET /b", "none", "406", true}, {"GET /b", "latest", "400", true},
		{"GET /b/c", "1.7", "404", false}, {"GET /a", "1.8", "404", false}, {"GET /a", "1.7", "500", false}, {"GET /a", "abc", "404", false},
	} {
		if got := rows[0].explains(difference{request: c.request, version: c.version, where: "status", ours: c.ours}); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
	for _, bad := range []string{"no section", heading, "\n" + heading + "\n| a | b |\n", "\n" + heading + "\n| `a` | | | | | |\n"} {
		if rows, err := readRows(bad); err == nil {
			t.Errorf("%q has rows %v", bad, rows)
		}
	}
}
