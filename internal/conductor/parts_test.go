package conductor

import (
	"testing"
	"time"

	"ingot/internal/metal"
	"ingot/internal/secret"
	"ingot/internal/store"
)

// chosenWorld is a world whose machine's node chooses its interfaces.
func chosenWorld(t *testing.T, interfaces map[string]string, pause time.Duration) (*world, *Conductor) {
	t.Helper()
	w := newWorld(t)
	w.node.Interfaces, w.node.ProvisionState = interfaces, metal.Available
	w.save()
	c := w.conductor("c1", nil)
	lasts := func() time.Duration { return pause }
	c.hardware["test"] = Hardware{Type: metal.HardwareType{Name: "test"}, Parts: Parts{
		"power":      {"w": {Power: w}},
		"management": {"w": {Boot: w, Pause: lasts}, "noop": {Boot: NoManagement{}}},
		"boot":       {"hand": {ByHand: true, Pause: lasts}, "media": {Media: w}},
		"deploy":     {"direct": {Deploys: ByAgent}, "fake": {Pause: lasts}},
	}}
	return w, c
}

// A direct deployment where somebody else boots the ramdisk: nothing is put into a drive, and the agent does its work.
func TestDirectWithARamdiskThatSomebodyBoots(t *testing.T) {
	t.Parallel()
	w, c := chosenWorld(t, map[string]string{"power": "w", "management": "noop", "boot": "hand", "deploy": "direct"}, 0)
	w.byHand = true
	w.ask(metal.PlanDeploy, metal.EventDeploy, "{}")
	w.run(c)
	n, _ := w.state()
	if n.ProvisionState != metal.Active || w.media != "" || w.disk != "image "+testHash || !w.on {
		t.Errorf("%s: %s; disk %q, drive %q, on %t", n.ProvisionState, n.LastError, w.disk, w.media, w.on)
	}
}

// The same node with deploy "fake" needs no ramdisk, and takes as long as it is set to: its operation waits as a row.
func TestFakeDeployTakesItsTime(t *testing.T) {
	t.Parallel()
	w, c := chosenWorld(t, map[string]string{"power": "w", "management": "noop", "boot": "hand", "deploy": "fake"}, time.Hour)
	w.ask(metal.PlanDeploy, metal.EventDeploy, "{}")
	w.untilItWaits(c)
	n, a := w.state()
	var live *store.Operation
	w.write(func(tx *store.Tx) (err error) { live, err = tx.LiveOperation(n.ID); return err })
	if n.ProvisionState != metal.Deploying || a != nil || live == nil || live.LeaseOwner != "" || time.Until(live.DueAt) < 50*time.Minute {
		t.Fatalf("%s, agent %v, operation %+v", n.ProvisionState, a, live)
	}
	if w.disk != "user data" {
		t.Errorf("the disk holds %q", w.disk)
	}
}

// A server that has not what a node names leaves its operation to one that has.
func TestAnInterfaceThatIsNotHere(t *testing.T) {
	t.Parallel()
	w, c := chosenWorld(t, map[string]string{"power": "elsewhere", "deploy": "fake"}, 0)
	w.ask(metal.PlanDeploy, metal.EventDeploy, "{}")
	w.untilItWaits(c)
	var live *store.Operation
	w.write(func(tx *store.Tx) (err error) { live, err = tx.LiveOperation(w.node.ID); return err })
	if live == nil || live.WaitingWhy != `a server that knows the power interface "elsewhere"` || live.LeaseOwner != "" {
		t.Fatalf("%+v", live)
	}
}

// What the implementations of a node bring together, and what instance_info changes in it.
func TestComposition(t *testing.T) {
	w, c := chosenWorld(t, map[string]string{"power": "w", "management": "noop", "boot": "hand", "deploy": "fake"}, 0)
	own, missing := c.hardware["test"].Of(w.node)
	if own.Power == nil || own.Boot != (NoManagement{}) || own.Media != nil || !own.ByHand || own.Deploys != Nothing || len(missing) != 0 {
		t.Errorf("%+v, %v", own.Part, missing)
	}
	w.node.InstanceInfo = secret.NewMap(map[string]any{"deploy_interface": "direct", "boot_interface": "media"})
	if own, _ = c.hardware["test"].Of(w.node); own.Deploys != ByAgent || own.Media == nil || own.ByHand {
		t.Errorf("with an instance's own: %+v", own.Part)
	}
}

// onlySteps is a Stepper that is asked what it offers.
type onlySteps struct{ Stepper }

func (onlySteps) Steps(n *metal.Node, kind metal.StepKind) []metal.Step {
	if kind != metal.CleanSteps || n.Interface("bios") != "b" {
		return nil
	}
	return []metal.Step{{Interface: "bios", Step: "x"}, {Interface: "raid", Step: "y"}}
}

// What a type announces of its steps is per implementation, and only of its own kind.
func TestStepsAreAnnounced(t *testing.T) {
	t.Parallel()
	parts := Parts{}
	design := Design{Name: "t", Supports: map[string][]string{}}
	for _, k := range metal.InterfaceKinds {
		parts[k.Name] = map[string]Part{"none": {}}
		design.Supports[k.Name] = []string{"none"}
	}
	parts["bios"]["b"] = Part{Steps: onlySteps{}}
	design.Supports["bios"] = []string{"none", "b"}
	types, err := parts.Compose([]Design{design}, Enabled{})
	if err != nil {
		t.Fatal(err)
	}
	n := &metal.Node{Interfaces: map[string]string{"bios": "b"}}
	if names, known := types["t"].Type.OutOfBand(n, metal.CleanSteps); !known || len(names) != 1 || names[0] != "bios.x" {
		t.Errorf("clean steps %v, %v", names, known)
	}
	if names, known := types["t"].Type.OutOfBand(n, metal.ServiceSteps); !known || len(names) != 0 {
		t.Errorf("service steps %v, %v", names, known)
	}
}
