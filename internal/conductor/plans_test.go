package conductor

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/store"
)

// journey is a plan as a caller starts it, and where it must end.
type journey struct {
	name   string
	plan   metal.Plan
	from   metal.State
	event  metal.Event
	record string
	end    metal.State
	failed metal.State
	on     bool   // the machine at the start
	runs   bool   // and at the end
	disk   string // at the end
}

var journeys = append([]journey{
	{"manage", metal.PlanVerify, metal.Enroll, metal.EventManage, "{}", metal.Manageable, metal.Enroll, true, true, "user data"},
	{"provide", metal.PlanClean, metal.Manageable, metal.EventProvide, "{}", metal.Available, metal.CleanFailed, true, false, "erased"},
	{"deploy", metal.PlanDeploy, metal.Available, metal.EventDeploy, "{}", metal.Active, metal.DeployFailed, false, true, "image " + testHash},
	{"undeploy", metal.PlanTearDown, metal.Active, metal.EventDelete, "{}", metal.Available, metal.Error, true, false, "erased"},
	{"rebuild", metal.PlanDeploy, metal.Active, metal.EventRebuild, "{}", metal.Active, metal.DeployFailed, true, true, "image " + testHash},
	{"inspect", metal.PlanInspect, metal.Manageable, metal.EventInspect, "{}", metal.Manageable, metal.InspectFailed, true, false, "user data"},
	{"inspect out of band", metal.PlanProbe, metal.Manageable, metal.EventInspect, "{}", metal.Manageable, metal.InspectFailed, true, true, "user data"},
	{"adopt", metal.PlanAdopt, metal.Manageable, metal.EventAdopt, "{}", metal.Active, metal.AdoptFailed, true, true, "user data"},
	{"power on", metal.PlanPower, metal.Active, "", `{"ask":{"power":"power on"}}`, metal.Active, metal.Active, false, true, "user data"},
	{"power off", metal.PlanPower, metal.Active, "", `{"ask":{"power":"power off"}}`, metal.Active, metal.Active, true, false, "user data"},
	{"reboot", metal.PlanPower, metal.Active, "", `{"ask":{"power":"rebooting"}}`, metal.Active, metal.Active, true, true, "user data"},
	{"soft reboot", metal.PlanPower, metal.Active, "", `{"ask":{"power":"soft rebooting"}}`, metal.Active, metal.Active, true, true, "user data"},
}, firmwareJourneys...)

func (j journey) begin(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.node.ProvisionState = j.from
	w.on = j.on
	if wish := wishes[j.name]; wish != "" {
		w.node.InstanceInfo = w.node.InstanceInfo.With("capabilities", wish)
		w.firm = firmware{legacy: j.event == metal.EventDeploy, secure: j.event == metal.EventDelete}
	}
	w.save()
	w.ask(j.plan, j.event, j.record)
	return w
}

func (j journey) arrived(t *testing.T, w *world, label string) {
	t.Helper()
	n, a := w.state()
	if n.ProvisionState != j.end || n.LastError != "" || n.TargetProvisionState != "" {
		t.Errorf("%s: state %q (target %q), last_error %q; want %q", label, n.ProvisionState, n.TargetProvisionState, n.LastError, j.end)
	}
	if wishes[j.name] != "" && (w.firm.secure != (j.event == metal.EventDeploy) || w.firm.legacy) {
		t.Errorf("%s: firmware %+v", label, w.firm)
	}
	if w.on != j.runs || w.media != "" || a != nil || w.disk != j.disk {
		t.Errorf("%s: on %v, media %q, agent row %v, disk %q", label, w.on, w.media, a != nil, w.disk)
	}
}

// TestPlans walks every plan undisturbed, then kills the conductor at every save of it, before and after
// the commit (so each step is also run twice), and resumes: the end and the effects on the machine must be
// the same, no power or media action more.
func TestPlans(t *testing.T) { onEach(t, testPlans) }

