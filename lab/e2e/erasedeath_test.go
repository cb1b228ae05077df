package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ingot/internal/client"
	"ingot/internal/metal"
)

// slowDisk is large enough to be seen while it is erased: everything is read back.
const slowDisk = 2 << 30

// TestKilledWhileErasing kills the server in the middle of an erase, and then the machine's agent. The server goes on with it; an erase
// whose agent is gone is not taken for done: there is no certificate, and the node is not available before another agent has
// erased the disk.
func TestKilledWhileErasing(t *testing.T) {
	beside(t)
	m, n := simulated(t)
	n.ends(metal.VerbManage, metal.Manageable, soon)

	m.grow()
	n.ask(metal.VerbProvide)
	n.erases()
	n.kill()
	n.start()
	n.rests(metal.Available, soon)
	m.empty()
	if got := n.whole(); got != 1 {
		t.Errorf("the server was killed: %d certificates, want one", got)
	}

	m.grow()
	n.ends(metal.VerbManage, metal.Manageable, soon)
	n.ask(metal.VerbProvide)
	n.erases()
	m.stop() // SIGKILL, as a machine that loses its power
	if err := n.SetProvision(t.Context(), n.name, client.Provision{Verb: metal.VerbAbort}); err != nil {
		t.Fatal(err)
	}
	n.rests(metal.CleanFailed, soon)
	if got := n.whole(); got != 1 {
		t.Errorf("the agent was killed: %d certificates, and only the first erase was done", got)
	}
	n.ends(metal.VerbManage, metal.Manageable, soon)
	if err := n.SetMaintenance(t.Context(), n.name, false, ""); err != nil {
		t.Fatal(err)
	}
	n.ends(metal.VerbProvide, metal.Available, soon)
	m.empty()
	if got := n.whole(); got != 2 {
		t.Errorf("erased again: %d certificates, want two", got)
	}
}

// grow makes the machine's disk a large one that a tenant has written to.
func (m *machine) grow() {
	m.t.Helper()
	path := filepath.Join(m.root, "dev/vda")
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		m.t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(slowDisk); err != nil {
		m.t.Fatal(err)
	}
	for at := int64(0); at < slowDisk; at += slowDisk / 7 {
		if _, err := f.WriteAt([]byte(oldData), at); err != nil {
			m.t.Fatal(err)
		}
	}
	if holds(m.t, path) != 0 {
		m.t.Fatal("nothing was written")
	}
}

// empty sees that nothing is on the disk.
func (m *machine) empty() {
	m.t.Helper()
	if at := holds(m.t, filepath.Join(m.root, "dev/vda")); at >= 0 {
		m.t.Errorf("the disk holds data at byte %d", at)
	}
}

// erases waits until the whole erase is under way.
func (n *node) erases() {
	n.t.Helper()
	await(n.t, soon, "the erase", func() (bool, error) {
		w, err := n.Why(n.t.Context(), n.name)
		if err == nil && w.Plan == "" {
			n.t.Fatal("the operation ended before the erase was seen")
		}
		return err == nil && strings.HasSuffix(w.Step, "deploy.erase_devices") && w.WaitingFor != "", err
	})
}

// whole is how many certificates of whole erases the node has.
func (n *node) whole() (count int) {
	n.t.Helper()
	records, err := n.Erasures(n.t.Context(), n.name)
	if err != nil {
		n.t.Fatal(err)
	}
	for _, r := range records {
		if r.Certificate != nil && !r.Certificate.Partial {
			count++
		}
	}
	return count
}
