package e2e

import (
	"maps"
	"strings"
	"testing"
	"time"

	"ingot/internal/metal"
	"ingot/lab/bmc"
)

// TestKilledWhileWriting kills the server in the middle of writing an image, and starts it again.
func TestKilledWhileWriting(t *testing.T) {
	beside(t)
	m, n := simulated(t)
	n.available(soon)
	i := serveImages(t, "127.0.0.1", wholeDisk(16*mib), 0)

	before := m.asked()
	n.wants(i.url+"good", sum(i.good))
	n.ends(metal.VerbActive, metal.Active, soon)
	undisturbed := since(before, m.asked())
	n.ends(metal.VerbDeleted, metal.Available, soon)

	before = m.asked()
	n.wants(i.url+"gated", sum(i.good))
	n.ask(metal.VerbActive)
	n.writes(0.1, soon)
	n.kill()
	n.start()
	i.openGate()
	n.rests(metal.Active, soon)
	n.deployed(m, i.good)
	if killed := since(before, m.asked()); !maps.Equal(killed, undisturbed) {
		t.Errorf("power and media actions: %v, undisturbed %v", killed, undisturbed)
	}
	n.takenOver("write image")
}

// TestKilledAgainAndAgain takes a machine through its whole life and kills the server at every step that is seen
// under way. Nothing is lost by it and nothing is done twice.
func TestKilledAgainAndAgain(t *testing.T) {
	beside(t)
	// A request whose effect was not seen is asked again after this long.
	m, n := simulated(t, "conductor.power_state_change_timeout=3")
	i := serveImages(t, "127.0.0.1", wholeDisk(8*mib), 0)
	n.ends(metal.VerbManage, metal.Manageable, soon)
	life := []struct {
		verb metal.Verb
		end  metal.State
	}{{metal.VerbProvide, metal.Available}, {metal.VerbActive, metal.Active}, {metal.VerbDeleted, metal.Available}}
	kills := 0
	for _, l := range life {
		before := m.asked()
		if l.verb == metal.VerbActive {
			n.wants(i.url+"good", sum(i.good))
		}
		n.ask(l.verb)
		n.killAtEveryStep(&kills)
		n.rests(l.end, soon)
		want := map[metal.Verb]map[string]int{
			metal.VerbProvide: {"InsertMedia": 1, "EjectMedia": 1, "SetBoot.Cd": 1, "Reset.On": 1},
			metal.VerbActive:  {"InsertMedia": 1, "EjectMedia": 1, "SetBoot.Cd": 1, "SetBoot.Hdd": 1, "Reset.On": 2},
			metal.VerbDeleted: {"InsertMedia": 1, "EjectMedia": 1, "SetBoot.Cd": 1, "Reset.On": 1, "Reset.ForceOff": 1},
		}[l.verb]
		did := since(before, m.asked())
		// The BMC fetches the ISO from the server: an insert that breaks off because that was killed did not
		// happen, and is asked for again.
		if did["InsertMedia"] > 1 {
			did["InsertMedia"] = 1
		}
		if !maps.Equal(did, want) {
			t.Errorf("%s: power and media actions %v, the plan has %v", l.verb, did, want)
		}
	}
	m.clean()
	if kills < 6 {
		t.Errorf("the server was killed %d times only", kills)
	}
	t.Logf("killed %d times", kills)
}

// killAtEveryStep kills the server and starts it again whenever another step is seen, until nothing is under
// way.
func (n *node) killAtEveryStep(kills *int) {
	n.t.Helper()
	seen := map[string]bool{}
	await(n.t, soon, "the end of the operation", func() (bool, error) {
		w, err := n.Why(n.t.Context(), n.name)
		if err != nil || w.Plan == "" {
			return err == nil, err
		}
		if step := w.Plan + ": " + w.Step; w.Step != "" && !seen[step] {
			seen[step] = true
			*kills++
			n.kill()
			n.start()
		}
		return false, nil
	})
}

// asked is what was asked of the machine's BMC that has an effect.
func (m *machine) asked() map[string]int { return effects(m.ctl.Counters()) }

// effects are the power and media actions and boot overrides among a BMC's counters.
func effects(all map[string]int) map[string]int {
	out := map[string]int{}
	for k, v := range all {
		if strings.HasPrefix(k, "Reset.") || strings.HasPrefix(k, "SetBoot.") || k == "InsertMedia" || k == "EjectMedia" {
			out[k] = v
		}
	}
	return out
}

func since(before, after map[string]int) map[string]int {
	out := map[string]int{}
	for k, v := range after {
		if v > before[k] {
			out[k] = v - before[k]
		}
	}
	return out
}

// fault plants faults in the machine's BMC instead of those before.
func (m *machine) fault(list ...bmc.Fault) {
	m.t.Helper()
	if err := m.ctl.SetFaults(list...); err != nil {
		m.t.Fatal(err)
	}
}

// writes waits until `why` says that more than this part of the image was written.
func (n *node) writes(part float64, limit time.Duration) {
	n.t.Helper()
	await(n.t, limit, "an image half written", func() (bool, error) {
		w, err := n.Why(n.t.Context(), n.name)
		if err != nil || w.Step != "write image" || w.Progress == nil || w.Progress.Total == 0 {
			return false, err
		}
		return float64(w.Progress.Done) > part*float64(w.Progress.Total), nil
	})
}

// takenOver sees that the history tells of one take-over, at this step, in the last operation.
func (n *node) takenOver(step string) {
	n.t.Helper()
	var seen []string
	for _, e := range n.history() {
		if e.Kind == "takeover" {
			seen = append(seen, e.Step)
		}
	}
	if len(seen) != 1 || seen[0] != step {
		n.t.Errorf("steps taken over: %q, want %q alone", seen, step)
	}
}
