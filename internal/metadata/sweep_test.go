package metadata

import (
	"testing"

	"ingot/internal/store"
	"ingot/internal/store/storetest"
)

// What targets said of an instance is out of memory soon after it is undeployed, and after a new deployment; what is of those that are
// there stays.
func TestRequirement02EndedInstancesAreForgotten(t *testing.T) {
	s := newTarget(t)
	v := vendor(t, s, false, "")
	w := newWorld(t, storetest.SQLite(t)(), Defaults(), v, nil)
	stays, ends, again := w.node(), w.node(), w.node()
	w.deploy(stays, "stays", "p1", "127.0.0.11")
	w.deploy(ends, "ends", "p1", "127.0.0.12")
	w.deploy(again, "again", "p1", "127.0.0.13")
	for _, from := range []string{"127.0.0.11", "127.0.0.12", "127.0.0.13"} {
		w.get(from, vendor2, 200) // nothing is sealed: the targets are asked, and their answers are in memory
	}
	stored := w.service.o.Instances.(*Stored)
	stored.sweep(t.Context())
	if got := v.Sweep(); len(got) != 3 {
		t.Fatalf("in memory is something of %v, want all three", got)
	}
	w.write(func(tx *store.Tx) error { return tx.DropInstance(ends.ID) })
	w.deploy(again, "another", "p1", "127.0.0.13")
	stored.sweep(t.Context())
	if got := v.Sweep(); len(got) != 1 || got[0] != key(stays.UUID, "deploy of stays") {
		t.Errorf("in memory is something of %v", got)
	}
}
