package e2e

import (
	"testing"
	"time"

	"ingot/internal/client"
	"ingot/internal/metal"
	"ingot/internal/secret"
	"ingot/internal/wire"
	"ingot/lab/bmc"
)

// soon is how long a simulated machine may take for an operation: seconds, on a host that is busy with others.
const soon = 3 * time.Minute

func TestBMCRefuses(t *testing.T) {
	beside(t)
	for _, c := range []struct {
		fault string
		cause []string
	}{
		{bmc.RefusePower, []string{`step "power on"`, "refuses", "power control is locked"}},
		{bmc.RefuseMedia, []string{`step "insert boot media"`, "virtual media is not available"}},
		{bmc.PowerLies, []string{`step "power on"`, `did not reach "power on"`}},
	} {
		t.Run(c.fault, func(t *testing.T) {
			t.Parallel()
			m, n := simulated(t, "conductor.power_state_change_timeout=2")
			n.ends(metal.VerbManage, metal.Manageable, soon)
			m.fault(bmc.Fault{Name: c.fault})
			n.failed(n.ends(metal.VerbProvide, metal.CleanFailed, soon), c.cause...)
			m.fault()
			n.nothingLeft()

			n.ends(metal.VerbManage, metal.Manageable, soon)
			n.ends(metal.VerbProvide, metal.Available, soon)
			m.clean()
		})
	}
}

func TestWrongPassword(t *testing.T) {
	beside(t)
	m, n := simulated(t)
	password := func(p string) {
		t.Helper()
		_, err := n.UpdateNode(t.Context(), n.name, []wire.PatchOp{client.Set("/driver_info/redfish_password", secret.New(p))}, false)
		if err != nil {
			t.Fatal(err)
		}
	}
	password("not-the-password")
	n.failed(n.ends(metal.VerbManage, metal.Enroll, soon), "refuses user admin", "redfish_password")
	password(m.reach.password)
	n.available(soon)
	m.clean()

	// A password that is changed at the BMC alone, while the image is written.
	i := serveImages(t, "127.0.0.1", wholeDisk(8*mib), 0)
	n.wants(i.url+"gated", sum(i.good))
	n.ask(metal.VerbActive)
	n.writes(0.1, soon)
	m.ctl.ExpireSessions()
	m.fault(bmc.Fault{Name: bmc.WrongPassword})
	i.openGate()
	n.failed(n.rests(metal.DeployFailed, soon), "refuses user admin")
	n.saysWhatIsLeft()
	m.fault()
	// The next try finds the machine running and the old ISO in its drive, and copes.
	n.wants(i.url+"good", sum(i.good))
	n.ends(metal.VerbActive, metal.Active, soon)
	n.deployed(m, i.good)
}

func TestBMCGoneMidway(t *testing.T) {
	beside(t)
	m, n := simulated(t)
	n.available(soon)
	i := serveImages(t, "127.0.0.1", wholeDisk(8*mib), 0)
	n.wants(i.url+"gated", sum(i.good))
	n.ask(metal.VerbActive)
	n.writes(0.1, soon)
	m.fault(bmc.Fault{Name: bmc.Gone})
	i.openGate()
	await(t, soon, "the failure", func() (bool, error) {
		w, err := n.Why(t.Context(), n.name)
		return err == nil && w.Undoing, err
	})
	m.fault() // it comes back in time to be tidied up behind
	n.failed(n.rests(metal.DeployFailed, soon), "cannot be reached")
	n.nothingLeft()
	n.wants(i.url+"good", sum(i.good))
	n.ends(metal.VerbActive, metal.Active, soon)
	n.deployed(m, i.good)
}

func TestMachineNeverCallsBack(t *testing.T) {
	beside(t)
	m, n := simulated(t, "conductor.clean_callback_timeout=4", "conductor.deploy_callback_timeout=4")
	n.ends(metal.VerbManage, metal.Manageable, soon)
	m.silence(true)
	n.failed(n.ends(metal.VerbProvide, metal.CleanFailed, soon), `step "wait for agent"`, "time is over", "the agent to call back")
	n.nothingLeft()
	if _, console := n.kept(); !contains(console, "kernel panic") {
		t.Errorf("the console that was kept: %q", console)
	}
	m.silence(false)
	n.ends(metal.VerbManage, metal.Manageable, soon)
	n.ends(metal.VerbProvide, metal.Available, soon)
	m.clean()
}

// saysWhatIsLeft sees that a failure which could not be tidied up says so.
func (n *node) saysWhatIsLeft() {
	n.t.Helper()
	now, err := n.States(n.t.Context(), n.name)
	if err != nil {
		n.t.Fatal(err)
	}
	if !contains(now.LastError, "could not be undone", "power on", "insert boot media") {
		n.t.Errorf("last_error does not say what is left behind: %s", now.LastError)
	}
}
