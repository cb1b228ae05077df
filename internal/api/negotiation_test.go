package api

import (
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"ingot/internal/metal"
	"ingot/internal/wire"
)

// fact is one line of testdata/microversions.txt; what the words are is said there.
type fact struct {
	min           int
	word          string
	kind          string   // of a field: of which resource
	name          string   // of a field, parameter, key, verb, rule, state, look or marker
	older         string   // hide; a status; all or look
	at            string   // the status from min on
	refused       int      // of a field: the status of naming it
	state         string   // of the node
	methods       []string // of the request; of an endpoint several
	path, body    string
	differs, text string // the row in docs/compatibility.md; the line
}

// microversions reads the facts.
func microversions(t testing.TB) (out []fact) {
	t.Helper()
	text, err := os.ReadFile("testdata/microversions.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		f := readFact(line)
		if f.min == 0 {
			t.Fatalf("cannot read %q", line)
		}
		out = append(out, f)
	}
	return out
}

// readFact reads one line; min is 0 if it cannot.
func readFact(line string) (f fact) {
	f.text = line
	said, differs, _ := strings.Cut(line, " ~ ")
	f.differs = differs
	w := strings.Fields(said)
	if len(w) < 3 || !strings.HasPrefix(w[0], "1.") {
		return f
	}
	min, err := strconv.Atoi(w[0][2:])
	if err != nil {
		return f
	}
	f.word = w[1]
	switch {
	case f.word == "field" && len(w) == 5:
		f.kind, f.name = w[2], w[3]
		var refused string
		f.older, refused, _ = strings.Cut(w[4], ",")
		f.refused, _ = strconv.Atoi(refused)
	case f.word == "born" && len(w) == 3:
		f.kind = w[2]
	case f.word == "endpoint" && len(w) == 5:
		f.older, f.methods, f.path = w[2], strings.Split(w[3], ","), w[4]
	case f.word == "state" && len(w) > 3:
		f.older, f.name = w[2], strings.Join(w[3:], " ")
	case f.word == "shown" || f.word == "marker":
		f.name = w[2]
	case slices.Contains([]string{"param", "arg", "verb", "rule"}, f.word) && len(w) > 5:
		f.name = w[2]
		f.older, f.at, _ = strings.Cut(w[3], ":")
		rest := w[4:]
		if in, ok := strings.CutPrefix(rest[0], "in="); ok {
			f.state, rest = strings.ReplaceAll(in, "_", " "), rest[1:]
		}
		f.methods, f.path, f.body = rest[:1], rest[1], strings.Join(rest[2:], " ")
	default:
		return f
	}
	f.min = min
	return f
}

// column is a row of a field table without its type.
type column struct {
	min   int
	flags wire.Flag
	typ   wire.Type
}

func columns[T any](fields []wire.Field[T]) map[string]column {
	out := map[string]column{}
	for _, f := range fields {
		out[f.Name] = column{f.Min, f.Flags, f.Type}
	}
	return out
}

// fieldTables are the tables of fields, by kind.
func fieldTables() map[string]map[string]column {
	return map[string]map[string]column{
		"node": columns(wire.NodeFields), "states": columns(wire.StatesShape(wire.MaxMinor)), "port": columns(wire.PortFields),
		"portgroup": columns(wire.PortgroupFields), "chassis": columns(wire.ChassisFields), "driver": columns(wire.DriverFields),
		"conductor": columns(wire.ConductorFields), "connector": columns(wire.VolumeConnectorFields), "target": columns(wire.VolumeTargetFields),
		"allocation": columns(wire.AllocationFields), "template": columns(wire.DeployTemplateFields), "runbook": columns(wire.RunbookFields),
		"rule": columns(wire.InspectionRuleFields), "history": columns(wire.HistoryFields), "bios": columns(wire.BIOSSettingFields),
		"firmware": columns(wire.FirmwareFields),
	}
}

