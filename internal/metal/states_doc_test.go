package metal

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite docs/states.md")

const statesDoc = "../../docs/states.md"

// TestStatesDoc keeps docs/states.md equal to what the tables say; -update rewrites it.
func TestStatesDoc(t *testing.T) {
	want := renderStates()
	if *update {
		if err := os.WriteFile(statesDoc, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(statesDoc)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Error("docs/states.md is not what the tables say; run make gen")
	}
}

// renderStates writes the three tables for people: a picture, the states, the transitions, the verbs.
func renderStates() string {
	var b strings.Builder
	b.WriteString(`# The states of a node

Generated from the tables in ` + "`internal/metal`" + ` by ` + "`make gen`" + `; edits here are lost. Nothing else decides
what can happen to a node. Words and transitions are Ironic's; a test compares them with a fixture.

`)
	b.WriteString("```mermaid\nstateDiagram-v2\n    [*] --> enroll\n")
	for _, s := range inOrder() {
		fmt.Fprintf(&b, "    %s: %s\n", ident(s), s)
	}
	for _, s := range inOrder() {
		for _, to := range inOrder() {
			var events []string
			for _, e := range Events(s) {
				if n, _ := Next(s, e); n == to {
					events = append(events, string(e))
				}
			}
			if len(events) > 0 {
				fmt.Fprintf(&b, "    %s --> %s: %s\n", ident(s), ident(to), strings.Join(events, ", "))
			}
		}
	}
	b.WriteString("```\n\n## States\n\n")
	fmt.Fprintf(&b, "%s\n\n", kindsInWords)
	b.WriteString("| State | Kind | Target | Limit | Agent may look up | Deletable | Patchable while it has a target | Changeable from |\n|---|---|---|---|---|---|---|---|\n")
	for _, s := range inOrder() {
		i := States[s]
		limit := ""
		if i.Limit > 0 {
			limit = fmt.Sprintf("%.0f min", i.Limit.Minutes())
		}
		from := ""
		if i.Min > 0 {
			from = fmt.Sprintf("1.%d", i.Min)
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s | %s |\n", s, i.Kind, i.Target, limit, yes(i.Lookup), yes(i.Deletion), yes(i.Patch), from)
	}
	b.WriteString("\n## Transitions\n\n| In state | event | leads to |\n|---|---|---|\n")
	n := 0
	for _, s := range inOrder() {
		for _, e := range Events(s) {
			to, _ := Next(s, e)
			fmt.Fprintf(&b, "| %s | %s | %s |\n", s, e, to)
			n++
		}
	}
	fmt.Fprintf(&b, "\n%d states, %d transitions.\n\n## Verbs\n\nWhat a caller may send to `PUT /v1/nodes/{node}/states/provision`.\n\n", len(States), n)
	b.WriteString("| Verb | since | event | in states |\n|---|---|---|---|\n")
	verbs := make([]Verb, 0, len(Verbs))
	for v := range Verbs {
		verbs = append(verbs, v)
	}
	slices.SortFunc(verbs, func(a, b Verb) int {
		return cmp.Or(cmp.Compare(Verbs[a].Min, Verbs[b].Min), cmp.Compare(a, b))
	})
	for _, v := range verbs {
		var in []string
		for _, s := range inOrder() {
			if _, ok := Next(s, Verbs[v].Event); ok {
				in = append(in, string(s))
			}
		}
		fmt.Fprintf(&b, "| %s | 1.%d | %s | %s |\n", v, Verbs[v].Min, Verbs[v].Event, strings.Join(in, ", "))
	}
	return b.String()
}

const kindsInWords = `*stable* rests until somebody asks for something; *busy*: a conductor works; *waiting*: something outside is
awaited, with a limit; *held*: a hold step was reached, unhold or abort leaves it; *failed* rests, with the reason in
` + "`last_error`" + `. *Changeable from* is the API version a client needs to patch or delete a node in that state or to send it a verb.`

// inOrder lists the states by distance from enroll, then by name: the order in which a node meets them.
func inOrder() []State {
	distance := map[State]int{Enroll: 1}
	for todo := []State{Enroll}; len(todo) > 0; todo = todo[1:] {
		for _, e := range Events(todo[0]) {
			if to, _ := Next(todo[0], e); distance[to] == 0 {
				distance[to] = distance[todo[0]] + 1
				todo = append(todo, to)
			}
		}
	}
	out := make([]State, 0, len(States))
	for s := range States {
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b State) int {
		return cmp.Or(cmp.Compare(distance[a], distance[b]), cmp.Compare(a, b))
	})
	return out
}

// ident is a state's name as Mermaid takes it: no spaces, no hyphens.
func ident(s State) string { return strings.NewReplacer(" ", "_", "-", "_").Replace(string(s)) }

func yes(b bool) string {
	if b {
		return "yes"
	}
	return ""
}
