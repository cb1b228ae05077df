package conductor

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"

	"ingot/internal/metal"
	"ingot/internal/seed"
	"ingot/internal/store"
)

// TestRequirement01OnePostPerDrive: each target is asked once in a deployment, and its answer is the same in every version of the
// drive and of what is served.
func TestRequirement01OnePostPerDrive(t *testing.T) { onEach(t, testOnePostPerDrive) }

func testOnePostPerDrive(t *testing.T) {
	one, two := newTarget(t), newTarget(t)
	w := deployWorld(t, maps.Clone(parts), asking(t, true, one, two))
	if n := w.deploy(metal.EventDeploy, askedBy); n.ProvisionState != metal.Active {
		t.Fatalf("%s: %s", n.ProvisionState, n.LastError)
	}
	if len(one.questions()) != 1 || len(two.questions()) != 1 {
		t.Fatalf("asked %d and %d times", len(one.questions()), len(two.questions()))
	}
	want := map[string]any{"project-id": "p1", "instance-id": w.node.UUID, "image-id": "http://127.0.0.1:1/i.raw", "user-data": "I2Nsb3VkLWNvbmZpZwo=", "hostname": "web1",
		"metadata": map[string]any{"role": "web"}, "boot-roles": "member,mail"}
	if got, _ := json.Marshal(one.questions()[0]); canonical(t, got) != fmt.Sprint(want) {
		t.Errorf("it was told %s", got)
	}
	i, s := w.kept()
	if i == nil || i.ID != w.node.UUID || i.Project != "p1" || i.Answers.Empty() {
		t.Fatalf("kept: %+v", i)
	}
	drive, err := seed.FromDrive(w.drive)
	if err != nil {
		t.Fatal(err)
	}
	first := page(t, s, "/openstack/latest/vendor_data2.json")
	if canonical(t, []byte(first)) != "map[mail:map[number:1] own:kept roles:map[number:1] static:map[]]" {
		t.Errorf("it reads %s", first)
	}
	for _, v := range sinceVendorData2() {
		path := "/openstack/" + v + "/vendor_data2.json"
		if got := page(t, drive, path); got != first {
			t.Errorf("on the drive, %s: %s", path, got)
		}
		if got := page(t, s, path); got != first {
			t.Errorf("served, %s: %s", path, got)
		}
	}
	for _, name := range s.Names() {
		a, _ := s.File(name)
		if b, has := drive.File(name); !has || !bytes.Equal(a, b) {
			t.Errorf("%s is not the same on the drive", name)
		}
	}
	if !strings.Contains(w.whys(), "replaces what the instance's own vendor_data says under roles") {
		t.Errorf("the history does not say that a name was replaced:\n%s", w.whys())
	}
}

// TestRequirement06AFatalFailureFailsTheDeployment: with a drive and without one the node is deploy failed before its machine is
// touched, with the target's name, and nothing is served.
func TestRequirement06AFatalFailureFailsTheDeployment(t *testing.T) {
	onEach(t, testAFatalFailureFailsTheDeployment)
}

func testAFatalFailureFailsTheDeployment(t *testing.T) {
	for name, drive := range map[string]any{"with a drive": maps.Clone(parts), "without": nil} {
		t.Run(name, func(t *testing.T) {
			good, bad := newTarget(t), newTarget(t)
			bad.says = func(w http.ResponseWriter) bool {
				http.Error(w, "hunter2", http.StatusInternalServerError)
				return true
			}
			w := deployWorld(t, drive, asking(t, true, good, bad))
			n := w.deploy(metal.EventDeploy, askedBy)
			if n.ProvisionState != metal.DeployFailed || !strings.Contains(n.LastError, `"mail"`) || !strings.Contains(n.LastError, "500") ||
				strings.Contains(n.LastError, "hunter2") || strings.Contains(n.LastError, `"roles"`) {
				t.Errorf("%s: %s", n.ProvisionState, n.LastError)
			}
			if len(w.counters) != 0 || w.on {
				t.Errorf("the machine was touched: %v", w.counters)
			}
			if len(bad.questions()) != 1 {
				t.Errorf("the target was asked %d times", len(bad.questions()))
			}
			if i, _ := w.kept(); i != nil {
				t.Error("something is served of an instance whose deployment failed")
			}
			bad.says = nil
			if n := w.deploy(metal.EventDeploy, askedBy); n.ProvisionState != metal.Active || n.LastError != "" {
				t.Errorf("the second try: %s: %s", n.ProvisionState, n.LastError)
			}
			if i, _ := w.kept(); i == nil {
				t.Error("nothing is served of the second try")
			}
			if (w.drive != "") != (drive != nil) {
				t.Errorf("a drive of %d bytes", len(w.drive))
			}
		})
	}
}

