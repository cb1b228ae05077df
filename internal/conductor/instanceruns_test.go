package conductor

import (
	"slices"
	"testing"

	"ingot/internal/metal"
)

// TestInstanceSteps: of the plans after which an instance runs, the metadata service answers the machine from the step on that starts it.
// Nothing after that step is about a ramdisk, and all of it is known there.
func TestInstanceSteps(t *testing.T) {
	started := concat(coreSteps["boot_instance"], deployPlan.steps[len(deployPlan.steps)-1:])
	for p, steps := range map[metal.Plan][]step{metal.PlanDeploy: started, metal.PlanUnrescue: unrescuePlan.steps, metal.PlanService: servicePlan.steps, metal.PlanRestore: restorePlan.steps} {
		var names []string
		for _, s := range steps {
			names = append(names, s.name)
		}
		at := slices.Index(names, "start instance")
		if at < 0 || !slices.Equal(names[at:], metal.InstanceSteps(p)) {
			t.Errorf("the plan %s: %q, of which the metadata service knows %q", p, names, metal.InstanceSteps(p))
		}
		if metal.InstanceRuns(metal.Deploying, p, names[at], true) || at > 0 && metal.InstanceRuns(metal.Deploying, p, names[at-1], false) {
			t.Errorf("the plan %s: its machine runs the instance too early, or while it is undone", p)
		}
	}
	var own []string
	for _, f := range selfPlaces {
		for _, s := range selfSteps[f.Step] {
			own = append(own, s.name)
		}
	}
	first, last := slices.Index(own, "start installer"), slices.Index(own, "stop installer")
	if first < 0 || last < 0 || !slices.Equal(slices.DeleteFunc(own[first:last], func(s string) bool { return s == "see boot mode" }), metal.InstallerSteps()) {
		t.Errorf("a machine that installs itself: %q, of which the metadata service knows %q", own, metal.InstallerSteps())
	}
	for s := range metal.States {
		if runs := metal.InstanceRuns(s, "", "", false); runs != (s == metal.Active) {
			t.Errorf("in %s the instance runs: %v", s, runs)
		}
	}
	if metal.InstanceRuns(metal.Active, metal.PlanRestore, "power off", false) || !metal.InstanceRuns(metal.Active, metal.PlanPower, "switch on", false) {
		t.Error("an active node whose machine is brought back from a ramdisk runs its instance, or one that is switched on does not")
	}
}
