package fake_test

import (
	"testing"

	"ingot/internal/driver/fake"
	"ingot/internal/fault"
	"ingot/internal/metal"
)

func TestStepsChangeTheMachineOncePerKey(t *testing.T) {
	d := fake.New(nil)
	n := &metal.Node{UUID: "one", Interfaces: map[string]string{"bios": "fake", "raid": "fake", "management": "noop"}}
	for _, s := range d.Steps(n, metal.CleanSteps) {
		if s.Interface == "management" || s.Priority != 0 {
			t.Errorf("a step that this node has not, or that runs by itself: %+v", s)
		}
	}
	run := func(key string, s metal.Step) error {
		waiting, err := d.RunStep(t.Context(), n, metal.CleanSteps, s, key)
		if err == nil && waiting != "" {
			t.Errorf("%s waits for %s", s.Name(), waiting)
		}
		return err
	}
	add := metal.Step{Interface: "raid", Step: "apply_configuration", Args: map[string]any{"delete_existing": false,
		"raid_config": map[string]any{"logical_disks": []any{map[string]any{"size_gb": 100.0}}}}}
	for _, key := range []string{"a", "a", "b"} {
		if err := run(key, add); err != nil {
			t.Fatal(err)
		}
	}
	raid := func(node string) []any {
		config, err := d.RAIDConfig(t.Context(), &metal.Node{UUID: node})
		if err != nil {
			t.Fatal(err)
		}
		disks, _ := config["logical_disks"].([]any)
		return disks
	}
	settings := func() map[string]string {
		list, err := d.BIOSSettings(t.Context(), n)
		if err != nil {
			t.Fatal(err)
		}
		out := map[string]string{}
		for _, s := range list {
			out[s.Name] = *s.Value
		}
		return out
	}
	if len(raid("one")) != 2 || raid("two") != nil {
		t.Errorf("logical disks: %v, of another %v", raid("one"), raid("two"))
	}
	if err := run("c", metal.Step{Interface: "bios", Step: "apply_configuration", Args: map[string]any{"settings": []any{map[string]any{"name": "HT", "value": "off"}}}}); err != nil || settings()["HT"] != "off" {
		t.Errorf("settings %v, %v", settings(), err)
	}
	if err := run("d", metal.Step{Interface: "bios", Step: "factory_reset"}); err != nil || len(settings()) != 0 {
		t.Errorf("settings %v, %v", settings(), err)
	}
	for _, s := range []metal.Step{{Interface: "bios", Step: "fly"}, {Interface: "bios", Step: "apply_configuration", Args: map[string]any{"settings": "on"}},
		{Interface: "management", Step: "pause", Args: map[string]any{"seconds": "long"}}} {
		if err := run("bad "+s.Name(), s); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%s: %v", s.Name(), err)
		}
	}
	if waiting, err := d.RunStep(t.Context(), n, metal.CleanSteps, metal.Step{Interface: "management", Step: "pause", Args: map[string]any{"seconds": 3600.0}}, "e"); waiting == "" || err != nil {
		t.Errorf("a pause of an hour is over: %v", err)
	}
}
