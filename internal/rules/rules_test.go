package rules

import (
	"encoding/json"
	"strings"
	"testing"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/secret"
)

// parsed is a value as JSON decodes it.
func parsed(t testing.TB, text string) any {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}

const machine = `{"cpu": {"count": 8, "architecture": "x86_64"}, "memory": {"physical_mb": 16384}, "bmc_address": "192.0.2.7",
	"system_vendor": {"manufacturer": "Dell Inc.", "product_name": "R650 {node.uuid}"}, "disks": [],
	"interfaces": [{"name": "eno1", "mac_address": "52:54:00:00:00:01"}, {"name": "eno2", "mac_address": "52:54:00:00:00:02"}]}`

func facts(t testing.TB) Facts {
	inv, _ := parsed(t, machine).(map[string]any)
	return Facts{
		Node: &metal.Node{UUID: "n-1", Name: "web", Properties: map[string]any{"capabilities": "boot_mode:uefi"}, Extra: map[string]any{},
			DriverInfo: secret.NewMap(map[string]any{"redfish_password": "canary"})},
		Ports:     []*metal.Port{{UUID: "p-1", Address: "52:54:00:00:00:01"}},
		Traits:    []string{"CUSTOM_OLD"},
		Inventory: inv,
		Plugins:   map[string]any{"found": true, "auth_token": "canary", "none": nil},
	}
}

