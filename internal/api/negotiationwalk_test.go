package api

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"ingot/internal/courier"
	"ingot/internal/metal"
	"ingot/internal/ops"
	"ingot/internal/secret"
	"ingot/internal/store"
	"ingot/internal/store/storetest"
	"ingot/internal/wire"
)

// walk is a server with an object of each kind, which have all that a version can hide.
type walk struct {
	*rig
	made    int
	objects map[string]string // what stands for {name} in paths and bodies
}

// TestNegotiation asks a server for all that came with a version, just below it and at it.
func TestNegotiation(t *testing.T) {
	w := newWalk(t)
	for _, f := range microversions(t) {
		switch f.word {
		case "field":
			w.field(f)
		case "endpoint":
			w.endpoint(f)
		case "param", "arg", "verb", "rule":
			w.request(f)
		case "state":
			w.state(f)
		case "shown":
			look, ok := looks[f.name]
			if !ok {
				t.Errorf("%s: the test has no look of that name", f.text)
				continue
			}
			look(w, f.min)
		case "born", "marker": // the fields of what is born are behind endpoints; a marker changes nothing
		}
	}
}

func newWalk(t *testing.T) *walk {
	w := &walk{rig: newRig(t, func(o *Options) { o.AgentOnPublic = true }), objects: map[string]string{}}
	every := map[string][]string{}
	for name := range columns(wire.DriverFields) {
		if kind, ok := strings.CutPrefix(name, "default_"); ok {
			every[strings.TrimSuffix(kind, "_interface")] = []string{"fake"}
		}
	}
	w.s.KeepSecrets(ops.Keeper{Courier: courier.New(courier.Defaults()), Server: "c1"})
	storetest.Answer(t, w.db, metal.PlanCheckRescue)
	w.write(func(tx *store.Tx) error {
		types := []metal.HardwareType{{Name: "fake-hardware", Interfaces: every}, {Name: "redfish", Interfaces: every}}
		if err := tx.SaveConductor("c2", "c", types); err != nil {
			return err
		}
		return tx.SaveConductor("c1", "", types)
	})
	w.objects["chassis"] = w.make("/v1/chassis", `{}`)
	w.objects["runbook"] = w.make("/v1/runbooks", `{"name": "CUSTOM_BOOK", "steps": [{"interface": "deploy", "step": "x", "order": 1}]}`)
	w.do(put, "/v1/runbooks/CUSTOM_BOOK/traits", wire.MaxMinor, `{"traits": ["CUSTOM_BOOK"]}`).want(t, 204)
	w.objects["driver"], w.objects["hostname"], w.objects["setting"] = "fake-hardware", "c1", "Lighting"
	for _, name := range []string{"vif", "trait", "indicator", "uuid", "template"} { // there is none: what is looked at is the version
		w.objects[name] = othersID
	}
	w.fresh("")
	w.objects["allocation"] = w.make("/v1/allocations", `{"resource_class": "none"}`)
	w.write(func(tx *store.Tx) error {
		n, err := tx.Node(w.objects["node"])
		if err != nil {
			return err
		}
		if err := tx.SaveBIOSSettings(n.ID, []metal.BIOSSetting{{Name: "Lighting"}}); err != nil {
			return err
		}
		return tx.SaveFirmwareComponents(n.ID, []metal.FirmwareComponent{{Component: "bmc"}})
	})
	history, _ := w.do(get, "/v1/nodes/"+w.objects["node"]+"/history", wire.MaxMinor, nil).json(t)["history"].([]any)
	first, _ := history[0].(map[string]any)
	w.objects["event"], _ = first["uuid"].(string)
	w.objects["whole"] = w.objects["node"]
	w.objects["wholeport"], w.objects["wholegroup"] = w.objects["port"], w.objects["portgroup"]
	return w
}

func (w *walk) write(change func(*store.Tx) error) {
	w.t.Helper()
	if err := w.db.Write(w.t.Context(), change); err != nil {
		w.t.Fatal(err)
	}
}

// make creates an object at the newest version and gives its UUID.
func (w *walk) make(path, body string) string {
	w.t.Helper()
	a := w.do(post, path, wire.MaxMinor, body)
	if a.StatusCode != http.StatusCreated {
		w.t.Fatalf("%s %s: %d %s", path, body, a.StatusCode, a.body)
	}
	uuid, _ := a.json(w.t)["uuid"].(string)
	return uuid
}

