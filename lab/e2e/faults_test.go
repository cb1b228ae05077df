package e2e

import (
	"fmt"
	"net"
	"testing"

	"ingot/internal/client"
	"ingot/internal/metal"
	"ingot/internal/wire"
	"ingot/lab/bmc"
)

// pair is a machine whose BMC gets a fault and a healthy one, on one server.
type pair struct {
	bad, good         *machine
	badNode, goodNode *node
}

// pairs starts a server whose limits suit a test, and gives a maker of pairs on it.
func pairs(t *testing.T) func(t *testing.T, name string) *pair {
	s := serve(t, "127.0.0.1", "conductor.power_state_change_timeout=2", "conductor.clean_callback_timeout=8", "conductor.deploy_callback_timeout=60",
		"redfish.read_timeout=5", "redfish.effect_timeout=1", "redfish.boot_mode_config_timeout=4")
	s.ramdisk()
	s.start()
	return func(t *testing.T, name string) *pair {
		t.Helper()
		hint := map[string]any{"properties": map[string]any{"root_device": map[string]any{"serial": "first"}}}
		p := &pair{bad: newMachine(t), good: newMachine(t)}
		p.badNode = s.enrolAs(t, "bad-"+name, p.bad.reach, hint)
		p.goodNode = s.enrolAs(t, "good-"+name, p.good.reach, hint)
		return p
	}
}

// live tells whether the node is under way.
func (n *node) live() bool {
	n.t.Helper()
	now, err := n.States(n.t.Context(), n.name)
	if err != nil {
		n.t.Fatal(err)
	}
	kind := metal.States[now.ProvisionState].Kind
	return kind != metal.Stable && kind != metal.Failed
}

// TestFaultsOfBMCs: each fault of a BMC ends in an operation that is done, or failed with what is wrong and what to do;
// and a healthy machine that is cleaned at the same time notices nothing.
func TestFaultsOfBMCs(t *testing.T) {
	beside(t)
	newPair := pairs(t)
	for _, row := range []struct {
		name   string
		faults []bmc.Fault
		cause  []string // none: it is done all the same
		slow   bool     // the healthy one is ready while this one still tries
		spoil  func(*machine)
	}{
		{name: "503", faults: []bmc.Fault{{Name: bmc.Busy, Times: 4}}},
		{name: "slow", faults: []bmc.Fault{{Name: bmc.Slow, DelayMS: 300}}, slow: true},
		{name: "sessions", faults: []bmc.Fault{{Name: bmc.SessionLimit}}, spoil: (*machine).forgetSessions},
		{name: "post", faults: []bmc.Fault{{Name: bmc.InPOST, Times: 5}}},
		{name: "stale", faults: []bmc.Fault{{Name: bmc.StaleMedia, Times: 1}}},
		{name: "no-insert", faults: []bmc.Fault{{Name: bmc.PatchOnly}, {Name: bmc.NeedETag}}},
		{name: "transfer", faults: []bmc.Fault{{Name: bmc.NeedTransfer}, {Name: bmc.NoBootMode}}},
		{name: "all-of-boot", faults: []bmc.Fault{{Name: bmc.WholeBoot}}},

		{name: "stuck-media", faults: []bmc.Fault{{Name: bmc.StaleMedia, Times: 1}, {Name: bmc.EjectIgnored}}, cause: []string{"insert boot media", "still holds it"}},
		{name: "empty-drive", faults: []bmc.Fault{{Name: bmc.MediaEmpty}}, cause: []string{"insert boot media", "still empty", "can reach"}},
		{name: "lost-media", faults: []bmc.Fault{{Name: bmc.MediaLost}}, cause: []string{"wait for agent", "virtual drive is empty"}},
		{name: "lost-override", faults: []bmc.Fault{{Name: bmc.BootIgnored}}, cause: []string{"wait for agent", "boot override", "boot order"}},
		{name: "power-lies", faults: []bmc.Fault{{Name: bmc.PowerLies}}, cause: []string{"power on", `did not reach "power on"`}},
		{name: "power-wrong", faults: []bmc.Fault{{Name: bmc.PowerWrong}}, cause: []string{"power off", `did not reach "power off"`}},
		{name: "hang", faults: []bmc.Fault{{Name: bmc.Hang}}, cause: []string{"power off", "did not answer in time"}, slow: true},
		{name: "gone", faults: []bmc.Fault{{Name: bmc.Gone}}, cause: []string{"power off", "cannot be reached"}},
		{name: "refused", cause: []string{"power off", "connection refused"}, spoil: func(m *machine) { m.ctl.Close() }},
		{name: "re-keyed", faults: []bmc.Fault{{Name: bmc.Gone, Times: 1}, {Name: bmc.NewKey}}, cause: []string{"another certificate", "set redfish_certificate_fingerprint to"}},
		{name: "password", faults: []bmc.Fault{{Name: bmc.WrongPassword}}, cause: []string{"refuses user admin", "redfish_password"}, spoil: (*machine).forgetSessions},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			p := newPair(t, row.name)
			p.badNode.ask(metal.VerbManage)
			p.goodNode.ask(metal.VerbManage)
			p.badNode.rests(metal.Manageable, soon)
			p.goodNode.rests(metal.Manageable, soon)
			p.bad.fault(row.faults...)
			if row.spoil != nil {
				row.spoil(p.bad)
			}
			p.badNode.ask(metal.VerbProvide)
			p.goodNode.ask(metal.VerbProvide)
			if said := p.goodNode.rests(metal.Available, soon); said != "" {
				t.Errorf("the healthy node: %s", said)
			}
			p.good.clean()
			if row.slow && !p.badNode.live() {
				t.Error("the faulty node ended before the healthy one: nothing was shown")
			}
			if row.cause == nil {
				if said := p.badNode.rests(metal.Available, soon); said != "" {
					t.Errorf("the node with the fault: %s", said)
				}
				p.bad.clean()
				return
			}
			p.badNode.failed(p.badNode.rests(metal.CleanFailed, soon), row.cause...)
		})
	}
}