func rule(t testing.TB, conditions, actions string) *metal.InspectionRule {
	t.Helper()
	r := &metal.InspectionRule{UUID: "r-1", Phase: metal.PhaseMain}
	for text, to := range map[string]*[]metal.RuleOp{conditions: &r.Conditions, actions: &r.Actions} {
		if text == "" {
			continue
		}
		if err := json.Unmarshal([]byte(text), to); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
	if err := Check(r); err != nil {
		t.Fatal(err)
	}
	return r
}

const mark = `[{"op": "set-attribute", "args": {"path": "/extra/fits", "value": "yes"}}]`

func TestConditions(t *testing.T) {
	for _, c := range []struct {
		condition string
		want      bool
	}{
		{`{"op": "eq", "args": {"values": ["{inventory[cpu][architecture]}", "x86_64"]}}`, true},
		{`{"op": "eq", "args": {"values": ["{inventory[cpu][count]}", 8]}}`, true},
		{`{"op": "eq", "args": {"values": ["08", 8], "force_strings": true}}`, false},
		{`{"op": "!eq", "args": [["a", "b"]]}`, true},
		{`{"op": "lt", "args": {"values": ["{inventory[cpu][count]}", 16, 32]}}`, true},
		{`{"op": "lt", "args": {"values": ["{inventory[cpu][count]}", 16, 9]}}`, false},
		{`{"op": "gt", "args": {"values": ["{inventory[memory][physical_mb]}", "9000"]}}`, true},
		{`{"op": "is-empty", "args": {"value": "{inventory[disks]}"}}`, true},
		{`{"op": "is-empty", "args": {"value": "{inventory[interfaces]}"}}`, false},
		{`{"op": "is-none", "args": {"value": "{plugin_data[none]}"}}`, true},
		{`{"op": "is-none", "args": {"value": "{plugin_data[nowhere]}"}}`, false}, // the text stays
		{`{"op": "is-true", "args": {"value": "{plugin_data[found]}"}}`, true},
		{`{"op": "is-false", "args": {"value": "{plugin_data[found]}"}}`, false},
		{`{"op": "in-net", "args": {"address": "{inventory[bmc_address]}", "subnet": "192.0.2.0/24"}}`, true},
		{`{"op": "in-net", "args": {"address": "{inventory[bmc_address]}", "subnet": "198.51.100.0/24"}}`, false},
		{`{"op": "contains", "args": {"value": "{inventory[system_vendor][manufacturer]}", "regex": "(?i)dell"}}`, true},
		{`{"op": "matches", "args": {"value": "{inventory[system_vendor][manufacturer]}", "regex": "Dell"}}`, false},
		{`{"op": "matches", "args": {"value": "R650", "regex": "R[0-9]{3}"}}`, true},
		{`{"op": "one-of", "args": {"value": "{inventory[cpu][architecture]}", "values": ["aarch64", "x86_64"]}}`, true},
		{`{"op": "eq", "args": {"values": ["{item[mac]}", "{inventory[interfaces][1][mac_address]}"]},
			"loop": [{"mac": "52:54:00:00:00:09"}, {"mac": "52:54:00:00:00:02"}]}`, true},
		{`{"op": "eq", "args": {"values": ["{item}", "a"]}, "loop": ["a", "b"], "multiple": "all"}`, false},
		{`{"op": "eq", "args": {"values": ["{item}", "b"]}, "loop": ["a", "b"], "multiple": "last"}`, true},
		{`{"op": "eq", "args": {"values": ["{node.name}", "web"]}}`, true},
		{`{"op": "eq", "args": {"values": ["{node.properties[capabilities]}", "boot_mode:uefi"]}}`, true},
		// A secret of the node has no name, and one that a plugin told is masked.
		{`{"op": "contains", "args": {"value": "{node.driver_info}{plugin_data[auth_token]}", "regex": "canary"}}`, false},
		{`{"op": "eq", "args": {"values": ["{plugin_data[auth_token]}", "***"]}}`, true},
	} {
		res, err := Apply([]*metal.InspectionRule{rule(t, "["+c.condition+"]", mark)}, facts(t))
		if err != nil || (len(res.Applied) == 1) != c.want {
			t.Errorf("%s: %v %v", c.condition, res.Applied, err)
		}
	}
}

func TestMasking(t *testing.T) {
	for _, c := range []struct {
		masking         string
		sensitive, want bool
	}{{MaskAlways, true, false}, {"", true, false}, {MaskSensitive, true, true}, {MaskSensitive, false, false}, {MaskNever, false, true}} {
		f := facts(t)
		f.Masking = c.masking
		r := rule(t, `[{"op": "eq", "args": {"values": ["{plugin_data[auth_token]}", "canary"]}}]`, mark)
		r.Sensitive = c.sensitive
		res, err := Apply([]*metal.InspectionRule{r}, f)
		if err != nil || (len(res.Applied) == 1) != c.want {
			t.Errorf("%+v: %v %v", c, res.Applied, err)
		}
	}
}

func TestActions(t *testing.T) {
	r := rule(t, "", `[
		{"op": "set-attribute", "args": {"path": "/properties/cpus", "value": "{inventory[cpu][count]}"}},
		{"op": "set-attribute", "args": {"path": "driver_info.redfish_address", "value": "https://{inventory[bmc_address]}"}},
		{"op": "set-attribute", "args": {"path": "/extra/product", "value": "{inventory[system_vendor][product_name]}"}},
		{"op": "set-attribute", "args": {"path": "/resource_class", "value": "big"}},
		{"op": "extend-attribute", "args": {"path": "/extra/tags", "value": "a"}},
		{"op": "extend-attribute", "args": {"path": "/extra/tags", "value": "a", "unique": true}},
		{"op": "set-attribute", "args": {"path": "/extra/gone", "value": 1}},
		{"op": "del-attribute", "args": {"path": "/extra/gone"}},
		{"op": "set-capability", "args": {"name": "boot_mode", "value": "bios"}},
		{"op": "set-capability", "args": {"name": "gpu", "value": "true"}},
		{"op": "add-trait", "args": {"name": "CUSTOM_GPU"}},
		{"op": "remove-trait", "args": {"name": "CUSTOM_OLD"}},
		{"op": "set-plugin-data", "args": {"path": "a.b", "value": "c"}},
		{"op": "unset-plugin-data", "args": {"path": "found"}},
		{"op": "set-port-attribute", "args": {"port_id": "{item[mac]}", "path": "/extra/nic", "value": "{item[name]}"},
			"loop": [{"mac": "{inventory[interfaces][0][mac_address]}", "name": "{inventory[interfaces][0][name]}"}]},
		{"op": "log", "args": {"msg": "seen {inventory[cpu][count]} CPUs", "level": "WARNING"}},
		{"op": "api-call", "args": {"url": "http://192.0.2.1/hook?node={node.uuid}", "timeout": 2, "headers": {"X-Token": "t"}}}
	]`)
	f := facts(t)
	res, err := Apply([]*metal.InspectionRule{r}, f)
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Node.Extra) != 0 || f.Node.Properties["cpus"] != nil || len(f.Plugins) != 3 {
		t.Error("the facts were changed")
	}
	n, p := f.Node.Clone(), f.Ports[0].Clone()
	for _, change := range res.Node {
		if err := change(n); err != nil {
			t.Fatal(err)
		}
	}
	for _, change := range res.Ports["p-1"] {
		if err := change(p); err != nil {
			t.Fatal(err)
		}
	}
	got, err := json.Marshal(map[string]any{"properties": n.Properties, "extra": n.Extra, "class": n.ResourceClass, "driver_info": n.DriverInfo.Expose(),
		"traits": res.Traits, "plugins": res.Plugins, "port": p.Extra, "lines": res.Lines, "calls": res.Calls})
	if err != nil {
		t.Fatal(err)
	}
	// What the machine put into its own product name is not read as a rule.
	want := `{"calls":[{"URL":"http://192.0.2.1/hook?node=n-1","Headers":{"X-Token":"t"},"Proxies":null,"Timeout":2,"Retries":3,"Backoff":0.3}],` +
		`"class":"big","driver_info":{"redfish_address":"https://192.0.2.7","redfish_password":"canary"},"extra":{"product":"R650 {node.uuid}","tags":["a"]},` +
		`"lines":[{"Level":"warning","Text":"seen 8 CPUs"}],"plugins":{"a":{"b":"c"},"auth_token":"canary","none":null},"port":{"nic":"eno1"},` +
		`"properties":{"capabilities":"boot_mode:bios,gpu:true","cpus":"8"},"traits":["CUSTOM_GPU"]}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestOrderAndFailure(t *testing.T) {
	low := rule(t, `[{"op": "eq", "args": {"values": ["{node.extra[first]}", "yes"]}}]`, `[{"op": "fail", "args": {"msg": "no such machine: {node.name}"}}]`)
	high := rule(t, "", `[{"op": "set-attribute", "args": {"path": "/extra/first", "value": "yes"}}]`)
	high.Priority, high.UUID = 10, "r-2"
	_, err := Apply([]*metal.InspectionRule{low, high}, facts(t))
	if fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), "no such machine: web") {
		t.Errorf("%v", err)
	}
	low.Sensitive = true
	_, err = Apply([]*metal.InspectionRule{low, high}, facts(t))
	if said, _ := fault.PublicOf(err); err == nil || strings.Contains(said, "no such machine") {
		t.Errorf("a sensitive rule told: %v", err)
	}
	for _, actions := range []string{
		`[{"op": "del-attribute", "args": {"path": "/extra/nothing"}}]`,
		`[{"op": "set-attribute", "args": {"path": "{plugin_data[found]}", "value": 1}}]`,
		`[{"op": "set-port-attribute", "args": {"port_id": "p-9", "path": "/extra/a", "value": 1}}]`,
		`[{"op": "set-attribute", "args": {"path": "/properties/capabilities/deep", "value": 1}}]`,
	} {
		if res, err := Apply([]*metal.InspectionRule{rule(t, "", actions)}, facts(t)); fault.KindOf(err) != fault.Invalid || res.Node != nil {
			t.Errorf("%s: %v", actions, err)
		}
	}
}

func TestCheckRefuses(t *testing.T) {
	for _, c := range []struct{ conditions, actions, why string }{
		{`[]`, `[]`, "at least one action"},
		{`[{"op": "near", "args": {}}]`, mark, "no such condition"},
		{`[]`, `[{"op": "explode", "args": {}}]`, "no such action"},
		{`[{"op": "eq", "args": {}}]`, mark, "values is missing"},
		{`[{"op": "eq", "args": {"values": [], "more": 1}}]`, mark, "no argument"},
		{`[{"op": "eq", "args": [[], true, 3]}]`, mark, "at most 2"},
		{`[{"op": "eq", "args": {"values": []}, "multiple": "some"}]`, mark, "multiple"},
		{`[{"op": "contains", "args": {"value": "a", "regex": "(?=a)"}}]`, mark, "look-around"},
		{`[]`, `[{"op": "set-attribute", "args": {"path": "/driver", "value": "x"}}]`, "cannot change"},
		{`[]`, `[{"op": "set-attribute", "args": {"path": "/owner/name", "value": "x"}}]`, "nothing inside"},
		{`[]`, `[{"op": "log", "args": {"msg": "x", "level": "loud"}}]`, "level"},
		{`[]`, `[{"op": "log", "args": {"msg": "x"}, "loop": "all"}]`, "loop"},
	} {
		r := &metal.InspectionRule{Phase: metal.PhaseMain}
		if err := json.Unmarshal([]byte(c.conditions), &r.Conditions); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(c.actions), &r.Actions); err != nil {
			t.Fatal(err)
		}
		if err := Check(r); fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), c.why) {
			t.Errorf("%s %s: %v, want %q", c.conditions, c.actions, err, c.why)
		}
	}
}

func TestParse(t *testing.T) {
	list, err := Parse([]byte("- description: Dell\n  priority: 5\n  conditions:\n  - op: contains\n    args: {value: \"{inventory[system_vendor][manufacturer]}\", regex: Dell}\n" +
		"  actions:\n  - op: add-trait\n    args: [CUSTOM_DELL]\n- uuid: own\n  actions: [{op: fail, args: {msg: no}}]\n"))
	if err != nil || len(list) != 2 || list[0].UUID != "00000000-0000-0000-0000-000000000000" || list[1].UUID != "own" || list[0].Priority != 5 {
		t.Fatalf("%v %v", list, err)
	}
	res, err := Apply(list[:1], facts(t))
	if err != nil || len(res.Traits) != 2 {
		t.Errorf("%v %v", res, err)
	}
	for _, bad := range []string{"a: b", "- 1", "- {actions: []}", "- {actions: [{op: fail, args: {msg: a}}], color: red}", "[[[["} {
		if _, err := Parse([]byte(bad)); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// FuzzApply: whatever a machine reports and a rule says, there is an answer and no panic, and the node's secret stays.
func FuzzApply(f *testing.F) {
	f.Add(`[{"op":"eq","args":{"values":["{inventory[a][0]}","{item.b}"]},"loop":[{"b":1}]}]`, mark, `{"a":[1]}`)
	f.Add(`[{"op":"!contains","args":["{plugin_data","["]}]`, `[{"op":"log","args":["{node.driver_info}{{}}"]}]`, `{}`)
	f.Fuzz(func(t *testing.T, conditions, actions, inventory string) {
		r := &metal.InspectionRule{UUID: "r", Phase: metal.PhaseMain}
		fs := facts(t)
		if json.Unmarshal([]byte(conditions), &r.Conditions) != nil || json.Unmarshal([]byte(actions), &r.Actions) != nil ||
			json.Unmarshal([]byte(inventory), &fs.Inventory) != nil || Check(r) != nil {
			return
		}
		res, err := Apply([]*metal.InspectionRule{r}, fs)
		if err != nil {
			return
		}
		for _, l := range res.Lines {
			if strings.Contains(l.Text, "canary") && !strings.Contains(conditions+actions+inventory, "canary") {
				t.Errorf("a rule logged a secret: %s", l.Text)
			}
		}
		n := fs.Node.Clone()
		for _, change := range res.Node {
			if err := change(n); err != nil {
				t.Errorf("a change works once and not again: %v", err)
			}
		}
	})
}
