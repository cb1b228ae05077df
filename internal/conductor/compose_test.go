package conductor

import (
	"strings"
	"testing"

	"ingot/internal/metal"
)

func is(iface, name string, priority int) metal.Step {
	return metal.Step{Interface: iface, Step: name, Priority: priority}
}

func names(flow []flowStep) string {
	var out []string
	for _, f := range flow {
		out = append(out, f.Name()+"/"+f.By)
	}
	return strings.Join(out, " ")
}

func TestAutomaticOrder(t *testing.T) {
	o := offers{driver: []metal.Step{is("raid", "r", 10), is("vendor", "v", 10), is("bios", "off", 0), is("deploy", "both", 5)},
		agent: []metal.Step{is("deploy", "d", 10), is("deploy", "first", 99), is("deploy", "both", 50), is("deploy", "a", 10)}}
	for _, c := range []struct {
		overrides map[string]int
		want      string
	}{
		{nil, "deploy.first/agent vendor.v/driver deploy.a/agent deploy.d/agent raid.r/driver deploy.both/driver"},
		{map[string]int{"deploy.first": 0, "bios.off": 100, "raid.r": 11}, "bios.off/driver raid.r/driver vendor.v/driver deploy.a/agent deploy.d/agent deploy.both/driver"},
	} {
		if got := names(o.automatic(c.overrides)); got != c.want {
			t.Errorf("%v:\n got %s\nwant %s", c.overrides, got, c.want)
		}
	}
}

func TestCallersOrder(t *testing.T) {
	needs := metal.Step{Interface: "bios", Step: "apply", ArgsInfo: map[string]metal.ArgInfo{"settings": {Required: true}, "force": {}}, Abortable: true}
	with := func(args map[string]any) metal.Step { return metal.Step{Interface: "bios", Step: "apply", Args: args} }
	for _, c := range []struct {
		given []metal.Step
		final bool
		want  string // the flow, or a part of the error
	}{
		{[]metal.Step{is("deploy", "erase", 0), with(map[string]any{"settings": 1}), is("deploy", "erase", 0)}, true, "deploy.erase/agent bios.apply/driver deploy.erase/agent"},
		{[]metal.Step{with(nil)}, true, "needs the argument settings"},
		{[]metal.Step{with(map[string]any{"settings": 1, "haste": 1})}, true, "does not take the argument haste; it takes force, settings"},
		{[]metal.Step{{Interface: "deploy", Step: "erase", Args: map[string]any{"x": 1}}}, true, "it takes none"},
		{[]metal.Step{is("deploy", "later", 0)}, false, "deploy.later/"},
		{[]metal.Step{is("deploy", "later", 0)}, true, "deploy.later is not known"},
		{[]metal.Step{is("raid", "hold", 0), is("bios", "reboot", 0)}, true, "raid.hold/flow bios.reboot/flow"},
		{[]metal.Step{{Interface: "bios", Step: "wait", Args: map[string]any{"seconds": "5"}}}, true, "bios.wait/flow"},
		{[]metal.Step{{Interface: "bios", Step: "wait", Args: map[string]any{"seconds": 1.5}}}, true, "seconds must be a whole number"},
		{[]metal.Step{{Interface: "bios", Step: "wait", Args: map[string]any{"seconds": -1.0}}}, true, "seconds must be a whole number"},
		{[]metal.Step{{Interface: "bios", Step: "hold", Args: map[string]any{"seconds": 1.0}}}, true, "does not take the argument seconds"},
	} {
		o := offers{driver: []metal.Step{needs}, final: c.final}
		if c.final {
			o.agent = []metal.Step{is("deploy", "erase", 0), is("bios", "apply", 7)}
		}
		flow, err := o.inOrder(c.given)
		got := names(flow)
		if err != nil {
			got = sentence(err)
		}
		if err == nil && got != c.want || err != nil && !strings.Contains(got, c.want) {
			t.Errorf("%v:\n got %s\nwant %s", c.given, got, c.want)
		}
	}
	flow, err := offers{driver: []metal.Step{needs}}.inOrder([]metal.Step{with(map[string]any{"settings": 1})})
	if err != nil || !flow[0].Abortable || flow[0].Args["settings"] != 1 {
		t.Errorf("what the step is comes from the driver, the arguments from the caller: %+v, %v", flow, err)
	}
}