// fresh makes a node with a port, a port group and a trait, in a state, and lets {node} and so on stand for them.
func (w *walk) fresh(state metal.State) {
	w.t.Helper()
	w.made++
	o := w.objects
	o["new"] = strconv.Itoa(w.made)
	o["name"] = "node-" + o["new"]
	o["mac"] = fmt.Sprintf("52:54:00:01:%02x:%02x", w.made/256, w.made%256)
	o["node"] = w.make("/v1/nodes", w.fill(`{"driver": "fake-hardware", "name": "{name}", "resource_class": "x", "chassis_uuid": "{chassis}"}`))
	o["portgroup"] = w.make("/v1/portgroups", w.fill(`{"node_uuid": "{node}"}`))
	o["port"] = w.make("/v1/ports", w.fill(`{"node_uuid": "{node}", "address": "`+strings.Replace(o["mac"], ":00:01:", ":00:02:", 1)+`"}`))
	w.do(put, w.fill("/v1/nodes/{node}/traits"), wire.MaxMinor, `{"traits": ["CUSTOM_BOOK"]}`).want(w.t, 204)
	if state != "" {
		w.force(o["node"], func(n *metal.Node) { n.ProvisionState = state })
	}
}

func (w *walk) fill(s string) string {
	for name, value := range w.objects {
		s = strings.ReplaceAll(s, "{"+name+"}", value)
	}
	return s
}

// ask sends a request with its braces filled.
func (w *walk) ask(method, path string, minor int, body string) reply {
	w.t.Helper()
	var b any
	if body != "" {
		b = w.fill(body)
	}
	return w.do(method, w.fill(path), minor, b)
}

// answers holds an answer to a status, or to saying nothing of versions ("-").
func (w *walk) answers(f fact, minor int, a reply, want string) {
	w.t.Helper()
	text := wire.ErrorText(a.body)
	switch {
	case want == "-":
		if a.StatusCode >= 400 && (strings.Contains(text, "needs API version") || a.StatusCode == http.StatusNotAcceptable || a.StatusCode == http.StatusMethodNotAllowed) {
			w.t.Errorf("%s: at 1.%d %d %s", f.text, minor, a.StatusCode, text)
		}
	case strconv.Itoa(a.StatusCode) != want:
		w.t.Errorf("%s: at 1.%d %d %s; want %s (%s %s)", f.text, minor, a.StatusCode, text, want, a.Request.Method, a.Request.URL)
	case a.StatusCode == http.StatusNotAcceptable && minor < f.min && !strings.Contains(text, wire.Version(f.min)):
		w.t.Errorf("%s: at 1.%d it does not say which version is needed: %s", f.text, minor, text)
	}
}

func (w *walk) request(f fact) {
	w.t.Helper()
	for _, c := range []struct {
		minor int
		want  string
	}{{f.min - 1, f.older}, {f.min, f.at}} {
		w.fresh(metal.State(f.state))
		w.answers(f, c.minor, w.ask(f.methods[0], f.path, c.minor, f.body), c.want)
	}
}

func (w *walk) endpoint(f fact) {
	w.t.Helper()
	older := f.older
	if older == "none" {
		older = "-"
	}
	w.fresh("")
	path := strings.NewReplacer("{allocation}", othersID, "{runbook}", othersID).Replace(f.path) // nothing that is needed is deleted
	for _, method := range f.methods {
		body := ""
		if method == post || method == put || method == patch {
			body = `{}`
		}
		a := w.ask(method, path, f.min-1, body)
		w.answers(f, f.min-1, a, older)
		if a.StatusCode == http.StatusMethodNotAllowed && a.Header.Get("Allow") == "" {
			w.t.Errorf("%s: no Allow", f.text)
		}
		w.answers(f, f.min, w.ask(method, path, f.min, body), "-")
	}
}

// state: older requests see the state as it is, and change a node in it only if they may do all.
func (w *walk) state(f fact) {
	w.t.Helper()
	for _, minor := range []int{f.min - 1, f.min} {
		w.fresh(metal.State(f.name))
		w.ask(get, "/v1/nodes/{node}", minor, "").want(w.t, 200, `"provision_state":"`+f.name+`"`)
		a := w.ask(patch, "/v1/nodes/{node}", minor, set("/extra/x", `1`))
		if locked := strings.Contains(wire.ErrorText(a.body), "API version"); locked != (f.older == "look" && minor < f.min) {
			w.t.Errorf("%s: PATCH at 1.%d: %d %s", f.text, minor, a.StatusCode, a.body)
		}
	}
}