// TestTablesAreTheFacts: what the tables say of versions is in the facts, and the facts are in the tables.
func TestTablesAreTheFacts(t *testing.T) {
	facts := microversions(t)
	page, err := os.ReadFile("../../docs/compatibility.md")
	if err != nil {
		t.Fatal(err)
	}
	said := map[int]bool{}
	for _, f := range facts {
		said[f.min] = true
		if f.differs != "" && !strings.Contains(string(page), f.differs) {
			t.Errorf("%s: docs/compatibility.md has no such row", f.text)
		}
	}
	for minor := wire.MinMinor; minor <= wire.MaxMinor; minor++ {
		if !said[minor] {
			t.Errorf("the facts say nothing of 1.%d", minor)
		}
	}
	fieldsAreTheFacts(t, facts)
	routesAreTheFacts(t, facts)
	parametersAreTheFacts(t, facts)
	verbsAreTheFacts(t, facts)
	changesAreTheFacts(t, facts)
}

// changes are the versions that code compares with, by the rule or look that came with them.
var changes = map[string]int{
	"name-as-identifier":                        metal.SinceNodeNames,
	"name-as-parameter-of-ports":                metal.SinceNodeNames,
	"name-as-parameter-of-validate":             metal.SinceNodeNames,
	"available-is-null":                         wire.SinceAvailable,
	"all-unreserved-characters-in-names":        wire.SinceFreeNames,
	"new-nodes-are-enroll":                      metal.SinceEnroll,
	"chassis-can-be-unset":                      metal.SinceUnsetChassis,
	"soft-power-off":                            metal.SinceSoftPower,
	"soft-rebooting":                            metal.SinceSoftPower,
	"configdrive-with-rebuild":                  metal.Verbs[metal.VerbRebuild].Drive,
	"inspect-wait-is-inspecting":                wire.SinceInspectWait,
	"no-change-while-inspecting":                metal.SinceInspectLocks,
	"no-change-of-ports-while-inspecting":       metal.SinceInspectLocks,
	"no-change-of-port-groups-while-inspecting": metal.SinceInspectLocks,
	"abort-in-inspect-wait":                     metal.States[metal.InspectWait].Abort,
	"configdrive-is-an-object":                  metal.SinceDriveObject,
	"configdrive-with-vendor-data":              metal.SinceVendorData,
	"agent-token-of-lookup":                     metal.SinceLookupToken,
	"link-network-type":                         metal.SinceLinkTypes,
	"vif-names-port-or-group":                   metal.SinceVIFPorts,
	"no-deploy-steps-with-deploy":               metal.Verbs[metal.VerbDeploy].Min,
	"inspection-continues-at-1.1":               metal.SinceReportAnswer,
	"link-to-a-vtep":                            wire.SinceVTEP,
	"link-to-a-vtep-appears":                    wire.SinceVTEP,
	"suffix-json-stays":                         metal.SinceSuffixes,
	"no-link-to-a-vtep":                         wire.SinceNoVTEP,
	"link-to-a-vtep-disappears":                 wire.SinceNoVTEP,
	"no-ramdisk-for-service":                    metal.Verbs[metal.VerbService].Alone,
	"abort-in-wait-call-back":                   metal.States[metal.DeployWait].Abort,
	"names-of-runbooks-are-free":                metal.SinceRunbookTraits,
}

func changesAreTheFacts(t *testing.T, facts []fact) {
	rest := maps.Clone(changes)
	for _, f := range facts {
		if f.word == "rule" || f.word == "shown" {
			if changes[f.name] != f.min {
				t.Errorf("%s: the code has it from 1.%d", f.text, changes[f.name])
			}
			delete(rest, f.name)
		}
	}
	if len(rest) > 0 {
		t.Errorf("the facts have no %v", slices.Sorted(maps.Keys(rest)))
	}
}

func fieldsAreTheFacts(t *testing.T, facts []fact) {
	tables := fieldTables()
	born, known := map[string]int{}, map[string]int{}
	for _, f := range facts {
		switch f.word {
		case "born":
			born[f.kind] = f.min
		case "field":
			known[f.kind+" "+f.name] = f.min
			if have, ok := tables[f.kind][f.name]; !ok || have.min != f.min {
				t.Errorf("%s: the table has it from 1.%d (it is there: %t)", f.text, have.min, ok)
			}
		}
	}
	for kind, table := range tables {
		for name, have := range table {
			if want := max(1, born[kind]); have.min != want && known[kind+" "+name] == 0 {
				t.Errorf("%s %s is from 1.%d in its table, and the facts do not know that", kind, name, have.min)
			}
		}
	}
	for _, k := range metal.InterfaceKinds {
		if known["node "+k.Name+"_interface"] != k.Min {
			t.Errorf("%s_interface is from 1.%d in metal.InterfaceKinds, and the facts do not know that", k.Name, k.Min)
		}
	}
}