// TestVendordataThatIsMissing is {} where that is not fatal, and the history says so.
func TestVendordataThatIsMissing(t *testing.T) {
	good, bad := newTarget(t), newTarget(t)
	bad.says = func(w http.ResponseWriter) bool { fmt.Fprint(w, "<html>"); return true }
	w := deployWorld(t, nil, asking(t, false, good, bad))
	if n := w.deploy(metal.EventDeploy, askedBy); n.ProvisionState != metal.Active {
		t.Fatalf("%s: %s", n.ProvisionState, n.LastError)
	}
	_, s := w.kept()
	if got := page(t, s, "/openstack/latest/vendor_data2.json"); canonical(t, []byte(got)) != "map[mail:map[] roles:map[number:1] static:map[]]" {
		t.Errorf("it reads %s", got)
	}
	if !strings.Contains(w.whys(), `The vendordata target "mail"`) {
		t.Errorf("the history says nothing of it:\n%s", w.whys())
	}
	if w.drive != "" {
		t.Error("a drive was written that nobody asked for")
	}
}

// TestRequirement09RolesAreKeptByARebuild: whoever asks for it, and the targets are asked anew.
func TestRequirement09RolesAreKeptByARebuild(t *testing.T) { onEach(t, testRolesAreKeptByARebuild) }

func testRolesAreKeptByARebuild(t *testing.T) {
	v := newTarget(t)
	w := deployWorld(t, maps.Clone(parts), asking(t, true, v))
	w.deploy(metal.EventDeploy, askedBy)
	before, _ := w.kept()
	w.write(func(tx *store.Tx) error {
		_, err := tx.SetInstanceFault(w.node.ID, "roles answered with status 500")
		return err
	})
	const other = `{"ask":{"boot_for":{"roles":["reader"],"project":"p2"}}}`
	n := w.deploy(metal.EventRebuild, other)
	asked := v.questions()
	if n.ProvisionState != metal.Active || len(asked) != 2 || asked[1]["boot-roles"] != "member,mail" || asked[1]["project-id"] != "p1" {
		t.Fatalf("%s: %s; asked %v", n.ProvisionState, n.LastError, asked)
	}
	i, s := w.kept()
	if i.Fault != "" {
		t.Errorf("it has a fault of the instance before: %s", i.Fault)
	}
	if got := page(t, s, "/openstack/latest/vendor_data2.json"); !strings.Contains(got, `"number":2`) && !strings.Contains(got, `"number": 2`) || i.Generation == before.Generation {
		t.Errorf("it reads %s", got)
	}
	v.says = func(w http.ResponseWriter) bool { w.WriteHeader(http.StatusBadGateway); return true }
	if n = w.deploy(metal.EventRebuild, other); n.ProvisionState != metal.DeployFailed {
		t.Fatalf("%s", n.ProvisionState)
	}
	if i, _ := w.kept(); i != nil {
		t.Error("a rebuild that failed leaves something served")
	}
	v.says = nil
	if n = w.deploy(metal.EventRebuild, other); n.ProvisionState != metal.Active {
		t.Fatalf("%s: %s", n.ProvisionState, n.LastError)
	}
	if last := v.questions()[3]; last["boot-roles"] != "member,mail" || last["project-id"] != "p1" {
		t.Errorf("after a rebuild that failed it was told %v", last)
	}
	// Who may speak for one project alone does not get what is another's: a node that was lent on meanwhile, or its owner.
	for i, row := range []struct{ ask, roles, project string }{
		{`{"ask":{"boot_for":{"roles":["reader"],"project":"p1","own":true}}}`, "member,mail", "p1"},
		{`{"ask":{"boot_for":{"roles":["reader"],"project":"p2","own":true}}}`, "reader", "p2"},
		{`{"ask":{"boot_for":{"roles":["admin"],"project":"p1"}}}`, "reader", "p2"},
	} {
		w.deploy(metal.EventRebuild, row.ask)
		if last := v.questions()[4+i]; last["boot-roles"] != row.roles || last["project-id"] != row.project {
			t.Errorf("rebuild %d: it was told %v", i, last)
		}
	}
	// A deployment is another instance.
	w.write(func(tx *store.Tx) error {
		w.node.ProvisionState = metal.DeployFailed
		return tx.SaveNode(w.node)
	})
	w.deploy(metal.EventDeploy, other)
	if last := v.questions()[7]; last["boot-roles"] != "reader" || last["project-id"] != "p2" {
		t.Errorf("of a new deployment it was told %v", last)
	}
}

