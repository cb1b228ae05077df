package policy

import (
	"strings"
	"testing"
)

// TestFiles: what a policy file may say, and what it changes.
func TestFiles(t *testing.T) {
	reader := Caller{UserID: "ann", ProjectID: "p1", ProjectName: "one", ProjectDomainID: "d1", Roles: []string{"Reader", "x-1"}}
	mine := Target{NodeOwner: "p1", NodeLessee: "p2"}
	for _, c := range []struct {
		name, text string
		rule       Rule
		on         Target
		allowed    bool
	}{
		{"the seed's line", `"baremetal:node:ipa_heartbeat": "!"`, "node:ipa_heartbeat", Target{}, false},
		{"without the prefix", `node:ipa_heartbeat: "!"`, "node:ipa_heartbeat", Target{}, false},
		{"JSON", "{\n\t\"baremetal:node:delete\":\t\"@\"\n}", "node:delete", mine, true},
		{"empty is everybody", `"baremetal:node:delete": ""`, "node:delete", mine, true},
		{"an empty list is everybody", `"baremetal:node:delete": []`, "node:delete", mine, true},
		{"a list of empty lists is nobody", `"baremetal:node:delete": [[]]`, "node:delete", mine, false},
		{"a list of lists", `"baremetal:node:delete": [["role:admin"], ["role:reader", "project_id:p1"]]`, "node:delete", mine, true},
		{"a list of checks", `"baremetal:node:delete": ["role:admin", "role:reader"]`, "node:delete", mine, true},
		{"all of an inner list", `"baremetal:node:delete": [["role:reader", "project_id:p2"]]`, "node:delete", mine, false},
		{"roles in any case", `"baremetal:node:delete": "role:READER"`, "node:delete", mine, true},
		{"and before or", `"baremetal:node:delete": "role:reader or role:reader and role:admin"`, "node:delete", mine, true},
		{"not before and", `"baremetal:node:delete": "not role:admin and role:reader"`, "node:delete", mine, true},
		{"parentheses", `"baremetal:node:delete": "(role:reader or role:reader) and role:admin"`, "node:delete", mine, false},
		{"words in any case", `"baremetal:node:delete": "NOT role:admin AND ( role:reader Or ! )"`, "node:delete", mine, true},
		{"owner", `"baremetal:node:delete": "project_id:%(node.owner)s"`, "node:delete", mine, true},
		{"no owner is nobody's", `"baremetal:node:delete": "project_id:%(node.owner)s"`, "node:delete", Target{}, false},
		{"unset equals None", `"baremetal:node:delete": "domain_id:None"`, "node:delete", mine, true},
		{"an owner called None is nobody's", `"baremetal:node:delete": "domain_id:%(node.owner)s"`, "node:delete", Target{NodeOwner: "None"}, false},
		{"a caller's value on the right", `"baremetal:node:delete": "project_name:%(project_name)s"`, "node:delete", mine, true},
		{"a text beside a value", `"baremetal:node:delete": "roles:x-%(project_id)s"`, "node:delete", mine, false},
		{"a role of a value", `"baremetal:node:delete": "role:x-%(project_domain_id)s"`, "node:delete", mine, false},
		{"a literal on the left", `"baremetal:node:delete": "'p2':%(node.lessee)s"`, "node:delete", mine, true},
		{"a number on the left", `"baremetal:node:delete": "7:7 and 7:%(node.lessee)s"`, "node:delete", mine, false},
		{"a helper of one's own", "ours: role:reader\n\"baremetal:node:delete\": rule:ours", "node:delete", mine, true},
		{"a helper by its full name", `"baremetal:node:delete": "rule:baremetal:node:get"`, "node:delete", mine, true},
		{"a helper is no right", "ours: role:reader\n\"baremetal:node:delete\": rule:ours", "ours", mine, false},
		{"the default rule", "default: \"@\"\n\"baremetal:node:delete\": rule:gone", "node:delete", mine, true},
		{"a base rule", `show_password: "role:reader"`, "show_password", Target{}, true},
		{"deprecated names", `"baremetal:node:delete": "tenant:p1 and user:ann"`, "node:delete", mine, true},
		{"comments only", "# nothing\n", "node:delete", mine, false},
		{"the scope stays", `"baremetal:driver:get": "@"`, "driver:get", Target{}, false},
	} {
		s, err := New(Defaults(), File{"policy.yaml", []byte(c.text)})
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if got := s.For(reader).Allows(c.rule, c.on); got != c.allowed {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

// TestBadFiles: what is wrong with a policy file is said, with the line.
func TestBadFiles(t *testing.T) {
	deep := strings.Repeat("(", maxDepth+2) + "@" + strings.Repeat(")", maxDepth+2)
	for text, want := range map[string]string{
		"\n\"baremetal:node:gett\": \"@\"":                           "f:2: rule \"baremetal:node:gett\": there is no such rule; did you mean node:get?",
		`"ingot:invented": "@"`:                                      "there is no such rule",
		`"baremetal:step:execute:deploy": "@"`:                       "there is no such rule",
		`"node:gett": "@"`:                                           "there is no rule node:gett, and no other rule refers to it; did you mean node:get?",
		`"baremetal:node:get": !`:                                    "put it in quotes",
		`"baremetal:node:get":`:                                      "put it in quotes",
		`"baremetal:node:get": true`:                                 "put it in quotes",
		`"baremetal:node:get": {a: b}`:                               "neither a text nor a list",
		`"baremetal:node:get": [[[a]]]`:                              "neither a text nor a list of lists of texts",
		`"baremetal:node:get": "role:a role:b"`:                      `before "role:b"`,
		`"baremetal:node:get": "role:a and"`:                         "it ends where a check was expected",
		`"baremetal:node:get": "(role:a"`:                            "a parenthesis is not closed",
		`"baremetal:node:get": "role:a)"`:                            `before ")"`,
		`"baremetal:node:get": "and"`:                                `there is "and" where`,
		`"baremetal:node:get": "reader"`:                             "is no check",
		`"baremetal:node:get": "http://policy.example.org/"`:         "asks another server",
		`"baremetal:node:get": "https://policy.example.org/"`:        "asks another server",
		`"baremetal:node:get": "projekt:x"`:                          "not known of a caller",
		`"baremetal:node:get": "project_id:%(node.ownr)s"`:           "%(node.ownr)s is not known",
		`"baremetal:node:get": "project_id:50%"`:                     "not of the form",
		`"baremetal:node:get": "rule:gone"`:                          "f:1: rule node:get refers to rule:gone, which is not defined",
		"a: rule:b\nb: rule:a\n\"baremetal:node:get\": rule:a":       "refers to itself",
		`"baremetal:node:get": "` + deep + `"`:                       "nested more than",
		`"baremetal:node:get": "` + strings.Repeat("(", 1<<15) + `"`: "may have 16384 bytes",
		"\"baremetal:node:get\": \"@\"\nnode:get: \"!\"":             "the file has it before",
		"- a":                                   "a policy file has a line for each rule",
		"a: b\n---\nc: d":                       "more than one YAML document",
		"baremetal:node:get: @":                 "neither YAML nor JSON",
		"a: &x role:reader\nb: *x":              "neither a text nor a list",
		strings.Repeat("# much\n", MaxFile/7+1): "may have 1048576 bytes",
	} {
		_, err := New(Defaults(), File{"f", []byte(text)})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: %v; want %q in it", text, err, want)
		}
	}
}

// TestLaterFilesWin: a later file replaces what an earlier one says.
func TestLaterFilesWin(t *testing.T) {
	s, err := New(Defaults(), File{"a", []byte(`"baremetal:node:delete": "@"`)}, File{"b", []byte(`"baremetal:node:delete": "!"`)})
	if err != nil {
		t.Fatal(err)
	}
	if s.For(Caller{Trusted: true}).Allows("node:delete", Target{}) {
		t.Error("the first file won, or a trusted caller passes what is for nobody")
	}
}

// TestSteps: a step is anybody's who may ask for steps, until a rule says otherwise.
func TestSteps(t *testing.T) {
	s, err := New(Defaults(), File{"f", []byte(`"baremetal:step:execute:deploy.erase_devices": "role:admin"`)})
	if err != nil {
		t.Fatal(err)
	}
	who := s.For(Caller{Roles: []string{"member"}})
	if who.Step("deploy.erase_devices", Target{}) == nil || who.Step("deploy.burnin_cpu", Target{}) != nil {
		t.Error("step rules are not judged")
	}
}

// TestReadable: what a check string reads as says the same.
func TestReadable(t *testing.T) {
	for name, r := range table {
		e, err := parse(r.check())
		if err != nil {
			t.Fatal(err)
		}
		again, err := parse(e.String())
		if err != nil || again.String() != e.String() {
			t.Errorf("%s: %q reads as %q: %v", name, e, again, err)
		}
	}
}

// FuzzCheck: whatever a policy file says, it is refused or can be judged.
func FuzzCheck(f *testing.F) {
	for _, r := range table {
		f.Add(r.check())
	}
	for _, s := range []string{"", "@", "!", "not (role:a or !) and 'x':%(node.owner)s", "rule:node:get", "((((", "role:%%x%(user_id)s", "7:%(roles)s", "http://x"} {
		f.Add(s)
	}
	who := Caller{UserID: "u", ProjectID: "p", Roles: []string{"reader"}}
	f.Fuzz(func(t *testing.T, text string) {
		e, err := parse(text)
		if err != nil {
			return
		}
		s, err := New(Defaults())
		if err != nil {
			t.Fatal(err)
		}
		s.override("node:delete", written{"fuzz", e})
		if errs := s.link(); errs != nil {
			return
		}
		got := s.For(who).Allows("node:delete", Target{NodeOwner: "p"})
		again, err := parse(e.String())
		if err != nil {
			t.Fatalf("%q reads as %q: %v", text, e, err)
		}
		s.override("node:delete", written{"fuzz", again})
		if s.link(); s.For(who).Allows("node:delete", Target{NodeOwner: "p"}) != got {
			t.Errorf("%q and %q differ", text, e)
		}
	})
}

// FuzzFile: whatever a policy file is, it is refused or gives rules.
func FuzzFile(f *testing.F) {
	for _, s := range []string{"", "{}", "a: b", `{"baremetal:node:get": [["role:a"], ["@"]]}`, "a: &x [*x]", "? {a: b}\n: c", "\"baremetal:node:get\": !!binary aGk="} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := New(Defaults(), File{"fuzz", text})
		if err == nil {
			s.For(Caller{Roles: []string{"reader"}}).Allows("node:get", Target{NodeOwner: "p"})
		}
	})
}

func BenchmarkCheck(b *testing.B) {
	r := For(Caller{ProjectID: "p1", Roles: []string{"member", "reader"}})
	b.ReportAllocs()
	for b.Loop() {
		if !r.Allows("node:get", Target{NodeOwner: "x", NodeLessee: "p1"}) {
			b.Fatal("denied")
		}
	}
}
