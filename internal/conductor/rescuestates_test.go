package conductor

import (
	"strings"
	"testing"

	"ingot/internal/metal"
	"ingot/internal/store"
)

// eighteen are the transitions of seed 000, "state machine impact", in its order.
var eighteen = [][2]metal.State{
	{metal.Active, metal.Rescuing}, {metal.Rescuing, metal.Rescue}, {metal.Rescuing, metal.RescueWait}, {metal.Rescuing, metal.RescueFailed},
	{metal.RescueWait, metal.Rescuing}, {metal.RescueWait, metal.RescueFailed}, {metal.RescueWait, metal.Deleting},
	{metal.Rescue, metal.Rescuing}, {metal.Rescue, metal.Deleting}, {metal.Rescue, metal.Unrescuing},
	{metal.Unrescuing, metal.UnrescueFailed}, {metal.Unrescuing, metal.Active},
	{metal.UnrescueFailed, metal.Rescuing}, {metal.UnrescueFailed, metal.Unrescuing}, {metal.UnrescueFailed, metal.Deleting},
	{metal.RescueFailed, metal.Rescuing}, {metal.RescueFailed, metal.Unrescuing}, {metal.RescueFailed, metal.Deleting},
}

// The moves of a life with rescues: what is asked for, what goes wrong, and where it ends.
type move struct {
	ask     metal.Event
	goes    string // "", "broken" (at its power off), "slow" (the agent never calls), "aborted", "deleted" (while it waits)
	arrives metal.State
}

var rescueLives = map[string][]move{
	"in good order": {{metal.EventRescue, "", metal.Rescue}, {metal.EventRescue, "", metal.Rescue}, {metal.EventUnrescue, "broken", metal.UnrescueFailed},
		{metal.EventUnrescue, "", metal.Active}},
	"broken":   {{metal.EventRescue, "broken", metal.RescueFailed}, {metal.EventRescue, "", metal.Rescue}, {metal.EventUnrescue, "broken", metal.UnrescueFailed}, {metal.EventRescue, "", metal.Rescue}, {metal.EventDelete, "", metal.Available}},
	"slow":     {{metal.EventRescue, "slow", metal.RescueFailed}, {metal.EventUnrescue, "", metal.Active}},
	"aborted":  {{metal.EventRescue, "aborted", metal.RescueFailed}, {metal.EventUnrescue, "", metal.Active}},
	"given up": {{metal.EventRescue, "broken", metal.RescueFailed}, {metal.EventDelete, "", metal.Available}},
	"deleted":  {{metal.EventRescue, "deleted", metal.Available}},
	"lost":     {{metal.EventRescue, "", metal.Rescue}, {metal.EventUnrescue, "broken", metal.UnrescueFailed}, {metal.EventDelete, "", metal.Available}},
}

// TestAllEighteenTransitions walks every transition of the seed through the engine, and no other between its states.
func TestAllEighteenTransitions(t *testing.T) { onEach(t, testAllEighteenTransitions) }

func testAllEighteenTransitions(t *testing.T) {
	seen := map[[2]metal.State]bool{}
	for name, moves := range rescueLives {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.node.ProvisionState, w.on = metal.Active, true
			w.rescuable(rescueJourneys[0])
			w.save()
			w.wire(journey{from: metal.Active})
			for _, m := range moves {
				w.moves(m, seen)
			}
		})
	}
	for _, want := range eighteen {
		if !seen[want] {
			t.Errorf("nobody went from %q to %q", want[0], want[1])
		}
		delete(seen, want)
	}
	for other := range seen {
		if belongs(other[0]) && (belongs(other[1]) || other[1] == metal.Deleting || other[1] == metal.Active) {
			t.Errorf("the seed knows no transition from %q to %q", other[0], other[1])
		}
	}
}

func belongs(s metal.State) bool { return strings.Contains(string(s), "rescu") }

// moves does one move, and checks how the machine is left.
func (w *world) moves(m move, seen map[[2]metal.State]bool) {
	w.t.Helper()
	plan := map[metal.Event]metal.Plan{metal.EventRescue: metal.PlanRescue, metal.EventUnrescue: metal.PlanUnrescue, metal.EventDelete: metal.PlanTearDown}[m.ask]
	record := map[bool]string{true: rescueAsk, false: "{}"}[m.ask == metal.EventRescue]
	w.asks(plan, m.ask, record, seen)
	c := w.conductor("c1", nil)
	w.silent = m.goes == "slow" || m.goes == "aborted" || m.goes == "deleted"
	switch m.goes {
	case "broken":
		c.tamper = breaking("power off")
	case "slow":
		c.config.RescueCallbackLimit = 1
	case "aborted":
		w.untilItWaits(c)
		w.write(func(tx *store.Tx) error { return tx.AskAbort(w.node.ID, "operator") })
	case "deleted":
		w.untilItWaits(c)
		w.write(func(tx *store.Tx) error { return tx.Supersede(w.node.ID, "ended by a tear down") })
		w.silent = false
		w.asks(metal.PlanTearDown, metal.EventDelete, "{}", seen)
	}
	w.run(c)
	w.silent = false
	n, a := w.state()
	if n.ProvisionState != m.arrives || (n.LastError != "") != (metal.States[m.arrives].Kind == metal.Failed) || n.Maintenance || a != nil || w.media != "" {
		w.t.Errorf("%s %s: %q, last_error %q, agent %v, media %q", m.ask, m.goes, n.ProvisionState, n.LastError, a != nil, w.media)
	}
	want := []metal.NetworkRole{metal.TenantNetwork}
	if m.arrives == metal.Available {
		want = nil
	}
	w.wiredAs(want, string(m.ask)+" "+m.goes)
	w.nowhere(testCrypt, m.goes)
	w.write(func(tx *store.Tx) error {
		events, err := tx.Events(n, store.Page{Limit: 1000})
		for _, e := range events {
			if e.Kind == "transition" {
				seen[[2]metal.State{e.From, e.To}] = true
			}
		}
		return err
	})
}

// asks is ask, with the transition that ops makes.
func (w *world) asks(p metal.Plan, e metal.Event, record string, seen map[[2]metal.State]bool) {
	w.t.Helper()
	before, _ := w.state()
	w.ask(p, e, record)
	after, _ := w.state()
	seen[[2]metal.State{before.ProvisionState, after.ProvisionState}] = true
}