// TestOneAnswerSurvivesDeath kills the conductor at every save of a deployment, also between a target's answer and its record:
// another may be asked for then, but one alone is used, on the drive and for what is served.
func TestOneAnswerSurvivesDeath(t *testing.T) { onEach(t, testOneAnswerSurvivesDeath) }

func testOneAnswerSurvivesDeath(t *testing.T) {
	var p deathPlaces
	twice := 0
	p.each(t, func() map[string]int {
		v := newTarget(t)
		w := deployWorld(t, maps.Clone(parts), asking(t, true, v))
		defer w.close()
		w.heir = p.mortal
		w.ask(metal.PlanDeploy, metal.EventDeploy, askedBy)
		w.run(w.conductor("c1", p.mortal()))
		w.node, _ = w.state()
		_, s := w.kept()
		if w.node.ProvisionState != metal.Active || s == nil {
			t.Fatalf("%s: %s: %s", p.label(), w.node.ProvisionState, w.node.LastError)
		}
		drive, err := seed.FromDrive(w.drive)
		if err != nil {
			t.Fatalf("%s: %v", p.label(), err)
		}
		served := page(t, s, "/openstack/latest/vendor_data2.json")
		for _, version := range sinceVendorData2() {
			if got := page(t, drive, "/openstack/"+version+"/vendor_data2.json"); got != served {
				t.Errorf("%s: the drive says %s, what is served %s", p.label(), got, served)
			}
		}
		lost := strings.Contains(p.label(), "before prepare metadata (2)") || strings.Contains(p.label(), "before build config drive (1)")
		if n := len(v.questions()); n > 2 || n == 2 && !lost {
			t.Errorf("%s: asked %d times", p.label(), n)
		} else if n == 2 {
			twice++
		}
		return nil
	})
	if twice == 0 {
		t.Errorf("nobody died between an answer and its record; places: %v", p.all)
	}
}

// TestNobodyFailsWhoWasNotAsked: a conductor that ends while a target thinks leaves the step to the next.
func TestNobodyFailsWhoWasNotAsked(t *testing.T) {
	v := newTarget(t)
	w := deployWorld(t, nil, asking(t, true, v))
	ctx, end := context.WithCancel(t.Context())
	v.onAsk = end
	v.says = func(w http.ResponseWriter) bool {
		if len(v.asked) == 1 {
			panic(http.ErrAbortHandler)
		}
		return false
	}
	w.ask(metal.PlanDeploy, metal.EventDeploy, askedBy)
	c := w.conductor("c1", nil)
	for ctx.Err() == nil {
		if _, err := c.WorkOne(ctx); err != nil && ctx.Err() == nil {
			t.Fatal(err)
		}
	}
	w.write(func(tx *store.Tx) error { return tx.DropLeases("c1") })
	w.run(w.conductor("successor", nil))
	if n, _ := w.state(); n.ProvisionState != metal.Active || len(v.questions()) != 2 {
		t.Errorf("%s: %s; asked %d times", n.ProvisionState, n.LastError, len(v.questions()))
	}
}
