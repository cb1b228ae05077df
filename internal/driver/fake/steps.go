package fake

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"ingot/internal/fault"
	"ingot/internal/metal"
)

// setup is what steps have done to one machine.
type setup struct {
	bios    map[string]string
	raid    []any                // logical disks, as they were asked for
	flashed map[string]string    // versions that were flashed, by firmware component
	ends    map[string]time.Time // by key: when the run has ended
}

// offered are the steps of fake machines, by the interface that must be "fake" on the node. All have priority 0:
// they run when somebody asks. Source of the names: lifecycle reference §6.5.
var offered = map[string][]metal.Step{
	"bios": {
		{Interface: "bios", Step: "apply_configuration", ArgsInfo: map[string]metal.ArgInfo{
			"settings": {Description: "list of objects with name and value", Required: true}}},
		{Interface: "bios", Step: "factory_reset"},
	},
	"firmware": {
		{Interface: "firmware", Step: "update", ArgsInfo: map[string]metal.ArgInfo{
			"settings": {Description: "list of objects with component and url", Required: true}}},
	},
	"raid": {
		{Interface: "raid", Step: "create_configuration", Abortable: true, ArgsInfo: map[string]metal.ArgInfo{
			"create_root_volume":     {Description: "whether the root volume of the node's target_raid_config is made; true unless said"},
			"create_nonroot_volumes": {Description: "whether its other volumes are made; true unless said"},
			"delete_existing":        {Description: "whether what is there goes first; true unless said"}}},
		{Interface: "raid", Step: "apply_configuration", ArgsInfo: map[string]metal.ArgInfo{
			"raid_config":     {Description: "object with logical_disks", Required: true},
			"delete_existing": {Description: "whether what is there goes first; true unless said"}}},
		{Interface: "raid", Step: "delete_configuration", Abortable: true},
	},
	"management": {
		{Interface: "management", Step: "pause", ArgsInfo: map[string]metal.ArgInfo{
			"seconds": {Description: "how long the machine does nothing", Required: true}}},
		{Interface: "management", Step: "pause_abortable", Abortable: true, ArgsInfo: map[string]metal.ArgInfo{
			"seconds": {Description: "how long the machine does nothing", Required: true}}},
	},
}

// Steps lists what a node's interfaces offer; the kinds do not differ.
func (d *Driver) Steps(n *metal.Node, _ metal.StepKind) []metal.Step {
	var out []metal.Step
	for _, kind := range slices.Sorted(maps.Keys(offered)) {
		if n.Interface(kind) == "fake" {
			out = append(out, offered[kind]...)
		}
	}
	return out
}

// RunStep does a step at once, but for a pause, which lasts as long as it says. A second run under the same key does
// nothing again.
func (d *Driver) RunStep(ctx context.Context, n *metal.Node, _ metal.StepKind, s metal.Step, key string) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	m := d.setups[n.UUID]
	if m == nil {
		m = &setup{bios: map[string]string{}, flashed: map[string]string{}, ends: map[string]time.Time{}}
		d.setups[n.UUID] = m
	}
	end, again := m.ends[key]
	if !again {
		if err := m.begin(n, s); err != nil {
			return "", err
		}
		end = time.Now().Add(d.delays[Kind(s.Interface)].draw())
		if seconds, pauses := s.Args["seconds"].(float64); pauses {
			end = end.Add(time.Duration(seconds * float64(time.Second)))
		}
		m.ends[key] = end
	}
	if time.Until(end) > 0 {
		return "the machine to have done nothing for long enough", nil
	}
	return "", nil
}

// begin changes the machine as the step says.
func (m *setup) begin(n *metal.Node, s metal.Step) error {
	switch s.Name() {
	case "bios.apply_configuration":
		list, ok := s.Args["settings"].([]any)
		if !ok {
			return fault.New(fault.Invalid, "settings must be a list of objects with name and value")
		}
		for _, v := range list {
			one, _ := v.(map[string]any)
			name, _ := one["name"].(string)
			if name == "" || one["value"] == nil {
				return fault.New(fault.Invalid, "settings must be a list of objects with name and value")
			}
			m.bios[name] = fmt.Sprint(one["value"])
		}
	case "bios.factory_reset":
		m.bios = map[string]string{}
	case "firmware.update":
		return m.flash(s.Args["settings"])
	case "raid.create_configuration":
		disks, err := metal.WantedDisks(n.TargetRAIDConfig, s.Args)
		if err != nil {
			return fault.New(fault.Invalid, "node %s: %s", n.UUID, err)
		}
		if keep, said := s.Args["delete_existing"].(bool); !said || keep {
			m.raid = nil
		}
		m.raid = append(m.raid, disks...)
	case "raid.apply_configuration":
		config, _ := s.Args["raid_config"].(map[string]any)
		disks, ok := config["logical_disks"].([]any)
		if !ok {
			return fault.New(fault.Invalid, "raid_config must be an object with logical_disks")
		}
		if keep, said := s.Args["delete_existing"].(bool); !said || keep {
			m.raid = nil
		}
		m.raid = append(m.raid, disks...)
	case "raid.delete_configuration":
		m.raid = nil
	case "management.pause", "management.pause_abortable":
		if seconds, ok := s.Args["seconds"].(float64); !ok || seconds < 0 {
			return fault.New(fault.Invalid, "seconds must be a number that is not negative")
		}
	default:
		return fault.New(fault.Invalid, "fake machines have no step %s", s.Name())
	}
	return nil
}