func TestDeploymentMerge(t *testing.T) {
	o := offers{core: corePlaces, driver: []metal.Step{is("bios", "apply", 0), is("raid", "auto", 90)},
		agent: []metal.Step{is("deploy", "write_image", 0), is("deploy", "nic", 85), is("deploy", "early", 200)}, final: true}
	const tail = " deploy.prepare_instance_boot/core deploy.tear_down_agent/core deploy.switch_to_tenant_network/core deploy.boot_instance/core"
	for _, c := range []struct {
		name            string
		user, templates []metal.Step
		want            string
	}{
		{"by themselves", nil, nil, "deploy.deploy/core deploy.early/agent raid.auto/driver deploy.nic/agent deploy.write_image/core" + tail},
		{"a user's step goes before a template's, which goes before the driver's", []metal.Step{is("raid", "auto", 95)}, []metal.Step{is("raid", "auto", 0), is("bios", "apply", 84)},
			"deploy.deploy/core deploy.early/agent raid.auto/driver deploy.nic/agent bios.apply/driver deploy.write_image/core" + tail},
		{"0 takes out", []metal.Step{is("raid", "auto", 0), is("deploy", "early", 0)}, nil, "deploy.deploy/core deploy.nic/agent deploy.write_image/core" + tail},
		{"a core step may be moved", []metal.Step{is("deploy", "write_image", 89)}, nil, "deploy.deploy/core deploy.early/agent raid.auto/driver deploy.write_image/core deploy.nic/agent" + tail},
		{"twice", []metal.Step{is("bios", "apply", 1), is("bios", "apply", 2)}, nil, "is in the request twice"},
		{"deploy.deploy", []metal.Step{is("deploy", "deploy", 90)}, nil, "cannot be changed"},
		{"tear_down_agent", []metal.Step{is("deploy", "tear_down_agent", 0)}, nil, "cannot be left out"},
	} {
		flow, err := o.deployment(c.user, c.templates)
		got := names(flow)
		if err != nil {
			got = sentence(err)
		}
		if err == nil && got != c.want || err != nil && !strings.Contains(got, c.want) {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
	}
}

func TestPlaces(t *testing.T) {
	agent := func(name string) flowStep { return flowStep{is("deploy", name, 0), byAgent} }
	flow := func(name string) flowStep { return flowStep{is("power", name, 0), byFlow} }
	core := func(name string) flowStep { return flowStep{is("deploy", name, 0), byCore} }
	for _, c := range []struct {
		name   string
		flow   []flowStep
		up     bool
		direct bool
		wrong  string
	}{
		{"in the ramdisk", []flowStep{agent("a"), flow("reboot"), agent("b"), flow("wait")}, true, true, ""},
		{"no ramdisk", []flowStep{agent("a")}, false, true, "needs the agent"},
		{"switched off", []flowStep{flow("power_off"), agent("a")}, true, true, "switched off before"},
		{"and on again", []flowStep{flow("power_off"), flow("power_on"), agent("a")}, true, true, ""},
		{"before the boot", []flowStep{agent("a"), core("deploy")}, false, true, "needs the agent"},
		{"after the agent left", []flowStep{core("deploy"), core("tear_down_agent"), agent("a")}, false, true, "needs the agent"},
		{"nothing boots", []flowStep{core("write_image")}, false, true, "needs the agent"},
		{"nothing is to be booted", []flowStep{core("deploy"), core("write_image")}, false, false, ""},
		{"an agent to wait for", []flowStep{flow("wait")}, false, false, "give it seconds"},
	} {
		_, err := places(c.flow, c.up, c.direct)
		if (err == nil) != (c.wrong == "") || err != nil && !strings.Contains(sentence(err), c.wrong) {
			t.Errorf("%s: %v, want %q", c.name, err, c.wrong)
		}
	}
}