func (m *machine) forgetSessions() { m.ctl.ExpireSessions() }

// TestSettingsOfBMCs: an instance gets Secure Boot as it was promised, or its deploy fails and says why.
func TestSettingsOfBMCs(t *testing.T) {
	beside(t)
	newPair := pairs(t)
	for _, row := range []struct {
		name  string
		fault string
		cause []string
	}{
		{"none", "", nil},
		{"after-reset", bmc.AtReset, nil},
		{"needs-off", bmc.NeedsOff, nil},
		{"ignored", bmc.PatchIgnored, []string{"see secure boot", "accepted to switch it on and shows it as off"}},
		{"not-applied", bmc.NotApplied, []string{"see secure boot", "switched on, and the BMC shows a boot without"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			p := newPair(t, row.name)
			i := serveImages(t, "127.0.0.1", wholeDisk(8*mib), 0)
			for _, n := range []*node{p.badNode, p.goodNode} {
				n.ends(metal.VerbManage, metal.Manageable, soon)
				if err := n.SetSecureBoot(t.Context(), n.name, false); err != nil {
					t.Fatal(err)
				}
				await(t, soon, "Secure Boot off", func() (bool, error) {
					s, err := n.States(t.Context(), n.name)
					return err == nil && s.SecureBoot != nil && !*s.SecureBoot, err
				})
				n.ends(metal.VerbProvide, metal.Available, soon)
				n.wants(i.url+"good", sum(i.good))
				_, err := n.UpdateNode(t.Context(), n.name, []wire.PatchOp{client.Set("/instance_info/capabilities", map[string]any{"secure_boot": "true"})}, false)
				if err != nil {
					t.Fatal(err)
				}
			}
			if row.fault != "" {
				p.bad.fault(bmc.Fault{Name: row.fault})
			}
			p.badNode.ask(metal.VerbActive)
			p.goodNode.ask(metal.VerbActive)
			if said := p.goodNode.rests(metal.Active, soon); said != "" || !p.good.secure() {
				t.Errorf("the healthy node: %q, booted with Secure Boot: %v", said, p.good.secure())
			}
			if row.cause == nil {
				p.badNode.rests(metal.Active, soon)
				if !p.bad.secure() {
					t.Error("booted without Secure Boot")
				}
				p.bad.fault()
				p.badNode.ends(metal.VerbDeleted, metal.Available, soon)
				if p.bad.secure() {
					t.Error("Secure Boot is still on after the tear down")
				}
				return
			}
			p.badNode.failed(p.badNode.rests(metal.DeployFailed, soon), row.cause...)
			p.badNode.nothingLeft()
		})
	}
}

// secure tells whether the last boot enforced Secure Boot.
func (m *machine) secure() bool {
	boots := m.Boots()
	return len(boots) > 0 && boots[len(boots)-1].SecureBoot
}

// TestFortyDeadBMCs: more BMCs that take a connection and say nothing than there are workers. A healthy node is managed
// and cleaned while they are still waited for.
func TestFortyDeadBMCs(t *testing.T) {
	beside(t)
	s := serve(t, "127.0.0.1")
	s.ramdisk()
	s.start()
	good := newMachine(t)
	n := s.enrol(t, good.reach, map[string]any{"properties": map[string]any{"root_device": map[string]any{"serial": "first"}}})
	var dead []*node
	for i := range 40 {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.2.%d:0", i+1)) // nobody accepts; the kernel does
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		d := s.enrolAs(t, fmt.Sprintf("dead%d", i), reach{"https://" + l.Addr().String(), "admin", "canary-of-the-dead", good.reach.fingerprint}, nil)
		dead = append(dead, d)
		d.ask(metal.VerbManage)
	}
	n.available(soon)
	good.clean()
	still := 0
	for _, d := range dead {
		if d.live() {
			still++
		}
	}
	if still < 33 {
		t.Errorf("only %d of the dead are still waited for: they did not hold all workers", still)
	}
}