func routesAreTheFacts(t *testing.T, facts []fact) {
	known := map[string]bool{}
	for _, f := range facts {
		if f.word != "endpoint" {
			continue
		}
		for _, method := range f.methods {
			known[method+" "+f.path] = true
			rt, ok := routeAt(method, f.path)
			below := strconv.Itoa(max(rt.below, 404))
			if f.older == "none" && ok && rt.min == 0 {
				continue
			}
			if !ok || rt.min != f.min || below != f.older {
				t.Errorf("%s: %s is from 1.%d in the table, and %s below (it is there: %t)", f.text, method, rt.min, below, ok)
			}
		}
	}
	for _, rt := range allRoutes() {
		if rt.min > wire.MinMinor && !known[rt.key()] {
			t.Errorf("%s is from 1.%d in its table, and the facts do not know that", rt.key(), rt.min)
		}
	}
}

// routeAt is the route of a method and a path, which may have other names for what is in braces.
func routeAt(method, path string) (route, bool) {
	plain := func(p string) string {
		parts := strings.Split(p, "/")
		for i, s := range parts {
			if strings.HasPrefix(s, "{") {
				parts[i] = "{}"
			}
		}
		return strings.Join(parts, "/")
	}
	for _, rt := range allRoutes() {
		if rt.method == method && (rt.path == path || plain(rt.path) == plain(path)) {
			return rt, true
		}
	}
	return route{}, false
}

func parametersAreTheFacts(t *testing.T, facts []fact) {
	known := map[parameter]bool{}
	for _, f := range facts {
		if f.word != "param" && f.word != "arg" {
			continue
		}
		path, _, _ := strings.Cut(f.path, "?")
		rt, ok := routeAt(f.methods[0], path)
		if !ok {
			t.Errorf("%s: there is no such route", f.text)
			continue
		}
		if !slices.Contains(strings.Fields(rt.takes), f.name) {
			if f.word == "param" {
				t.Errorf("%s: the route does not take it", f.text)
			}
			continue // a key of an object that is created: its handler knows it
		}
		p := parameterOf(rt.path, f.name)
		known[p] = true
		want := f.min
		if f.older == f.at {
			want = 0 // not gated
		}
		if p.min != want || p.bad != (f.older == "400") {
			t.Errorf("%s: from 1.%d in the table, and refused as invalid: %t", f.text, p.min, p.bad)
		}
	}
	for _, p := range parameters {
		if p.min > wire.MinMinor && !known[p] {
			t.Errorf("parameter %s of %q is from 1.%d in its table, and the facts do not know that", p.name, p.on, p.min)
		}
	}
}

func verbsAreTheFacts(t *testing.T, facts []fact) {
	verbs, states := map[string]int{}, map[string]int{}
	for _, f := range facts {
		switch {
		case f.word == "verb":
			verbs[f.name] = f.min
		case f.word == "state" && f.older == "look":
			states[f.name] = f.min
		case f.word == "state" && metal.States[metal.State(f.name)].Min != 0:
			t.Errorf("%s: the table wants 1.%d for changes", f.text, metal.States[metal.State(f.name)].Min)
		}
	}
	for verb, info := range metal.Verbs {
		if want := max(1, verbs[string(verb)]); info.Min != want {
			t.Errorf("verb %s is from 1.%d in its table, and the facts say 1.%d", verb, info.Min, want)
		}
		delete(verbs, string(verb))
	}
	for state, info := range metal.States {
		if info.Min != states[string(state)] {
			t.Errorf("state %s is from 1.%d in its table, and the facts say 1.%d", state, info.Min, states[string(state)])
		}
		delete(states, string(state))
	}
	if len(verbs)+len(states) > 0 {
		t.Errorf("no table has %v %v", verbs, states)
	}
}
