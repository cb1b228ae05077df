package policy

import (
	"os"
	"slices"
	"strings"
	"testing"

	"ingot/internal/fault"
)

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		caller Caller
		rule   Rule
		ok     bool
	}{
		{Caller{}, "node:ipa_heartbeat", true},
		{Caller{}, "public_api", false},
		{Caller{IsPublicAPI: true}, "public_api", true},
		{Caller{}, "node:list", false},
		{Caller{Trusted: true}, "node:list", true},
		{Caller{Trusted: true}, "show_password", false},
		{Caller{Trusted: true}, "node:invented", false},
		{Caller{Trusted: true}, "", false},
	} {
		err := For(c.caller).Check(c.rule, Target{})
		if (err == nil) != c.ok || err != nil && fault.KindOf(err) != fault.Forbidden {
			t.Errorf("%+v %q: %v", c.caller, c.rule, err)
		}
	}
}

func TestKnown(t *testing.T) {
	if !Known("node:get") || Known("node:invented") {
		t.Error("Known does not read the table")
	}
}

// TestNobody: without rights nothing is allowed, and nothing falls over.
func TestNobody(t *testing.T) {
	var r *Rights
	if r.Allows("node:ipa_heartbeat", Target{}) || r.Asked("node:ipa_heartbeat") || r.Who().Trusted {
		t.Error("a nil *Rights has rights")
	}
}

// persona is a caller by its code, and whether services are lifted for it.
func persona(code string) (Caller, bool) {
	names := map[byte][]string{'A': {"admin", "manager", "member", "reader"}, 'G': {"manager", "member", "reader"},
		'M': {"member", "reader"}, 'R': {"reader"}, 'S': {"service"}}
	if code == "SV" {
		return Caller{ProjectID: "p-service", ProjectName: "service", Roles: []string{"service"}}, true
	}
	c := Caller{UserID: "u", Roles: names[code[1]]}
	switch code[0] {
	case 'S':
		c.SystemScope = "all"
	default:
		c.ProjectID, c.ProjectName = "p-"+code[:1], "name-"+code[:1]
	}
	return c, false
}

var personas = strings.Fields("SA SM SR SS SV OA OG OM OR OS LA LG LM LR LS XA XG XM XR XS")

// TestTableIsUpstreams holds the table against the facts in testdata/rbac.txt.
func TestTableIsUpstreams(t *testing.T) {
	plain, err := New(Config{EnforceScope: false})
	if err != nil {
		t.Fatal(err)
	}
	lifted, err := New(Config{EnforceScope: false, ServiceProject: "service"})
	if err != nil {
		t.Fatal(err)
	}
	on := Target{NodeOwner: "p-O", NodeLessee: "p-L", AllocationOwner: "p-O", RunbookOwner: "p-O"}
	facts := facts(t)
	for rule, fact := range facts {
		if want := map[string]scope{"S": system, "P": project, "-": ""}[fact.scope]; table[rule].scope != want {
			t.Errorf("%s: the table's scope is %q, and not %q", rule, table[rule].scope, want)
		}
		for _, code := range personas {
			who, lift := persona(code)
			set := plain
			if lift {
				set = lifted
			}
			if got := set.For(who).Allows(rule, on); got != slices.Contains(fact.who, code) {
				t.Errorf("%s of %s: %v", rule, code, got)
			}
		}
	}
	helpers := strings.Fields("show_password show_instance_secrets public_api service_role admin_api is_member is_observer " +
		"is_admin is_node_owner is_node_lessee is_allocation_owner")
	for rule := range table {
		_, known := facts[rule]
		if ours := strings.HasPrefix(string(rule), "ingot:") || slices.Contains(helpers, string(rule)); known == ours {
			t.Errorf("%s: is it Ironic's or ours?", rule)
		}
	}
}

type fact struct {
	scope string
	who   []string
}

func facts(t *testing.T) map[Rule]fact {
	t.Helper()
	text, err := os.ReadFile("testdata/rbac.txt")
	if err != nil {
		t.Fatal(err)
	}
	out := map[Rule]fact{}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); f[0] != "#" {
			out[Rule(f[0])] = fact{f[1], f[2:]}
		}
	}
	return out
}

// TestFalseIsFalse: no spelling of false that clients may send goes around the rule of switching cleaning off.
func TestFalseIsFalse(t *testing.T) {
	for _, v := range []any{false, "false", "FALSE", " false", "no\n", "\u00a0off", "\t0", "N", 0.0} {
		if r := OfNodeField("automated_clean", v); r != "node:disable_cleaning" {
			t.Errorf("%q is under %s", v, r)
		}
	}
	for _, v := range []any{true, " yes ", nil} {
		if r := OfNodeField("automated_clean", v); r != "node:update" {
			t.Errorf("%q is under %s", v, r)
		}
	}
}