func testPlans(t *testing.T) {
	for _, j := range journeys {
		t.Run(j.name, func(t *testing.T) {
			t.Parallel()
			w := j.begin(t)
			points := 0
			w.run(w.conductor("c1", func(where string) error {
				if where != "dead?" {
					points++
				}
				return nil
			}))
			j.arrived(t, w, "undisturbed")
			want := w.effects()
			w.close()
			if points < 4 {
				t.Fatalf("only %d places to be killed at: the hook is not called", points)
			}
			for kill := range points {
				w := j.begin(t)
				seen, dead := 0, false
				label := ""
				w.run(w.conductor("c1", func(where string) error {
					if dead {
						return errStop
					}
					if where != "dead?" {
						if seen++; seen == kill+1 {
							dead, label = true, where
							return errStop
						}
					}
					return nil
				}))
				if !dead {
					t.Fatalf("kill %d never happened", kill)
				}
				j.arrived(t, w, "killed "+label)
				if got := w.effects(); !maps.Equal(got, want) {
					t.Errorf("killed %s (%d): effects %v, undisturbed %v", label, kill, got, want)
				}
				w.close()
			}
		})
	}
}

// TestEachStepFailing fails every step in turn: the node rests with the reason, nothing is left attached,
// and the next try works.
func TestEachStepFailing(t *testing.T) { onEach(t, testEachStepFailing) }

func testEachStepFailing(t *testing.T) {
	for _, j := range journeys {
		p := plans[j.plan]
		for i, s := range p.steps {
			w := j.begin(t)
			if j.skips(t, w, s) {
				w.close()
				continue
			}
			t.Run(j.name+"/"+s.name, func(t *testing.T) {
				broken := *p
				broken.steps = slices.Clone(p.steps)
				broken.steps[i].run = failing
				broken.steps[i].verify = failingVerify
				plans[j.plan] = &broken
				w.run(w.conductor("c1", nil))
				plans[j.plan] = p

				n, a := w.state()
				if n.ProvisionState != j.failed || !strings.Contains(n.LastError, s.name) || !strings.Contains(n.LastError, "broken on purpose") {
					t.Fatalf("state %q, last_error %q; want %q and the cause", n.ProvisionState, n.LastError, j.failed)
				}
				if w.media != "" || a != nil {
					t.Errorf("left behind: media %q, agent row %v", w.media, a != nil)
				}
				if booted := slices.IndexFunc(p.steps, func(s step) bool { return s.name == "power on" }); booted >= 0 && i >= booted && w.on {
					t.Error("the machine was left running")
				}
				if wishes[j.name] != "" && j.event == metal.EventDeploy && w.firm.secure {
					t.Error("Secure Boot was left on")
				}
				w.node, _ = w.state()
				w.recover(j)
				w.run(w.conductor("c1", nil))
				j.arrived(t, w, "second try")
			})
			w.close()
		}
	}
}

func failing(*runner, context.Context, *Op) (Outcome, error) {
	return Outcome{}, fault.New(fault.Invalid, "broken on purpose")
}

var failingVerify = failing

func (j journey) skips(t *testing.T, w *world, s step) bool {
	t.Helper()
	op := &Op{row: &store.Operation{Plan: string(j.plan)}, Node: w.node}
	if err := json.Unmarshal([]byte(j.record), &op.Rec); err != nil {
		t.Fatal(err)
	}
	c := Defaults()
	op.decide(&c)
	return s.skip != nil && s.skip(op)
}

// save writes the node as the test changed it.
func (w *world) save() {
	w.t.Helper()
	w.write(func(tx *store.Tx) error { return tx.SaveNode(w.node) })
}

// recover asks again after a failure, as an operator would.
func (w *world) recover(j journey) {
	w.t.Helper()
	if w.node.ProvisionState == metal.CleanFailed {
		w.node.ProvisionState, w.node.Maintenance, w.node.Fault = metal.Manageable, false, ""
		w.save()
	}
	w.ask(j.plan, j.event, j.record)
}