// TestResourcesOfVersions: GET /v1 links what a version has, and on the agents' door what there is there. Source: rest-api reference §1.2.
func TestResourcesOfVersions(t *testing.T) {
	both := newRig(t, func(o *Options) { o.AgentOnPublic = true })
	agents := map[string]int{"lookup": 22, "heartbeat": 22, "continue_inspection": 84}
	all := map[string]int{"nodes": 1, "ports": 1, "drivers": 1, "chassis": 1, "portgroups": 23, "volume": 32, "conductors": 49, "allocations": 52,
		"events": 54, "deploy_templates": 55, "shards": 82, "runbooks": 92, "inspection_rules": 96}
	maps.Copy(all, agents)
	for url, want := range map[string]map[string]int{both.url: all, both.serve(AgentHandler(both.s, Options{})): agents} {
		for minor := wire.MinMinor; minor <= wire.MaxMinor; minor++ {
			doc := both.send(get, url+"/v1/", http.Header{wire.HeaderVersion: {wire.Version(minor)}}, nil).want(t, 200).json(t)
			for _, own := range []string{"id", "links", "media_types", "version"} {
				delete(doc, own)
			}
			for name, min := range want {
				if _, have := doc[name]; have != (minor >= min) {
					t.Errorf("1.%d: %s is linked: %t", minor, name, have)
				}
				delete(doc, name)
			}
			if len(doc) > 0 {
				t.Errorf("1.%d links %v, too", minor, doc)
			}
		}
	}
}

// places are where fields of a kind show: of one, of all, and what a new one needs.
var places = map[string]struct{ one, all, new string }{
	"node":       {"/v1/nodes/{whole}", "/v1/nodes", `"driver": "fake-hardware"`},
	"states":     {"/v1/nodes/{whole}/states", "", ""},
	"port":       {"/v1/ports/{wholeport}", "/v1/ports", `"node_uuid": "{node}", "address": "{mac}"`},
	"portgroup":  {"/v1/portgroups/{wholegroup}", "/v1/portgroups", `"node_uuid": "{node}"`},
	"driver":     {"/v1/drivers/{driver}", "", ""},
	"allocation": {"/v1/allocations/{allocation}", "/v1/allocations", `"resource_class": "none"`},
	"runbook":    {"/v1/runbooks/{runbook}", "/v1/runbooks", ""},
	"history":    {"/v1/nodes/{whole}/history/{event}", "", ""},
	"bios":       {"/v1/nodes/{whole}/bios/{setting}", "/v1/nodes/{whole}/bios", ""},
	"firmware":   {"/v1/nodes/{whole}/firmware", "/v1/nodes/{whole}/firmware", ""},
}

// shownOf is the object that an answer has, which some endpoints have inside another.
func shownOf(t testing.TB, a reply) map[string]any {
	t.Helper()
	m := a.want(t, 200).json(t)
	if inner, ok := m["Lighting"].(map[string]any); ok {
		return inner
	}
	if list, ok := m["firmware"].([]any); ok && len(list) > 0 {
		inner, _ := list[0].(map[string]any)
		return inner
	}
	return m
}

func (w *walk) field(f fact) {
	w.t.Helper()
	at, col := places[f.kind], fieldTables()[f.kind][f.name]
	for _, minor := range []int{f.min - 1, f.min} {
		if _, shown := shownOf(w.t, w.ask(get, at.one, minor, ""))[f.name]; shown != (minor == f.min) {
			w.t.Errorf("%s: shown at 1.%d: %t", f.text, minor, shown)
		}
		if f.refused == 0 {
			continue
		}
		want := func(ok int) string {
			if minor < f.min {
				ok = f.refused
			}
			return strconv.Itoa(ok)
		}
		if minor < f.min || minor >= 8 { // before 1.8 there is no fields=
			w.answers(f, max(minor, 8), w.ask(get, at.all+"?fields="+f.name, minor, ""), want(200)) // below 1.8 it may name that version
		}
		if col.flags&wire.Unsorted == 0 && f.refused == http.StatusNotAcceptable {
			sorted := 200
			if strings.HasSuffix(f.name, "_uuid") { // it is known after the version is judged that this is no column
				sorted = 400
			}
			w.answers(f, minor, w.ask(get, at.all+"?sort_key="+f.name, minor, ""), want(sorted))
		}
		value := valueOf(f.name, col.typ)
		if col.flags&wire.Create != 0 && f.refused == http.StatusNotAcceptable {
			w.fresh("")
			w.answers(f, minor, w.ask(post, at.all, minor, `{`+at.new+`, `+alsoNeeds[f.name]+`"`+f.name+`": `+value+`}`), want(201))
		}
		if col.flags&wire.Patch != 0 && f.refused == http.StatusNotAcceptable {
			w.fresh(stateFor[f.name])
			w.patched(f, minor, w.fill(value), want(200))
		}
	}
}

// patched changes a fresh object.
func (w *walk) patched(f fact, minor int, value, want string) {
	w.t.Helper()
	path := "/v1/" + f.kind + "s/{" + f.kind + "}"
	list := []map[string]any{}
	var also map[string]any
	if err := json.Unmarshal([]byte(`{`+alsoNeeds[f.name]+`"x": 0}`), &also); err != nil {
		w.t.Fatal(err)
	}
	delete(also, "x")
	for _, name := range slices.Sorted(maps.Keys(also)) {
		list = append(list, map[string]any{"op": "add", "path": "/" + name, "value": also[name]})
	}
	list = append(list, map[string]any{"op": "add", "path": "/" + f.name, "value": json.RawMessage(value)})
	body, err := json.Marshal(list)
	if err != nil {
		w.t.Fatal(err)
	}
	w.answers(f, minor, w.ask(patch, path, minor, string(body)), want)
}

