package e2e

import (
	"bytes"
	"maps"
	"os"
	"syscall"
	"testing"

	"ingot/internal/client"
	"ingot/internal/metal"
	"ingot/internal/secret"
	"ingot/lab/bmc"
)

// freeze stops a process where it is, as a host that is paused would; thaw lets it go on.
func (s *server) freeze() { s.signal(syscall.SIGSTOP) }

func (s *server) thaw() { s.signal(syscall.SIGCONT) }

func (s *server) signal(sig syscall.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.t.Fatal(err)
	}
}

// says waits until a server's log holds one of the words.
func (s *server) says(words ...string) {
	s.t.Helper()
	await(s.t, soon, "a line in the log", func() (bool, error) {
		text, err := os.ReadFile(s.log)
		for _, w := range words {
			if bytes.Contains(text, []byte(w)) {
				return true, nil
			}
		}
		return false, err
	})
}

// TestAnotherServerFinishesAnImage ends or stops a conductor in the middle of writing an image. Another one goes on;
// nothing is done twice, also when the stopped one wakes up.
func TestAnotherServerFinishesAnImage(t *testing.T) {
	beside(t)
	for name, stop := range map[string]func(*server){"frozen": (*server).freeze, "killed": (*server).kill} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, two, m, n := inCluster(t)
			n.available(soon)
			i := serveImages(t, "127.0.0.1", wholeDisk(16*mib), 0)
			before := m.asked()
			n.wants(i.url+"good", sum(i.good))
			n.ends(metal.VerbActive, metal.Active, soon)
			undisturbed := since(before, m.asked())
			n.ends(metal.VerbDeleted, metal.Available, soon)
			written := bytes.Count(m.Console(), []byte("image write starts"))

			n.wants(i.url+"gated", sum(i.good))
			before = m.asked()
			n.ask(metal.VerbActive)
			n.writes(0.1, soon)
			stop(two)
			c.conductor("three")
			i.openGate()
			n.rests(metal.Active, soon)
			n.deployed(m, i.good)
			if name == "frozen" {
				two.thaw()
				c.present("two")
			}
			if disturbed := since(before, m.asked()); !maps.Equal(disturbed, undisturbed) {
				t.Errorf("power and media actions: %v, undisturbed %v", disturbed, undisturbed)
			}
			if again := bytes.Count(m.Console(), []byte("image write starts")) - written; again != 1 {
				t.Errorf("the image was written %d times", again)
			}
		})
	}
}

// TestAFrozenPowerAction stops a conductor in the middle of a power action, for longer than its lease, while another
// takes over; then it wakes up. The machine is switched on once.
func TestAFrozenPowerAction(t *testing.T) {
	beside(t)
	c, two, m, n := inCluster(t)
	n.ends(metal.VerbManage, metal.Manageable, soon)
	before := m.asked()
	m.fault(bmc.Fault{Name: bmc.Slow, DelayMS: 3000})
	if err := n.SetPower(t.Context(), n.name, metal.PowerOn, 0); err != nil {
		t.Fatal(err)
	}
	n.until("switch on")
	two.freeze()
	c.conductor("three", "conductor.power_state_change_timeout=3")
	m.fault()
	await(t, soon, "the machine to be on", func() (bool, error) {
		s, err := n.States(t.Context(), n.name)
		return err == nil && s.PowerState == metal.PowerOn && s.TargetPowerState == "", err
	})
	two.thaw()
	two.says("lease lost", `to be resumed" op=`) // however the runner found out: another holder, or PostgreSQL ended the transaction that slept
	c.present("two")
	n.takenOver("switch on")
	if did := since(before, m.asked()); len(did) != 1 || did["Reset.On"] != 1 {
		t.Errorf("power actions: %v", did)
	}
}

// TestAConductorLosesItsDatabase cuts a conductor's way to the database in the middle of a power action, while
// another takes over. It stops by itself, and goes on when the way is back; the machine is switched on once.
func TestAConductorLosesItsDatabase(t *testing.T) {
	beside(t)
	c := newCluster(t)
	database, way := c.throughLine()
	two := c.conductorOn(database, "two")
	m := newMachine(t)
	n := c.one.enrol(t, m.reach, nil)
	n.ends(metal.VerbManage, metal.Manageable, soon)
	before := m.asked()
	m.fault(bmc.Fault{Name: bmc.Slow, DelayMS: 3000})
	if err := n.SetPower(t.Context(), n.name, metal.PowerOn, 0); err != nil {
		t.Fatal(err)
	}
	n.until("switch on")
	way.cut()
	c.conductor("three", "conductor.power_state_change_timeout=3")
	await(t, soon, "a take-over", func() (bool, error) {
		return bytes.Contains(c.one.get("/ingot/v1/nodes/"+n.name+"/events"), []byte("takeover")), nil
	})
	m.fault()
	await(t, soon, "the machine to be on", func() (bool, error) {
		s, err := n.States(t.Context(), n.name)
		return err == nil && s.PowerState == metal.PowerOn && s.TargetPowerState == "", err
	})
	two.says("lease lost", "walk interrupted", "cannot be saved")
	way.mend()
	c.present("two")
	n.takenOver("switch on")
	if did := since(before, m.asked()); len(did) != 1 || did["Reset.On"] != 1 {
		t.Errorf("power actions: %v", did)
	}
}

// until waits until the operation is at a step.
func (n *node) until(step string) {
	n.t.Helper()
	await(n.t, soon, "step "+step, func() (bool, error) {
		w, err := n.Why(n.t.Context(), n.name)
		return err == nil && w.Step == step, err
	})
}

// TestConductorGroups has two conductors of two groups: each works for its own nodes alone.
func TestConductorGroups(t *testing.T) {
	beside(t)
	c := newCluster(t)
	c.conductor("two")
	c.conductor("three", "conductor.conductor_group=far")
	for name, group := range map[string]string{"near": "", "away": "far"} {
		if _, err := c.one.CreateNode(t.Context(), client.NewNode{Name: name, Driver: "fake-hardware", DriverInfo: secret.NewMap(nil),
			Fields: map[string]any{"conductor_group": group}}); err != nil {
			t.Fatal(err)
		}
		n := &node{server: c.one, t: t, name: name}
		n.ends(metal.VerbManage, metal.Manageable, soon)
		worker := map[string]string{"near": "two", "away": "three"}[name]
		for _, e := range n.history() {
			if e.Kind == "transition" && e.Who != worker && e.Who != "operator" {
				t.Errorf("node %s of group %q: %s did %q", name, group, e.Who, e.Why)
			}
		}
		if !bytes.Contains(c.one.get("/ingot/v1/nodes/"+name+"/events"), []byte(`"`+worker+`"`)) {
			t.Errorf("node %s: nothing was done by %s", name, worker)
		}
	}
}
