package conductor

import (
	"context"
	"os"
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

var journeys = slices.Concat([]journey{
	{"manage", metal.PlanVerify, metal.Enroll, metal.EventManage, "{}", metal.Manageable, metal.Enroll, true, true, "user data"},
	{"provide", metal.PlanClean, metal.Manageable, metal.EventProvide, "{}", metal.Available, metal.CleanFailed, true, false, "erased"},
	{"deploy", metal.PlanDeploy, metal.Available, metal.EventDeploy, "{}", metal.Active, metal.DeployFailed, false, true, "image " + testHash},
	{"undeploy", metal.PlanTearDown, metal.Active, metal.EventDelete, "{}", metal.Available, metal.Error, true, false, "erased"},
	{"rebuild", metal.PlanDeploy, metal.Active, metal.EventRebuild, "{}", metal.Active, metal.DeployFailed, true, true, "image " + testHash},
	{"inspect", metal.PlanInspect, metal.Manageable, metal.EventInspect, "{}", metal.Manageable, metal.InspectFailed, true, false, "user data"},
	{"inspect out of band", metal.PlanProbe, metal.Manageable, metal.EventInspect, "{}", metal.Manageable, metal.InspectFailed, true, true, "user data"},
	{"fake rescue", metal.PlanRescue, metal.Active, metal.EventRescue, "{}", metal.Rescue, metal.RescueFailed, true, true, "user data"},
	{"fake unrescue", metal.PlanUnrescue, metal.Rescue, metal.EventUnrescue, "{}", metal.Active, metal.UnrescueFailed, true, true, "user data"},
	{"adopt", metal.PlanAdopt, metal.Manageable, metal.EventAdopt, "{}", metal.Active, metal.AdoptFailed, true, true, "user data"},
	{"power on", metal.PlanPower, metal.Active, "", `{"ask":{"power":"power on"}}`, metal.Active, metal.Active, false, true, "user data"},
	{"power off", metal.PlanPower, metal.Active, "", `{"ask":{"power":"power off"}}`, metal.Active, metal.Active, true, false, "user data"},
	{"reboot", metal.PlanPower, metal.Active, "", `{"ask":{"power":"rebooting"}}`, metal.Active, metal.Active, true, true, "user data"},
	{"clean by hand", metal.PlanManual, metal.Manageable, metal.EventClean, manualSteps, metal.Manageable, metal.CleanFailed, true, false, "erased"},
	{"clean by hand, out of band", metal.PlanManual, metal.Manageable, metal.EventClean, quietSteps, metal.Manageable, metal.CleanFailed, true, true, "user data"},
	{"clean by hand, power", metal.PlanManual, metal.Manageable, metal.EventClean, powerSteps, metal.Manageable, metal.CleanFailed, true, false, "erased"},
	{"service", metal.PlanService, metal.Active, metal.EventService, serviceSteps, metal.Active, metal.ServiceFailed, true, true, "serviced"},
	{"service, out of band", metal.PlanService, metal.Active, metal.EventService, quietSteps, metal.Active, metal.ServiceFailed, true, true, "user data"},
	{"deploy with steps", metal.PlanDeploy, metal.Available, metal.EventDeploy, deploySteps, metal.Active, metal.DeployFailed, false, true, "image " + testHash},
	{"restore", metal.PlanRestore, metal.Active, "", "{}", metal.Active, metal.Active, false, true, "user data"},
	{"soft reboot", metal.PlanPower, metal.Active, "", `{"ask":{"power":"soft rebooting"}}`, metal.Active, metal.Active, true, true, "user data"},
}, firmwareJourneys, peripheralJourneys, vifJourneys, rescueJourneys, osJourneys, selfJourneys, osServiceJourneys)

// ofEachPlan is one journey of each plan, the longest, and one of those of OS definitions, or all with INGOT_LAB_FULL=1.
func ofEachPlan(all []journey) []journey {
	if os.Getenv("INGOT_LAB_FULL") == "1" {
		return all
	}
	var out []journey
	for _, j := range all {
		i := slices.IndexFunc(out, func(o journey) bool { return o.plan == j.plan && o.ofOS() == j.ofOS() })
		switch {
		case i < 0:
			out = append(out, j)
		case len(j.record) > len(out[i].record):
			out[i] = j
		}
	}
	return out
}

// The steps that callers give in these journeys: each kind of step, in every plan that takes any.
const (
	manualSteps = `{"ask":{"steps":[{"interface":"bios","step":"apply","args":{"settings":[1]}},{"interface":"deploy","step":"hold"},
		{"interface":"deploy","step":"erase_devices"},{"interface":"power","step":"reboot"},{"interface":"deploy","step":"wait"},
		{"interface":"deploy","step":"update_nic"},{"interface":"deploy","step":"erase_devices"}]}}`
	quietSteps = `{"ask":{"steps":[{"interface":"bios","step":"apply","args":{"settings":[1]}},{"interface":"deploy","step":"hold"},{"interface":"power","step":"reboot"},{"interface":"raid","step":"create"}]}}`
	powerSteps = `{"ask":{"steps":[{"interface":"deploy","step":"erase_devices"},{"interface":"power","step":"power_off"},{"interface":"raid","step":"create"},
		{"interface":"power","step":"power_on"},{"interface":"deploy","step":"erase_devices"}]}}`
	serviceSteps = `{"ask":{"steps":[{"interface":"deploy","step":"hold"},{"interface":"deploy","step":"tune"},{"interface":"bios","step":"apply","args":{"settings":[1]}},{"interface":"deploy","step":"update_nic"}]}}`
	deploySteps  = `{"ask":{"steps":[{"interface":"bios","step":"apply","priority":150,"args":{"settings":[1]}},{"interface":"deploy","step":"hold","priority":90},
		{"interface":"deploy","step":"update_nic","priority":85},{"interface":"power","step":"reboot","priority":70},{"interface":"raid","step":"create","priority":25}],
		"template_steps":[{"interface":"deploy","step":"update_nic","priority":0},{"interface":"deploy","step":"wait","priority":50}]}}`
)

func (j journey) begin(t *testing.T) *world {
	t.Helper()
	return j.start(newWorld(t))
}

// start asks for the plan in a new world.
func (j journey) start(w *world) *world {
	w.t.Helper()
	w.node.ProvisionState = j.from
	w.on, w.side = j.on, newPeripherals(j)
	w.node.ConsoleEnabled = w.side.console
	if wish := wishes[j.name]; wish != "" {
		w.node.InstanceInfo = w.node.InstanceInfo.With("capabilities", wish)
		w.firm = firmware{legacy: j.event == metal.EventDeploy, secure: j.event == metal.EventDelete}
	}
	w.rescuable(j)
	w.installable(j)
	w.selfInstallable(j)
	w.save()
	w.wire(j)
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
	w.peripheralsArrived(j, n, label)
	w.rescueArrived(j, n, label)
	w.installArrived(j, n, label)
	w.selfArrived(j, n, label)
	w.wiredAs(j.networks(), label)
	w.vifsArrived(j, label)
	if w.on != j.runs || w.media != "" || a != nil || w.disk != j.disk {
		t.Errorf("%s: on %v, media %q, agent row %v, disk %q", label, w.on, w.media, a != nil, w.disk)
	}
}

// TestPlans walks every plan undisturbed, then kills the conductor at every save of it, before and after
// the commit (so each step is also run twice), and resumes: the end and the effects on the machine must be
// the same, no power or media action more. TestThreeServers does it with others beside the one that dies.
func TestPlans(t *testing.T) { onEach(t, testPlans) }

func testPlans(t *testing.T) {
	for _, j := range journeys {
		t.Run(j.name, func(t *testing.T) {
			t.Parallel()
			var p deathPlaces
			p.each(t, func() map[string]int {
				w := j.begin(t)
				defer w.close()
				w.heir = p.mortal
				w.run(w.conductor("c1", p.mortal()))
				j.arrived(t, w, p.label())
				return w.effects()
			})
		})
	}
}

// ran lists the steps that a plan enters, in order: each name once.
func (j journey) ran(t *testing.T) []string {
	t.Helper()
	w := j.begin(t)
	defer w.close()
	c := w.conductor("c1", nil)
	var names []string
	c.tamper = func(steps []step) {
		for i := range steps {
			name, run := steps[i].name, steps[i].run
			steps[i].run = func(r *runner, ctx context.Context, op *Op) (Outcome, error) {
				if op.row.Plan == string(j.plan) && !slices.Contains(names, name) {
					names = append(names, name)
				}
				return run(r, ctx, op)
			}
		}
	}
	w.run(c)
	return names
}

// TestEachStepFailing fails every step in turn: the node rests with the reason, nothing is left attached,
// and the next try works.
func TestEachStepFailing(t *testing.T) { onEach(t, testEachStepFailing) }

func testEachStepFailing(t *testing.T) {
	all := journeys
	if onPostgres(t) { // which says the same of a step that fails
		all = ofEachPlan(journeys)
	}
	for _, j := range all {
		names := j.ran(t)
		if len(names) == 0 {
			t.Errorf("%s enters no step", j.name)
		}
		for i, name := range names {
			t.Run(j.name+"/"+name, func(t *testing.T) {
				t.Parallel()
				w := j.begin(t)
				defer w.close()
				c := w.conductor("c1", nil)
				c.tamper = breaking(name)
				w.run(c)
				n, a := w.state()
				why := n.LastError
				if plans[j.plan].quiet && name == plans[j.plan].steps[0].name { // who asked waits for it
					why = w.refusal()
					if n.LastError != "" {
						t.Errorf("last_error %q of what its caller was told", n.LastError)
					}
				}
				if n.ProvisionState != j.failed || !strings.Contains(why, name) || !strings.Contains(why, "broken on purpose") {
					t.Fatalf("state %q, told %q; want %q and the cause", n.ProvisionState, why, j.failed)
				}
				w.wiredAs(j.networksLeft(names, name), "failed")
				if w.media != "" || a != nil {
					t.Errorf("left behind: media %q, agent row %v", w.media, a != nil)
				}
				booted := slices.Index(names, "power on")
				if booted >= 0 && i >= booted && w.on && j.plan != metal.PlanService {
					t.Error("the machine was left running")
				}
				if wishes[j.name] != "" && j.event == metal.EventDeploy && w.firm.secure {
					t.Error("Secure Boot was left on")
				}
				if begun := slices.IndexFunc(names, func(s string) bool { return strings.Contains(s, " step 1:") }); j.plan == metal.PlanService && booted >= 0 && w.on != (i <= begun || j.readsOnly()) {
					t.Errorf("the machine is on: %v. It must be as long as no step was run, and not after one broke off", w.on)
				}
				if broke := slices.IndexFunc(names, func(s string) bool { return strings.Contains(s, " step 1:") }); n.Maintenance && (i <= broke || j.plan == metal.PlanDeploy) {
					t.Error("maintenance was set although no step had begun")
				}
				w.node, _ = w.state()
				w.recover(j)
				w.run(w.conductor("c1", nil))
				j.arrived(t, w, "second try")
			})
		}
	}
}

func failing(*runner, context.Context, *Op) (Outcome, error) {
	return Outcome{}, fault.New(fault.Invalid, "broken on purpose")
}

// breaking fails one step.
func breaking(name string) func([]step) {
	return func(steps []step) {
		for i := range steps {
			if steps[i].name == name {
				steps[i].run, steps[i].verify = failing, failing
			}
		}
	}
}

// save writes the node as the test changed it.
func (w *world) save() {
	w.t.Helper()
	w.write(func(tx *store.Tx) error { return tx.SaveNode(w.node) })
}

// recover asks again after a failure, as an operator would.
func (w *world) recover(j journey) {
	w.t.Helper()
	if w.node.ProvisionState == metal.ServiceFailed { // the API asks for this from that state
		j.record = strings.Replace(j.record, `"ask":{`, `"ask":{"restore":true,`, 1)
	}
	if w.node.ProvisionState == metal.CleanFailed {
		w.node.ProvisionState, w.node.Maintenance, w.node.Fault = metal.Manageable, false, ""
		w.save()
	}
	w.unbroken()
	w.ask(j.plan, j.event, j.record)
}