// stateFor is where a node must be for a field to be changed; nothing: enroll.
var stateFor = map[string]metal.State{"protected": metal.Active, "protected_reason": metal.Active}

// alsoNeeds is what must be given together with a field.
var alsoNeeds = map[string]string{
	"retired_reason":   `"retired": true, `,
	"protected_reason": `"protected": true, `,
	"is_smartnic":      `"local_link_connection": {"port_id": "p", "hostname": "h"}, `,
}

func valueOf(name string, typ wire.Type) string {
	switch {
	case strings.HasSuffix(name, "_interface"):
		return `"fake"`
	case name == "conductor_group":
		return `"c"`
	case name == "parent_node":
		return `"{whole}"`
	case name == "portgroup_uuid":
		return `"{portgroup}"`
	case name == "mode":
		return `"802.3ad"`
	case typ == wire.Bool:
		return `true`
	case typ == wire.Object:
		return `{}`
	}
	return `"x{new}"`
}

// looks are the values that look otherwise to older requests.
var looks = map[string]func(*walk, int){
	"available-is-null": func(w *walk, min int) {
		w.fresh(metal.Available)
		w.seen(get, "/v1/nodes/{node}", "", min-1, `"provision_state":null`, min, `"provision_state":"available"`)
		w.seen(get, "/v1/nodes/{node}/states", "", min-1, `"provision_state":null`, min, `"provision_state":"available"`)
	},
	"inspect-wait-is-inspecting": func(w *walk, min int) {
		w.fresh(metal.InspectWait)
		w.seen(get, "/v1/nodes/{node}", "", min-1, `"provision_state":"inspecting"`, min, `"provision_state":"inspect wait"`)
	},
	"new-nodes-are-enroll": func(w *walk, min int) {
		w.seen(post, "/v1/nodes", `{"driver": "fake-hardware"}`, min-1, `"provision_state":"available"`, min, `"provision_state":"enroll"`)
	},
	"agent-token-of-lookup": func(w *walk, min int) {
		w.fresh(metal.DeployWait)
		w.write(func(tx *store.Tx) error {
			n, err := tx.Node(w.objects["node"])
			if err != nil {
				return err
			}
			return tx.SaveAgent(&store.Agent{NodeID: n.ID, NodeUUID: n.UUID, Token: secret.New(canary)})
		})
		w.seen(get, "/v1/lookup?node_uuid={node}", "", min-1, secret.Mask, min, canary)
	},
	"inspection-continues-at-1.1": func(w *walk, min int) {
		for minor := 1; minor <= min; minor += (min - 1) / 2 {
			a := w.ask(post, "/v1/continue_inspection", minor, `{"inventory": {"interfaces": []}}`)
			if hidden := strings.Contains(wire.ErrorText(a.body), "API version"); hidden != (minor > 1 && minor < min) {
				w.t.Errorf("continue_inspection at 1.%d: %d %s", minor, a.StatusCode, a.body)
			}
		}
	},
	"link-to-a-vtep-appears": func(w *walk, min int) {
		w.vtep(min)
		w.seen(get, "/v1/ports/{port}", "", min-1, `"local_link_connection":{}`, min, `"vtep-logical-switch":"l"`)
	},
	"link-to-a-vtep-disappears": func(w *walk, min int) {
		w.vtep(min - 1)
		w.seen(get, "/v1/ports/{port}", "", min-1, `"vtep-logical-switch":"l"`, min, `"local_link_connection":{}`)
	},
}

// vtep gives a fresh port a link to a VTEP.
func (w *walk) vtep(minor int) {
	w.t.Helper()
	w.fresh("")
	w.ask(patch, "/v1/ports/{port}", minor, set("/local_link_connection", `{"port_id":"p","vtep-logical-switch":"l","vtep-physical-switch":"f"}`)).want(w.t, 200)
}

// seen holds what two versions see.
func (w *walk) seen(method, path, body string, older int, then string, newer int, now string) {
	w.t.Helper()
	for _, c := range []struct {
		minor int
		says  string
	}{{older, then}, {newer, now}} {
		a := w.ask(method, path, c.minor, body)
		if a.StatusCode >= 300 || !strings.Contains(string(a.body), c.says) {
			w.t.Errorf("%s %s at 1.%d: %d %s; want %s in it", method, w.fill(path), c.minor, a.StatusCode, a.body, c.says)
		}
	}
}
