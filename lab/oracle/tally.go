package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// tally is what the run has found so far.
type tally struct {
	rows    []*row
	version string // of Debian's package

	requests    int // lines of the scripts
	sent        int // to each server: a line once a version
	versions    []string
	equal       int
	explained   int // answers whose differences are all explained
	unexplained []difference
	bad         int // answers with a difference that is not
}

// take counts the answers to one request.
func (t *tally) take(st step, version string, differences []difference) {
	if version == st.versions[0] {
		t.requests++
	}
	t.sent++
	if !slices.Contains(t.versions, version) {
		t.versions = append(t.versions, version)
	}
	if len(differences) == 0 {
		t.equal++
		return
	}
	before := len(t.unexplained)
	for _, d := range differences {
		d.section, d.place, d.request, d.version = st.section, st.place, st.method+" "+st.path, version
		t.judge(d)
	}
	if len(t.unexplained) == before {
		t.explained++
	} else {
		t.bad++
	}
}

// waited counts a state that one of the servers did not reach.
func (t *tally) waited(st step, theirs, ours error) {
	text := func(err error) string {
		if err == nil {
			return "reached"
		}
		return err.Error()
	}
	if theirs != nil || ours != nil {
		t.judge(difference{section: st.section, place: st.place, request: "wait " + st.name, version: newest, where: st.field + "=" + st.value,
			theirs: text(theirs), ours: text(ours)})
	}
}

func (t *tally) judge(d difference) {
	for _, r := range t.rows {
		if r.explains(d) {
			r.used++
			return
		}
	}
	t.unexplained = append(t.unexplained, d)
}

func (t *tally) unused() []*row {
	var out []*row
	for _, r := range t.rows {
		if r.used == 0 {
			out = append(out, r)
		}
	}
	return out
}

func (t *tally) passed(whole bool) bool {
	return len(t.unexplained) == 0 && (!whole || len(t.unused()) == 0)
}

// list is every unexplained difference, by section and request. One that several versions have is listed once.
func (t *tally) list() string {
	var out strings.Builder
	section, request := "", ""
	for _, g := range grouped(t.unexplained) {
		if g.section != section {
			section = g.section
			fmt.Fprintf(&out, "\n== %s\n", section)
		}
		if at := fmt.Sprintf("%s  %s @%s\n", g.place, g.request, strings.Join(g.versions, ",")); at != request {
			request = at
			out.WriteString(at)
		}
		fmt.Fprintf(&out, "    %s: Ironic %s | here %s\n", g.where, g.theirs, g.ours)
	}
	return out.String()
}

// group is a difference, and every version that has it.
type group struct {
	difference
	versions []string
}

func grouped(all []difference) []*group {
	var out []*group
	for _, d := range all {
		same := slices.IndexFunc(out, func(g *group) bool {
			return g.place == d.place && g.where == d.where && g.theirs == d.theirs && g.ours == d.ours
		})
		if same < 0 {
			out, same = append(out, &group{difference: d}), len(out)
		}
		out[same].versions = append(out[same].versions, d.version)
	}
	return out
}

func (t *tally) print(w io.Writer, took time.Duration, whole bool) {
	fmt.Fprint(w, t.list())
	if whole {
		for _, r := range t.unused() {
			fmt.Fprintf(w, "line %d of the explanations explains nothing\n", r.line)
		}
	}
	fmt.Fprintf(w, "\nIronic %s, %v:\n", t.version, took.Round(time.Second))
	fmt.Fprintf(w, "| requests | versions | sent to each | equal | explained | unexplained |\n|---|---|---|---|---|---|\n")
	fmt.Fprintf(w, "| %d | %s | %d | %d | %d | %d (%d differences) |\n", t.requests, strings.Join(t.versions, " "), t.sent, t.equal, t.explained, t.bad, len(t.unexplained))
}
