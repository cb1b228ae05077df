package conductor

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"

	"ingot/internal/metal"
	"ingot/internal/store"
)

func (w *world) FirmwareState(context.Context, *metal.Node) (metal.FirmwareState, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.firmwareIs
	s.BIOS, s.Firmware, s.BootOrder = maps.Clone(s.BIOS), maps.Clone(s.Firmware), slices.Clone(s.BootOrder)
	return s, nil
}

// cleaned cleans the machine once more, from wherever it is, and gives the words of its warnings.
func (w *world) cleaned(drift string) (state metal.State, warnings string) {
	w.t.Helper()
	w.tune = func(c *Config) {
		c.FirmwareDrift, c.FirmwareDriftIgnore = drift, []string{"bios.Clock", "firmware.psu"}
	}
	w.node, _ = w.state()
	w.node.ProvisionState, w.node.Maintenance, w.node.LastError = metal.Manageable, false, ""
	w.save()
	w.ask(metal.PlanClean, metal.EventProvide, "{}")
	w.run(w.conductor("c1", nil))
	n, _ := w.state()
	w.write(func(tx *store.Tx) error {
		events, err := tx.Events(w.node, store.Page{Limit: 1000})
		for _, e := range events {
			if e.Severity == "WARN" {
				warnings += e.Why + "\n"
			}
		}
		return err
	})
	return n.ProvisionState, warnings
}

func (w *world) baseline() (b *metal.Baseline) {
	w.t.Helper()
	w.write(func(tx *store.Tx) (err error) { b, err = tx.Baseline(w.node.ID); return err })
	return b
}

func TestDriftOfFirmwareIsFound(t *testing.T) { onEach(t, testDriftOfFirmwareIsFound) }

func testDriftOfFirmwareIsFound(t *testing.T) {
	w := newWorld(t)
	w.variables = []string{"MTC-x"}
	w.firmwareIs = metal.FirmwareState{BIOS: map[string]string{"NumLock": "On", "SetupPassword": "hush", "Clock": "1"}, BootOrder: []string{"Boot0000"}, Firmware: map[string]string{"bios": "1"}}
	if state, warned := w.cleaned(DriftFails); state != metal.Available || warned != "" {
		t.Fatalf("the first cleaning: %s, %s", state, warned)
	}
	if b := w.baseline(); b == nil || b.State.BIOS["NumLock"] != "On" || len(b.State.BIOS) != 2 || !slices.Equal(b.State.Variables, w.variables) || b.By != "c1" || b.Seen == nil || w.toldVariables != nil {
		t.Fatalf("baseline %+v; the agent was told %v", b, w.toldVariables)
	}
	w.firmwareIs.BIOS["Clock"] = "2" // changes by itself, and is ignored
	if state, warned := w.cleaned(DriftFails); state != metal.Available || warned != "" || len(w.toldVariables) != 1 {
		t.Fatalf("nothing changed: %s, %s; the agent was told %v", state, warned, w.toldVariables)
	}

	w.firmwareIs.BIOS["NumLock"], w.variables = "Off", []string{"MTC-x", "Signed-y"}
	if state, warned := w.cleaned(DriftIgnored); state != metal.Available || warned != "" {
		t.Errorf("ignored: %s, %s", state, warned)
	}
	if state, warned := w.cleaned(DriftWarns); state != metal.Available || !strings.Contains(warned, "BIOS attribute NumLock is Off, and was On; UEFI variable Signed-y is new") {
		t.Errorf("told: %s, %s", state, warned)
	}
	state, _ := w.cleaned(DriftFails)
	if n, _ := w.state(); state != metal.CleanFailed || !n.Maintenance || !strings.Contains(n.LastError, "NumLock is Off, and was On") || !strings.Contains(n.LastError, "--accept") {
		t.Errorf("fails: %s, %q", state, n.LastError)
	}
	if b := w.baseline(); b.State.BIOS["NumLock"] != "On" || b.Seen.BIOS["NumLock"] != "Off" {
		t.Errorf("a failure changes the baseline, or what was seen is lost: %+v", b)
	}
	seen := *w.baseline().Seen
	w.write(func(tx *store.Tx) error { return tx.SaveBaseline(w.node.ID, seen, "op") })
	if state, _ := w.cleaned(DriftFails); state != metal.Available {
		t.Errorf("accepted, and %s", state)
	}
}

// TestANewFirmwareKeepsItsVariables: after an update the baseline does not know what belongs to the firmware, until somebody accepts it.
func TestANewFirmwareKeepsItsVariables(t *testing.T) {
	w := newWorld(t)
	w.variables, w.firmwareIs = []string{"MTC-x"}, metal.FirmwareState{Firmware: map[string]string{"bios": "1"}}
	if state, warned := w.cleaned(DriftWarns); state != metal.Available || warned != "" {
		t.Fatalf("the first cleaning: %s, %s", state, warned)
	}
	w.firmwareIs.Firmware = map[string]string{"bios": "1", "psu": "7"} // a part that the configuration leaves out
	if w.cleaned(DriftWarns); len(w.toldVariables) != 1 {
		t.Errorf("nothing that counts changed; the agent was told %v", w.toldVariables)
	}
	w.firmwareIs.Firmware, w.variables = map[string]string{"bios": "2"}, []string{"MTC-x", "New-y"}
	state, warned := w.cleaned(DriftWarns)
	if state != metal.Available || w.toldVariables != nil || !strings.Contains(warned, "variables that the baseline does not have stay") {
		t.Errorf("%s; the agent was told %v; %s", state, w.toldVariables, warned)
	}
	seen := *w.baseline().Seen
	w.write(func(tx *store.Tx) error { return tx.SaveBaseline(w.node.ID, seen, "op") })
	if w.cleaned(DriftWarns); len(w.toldVariables) != 2 {
		t.Errorf("accepted; the agent was told %v", w.toldVariables)
	}
}

func TestASkippedCleaningIsTold(t *testing.T) {
	w := newWorld(t)
	no := false
	w.node.AutomatedClean = &no
	w.save()
	state, warned := w.cleaned(DriftFails)
	n, _ := w.state()
	if state != metal.Available || !strings.Contains(warned, "without having been cleaned, because the node's automated_clean is false: the next tenant may read") || n.InternalInfo[metal.NotCleaned] == nil ||
		w.times("step erase_devices") != 0 || w.baseline() != nil {
		t.Errorf("%s, %q, %v", state, warned, n.InternalInfo)
	}
	w.node, _ = w.state()
	w.node.AutomatedClean = nil
	w.save()
	if state, _ := w.cleaned(DriftFails); state != metal.Available || w.times("step erase_devices") != 1 {
		t.Fatal(state)
	}
	if n, _ := w.state(); n.InternalInfo[metal.NotCleaned] != nil {
		t.Error("a machine that was cleaned is told to be as it was left")
	}
}
