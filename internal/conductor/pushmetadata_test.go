package conductor

import (
	"strings"
	"testing"

	"ingot/internal/metal"
	"ingot/internal/secret"
	"ingot/internal/store"
)

func (w *world) tells(t *testing.T, what string) bool {
	t.Helper()
	told := false
	w.write(func(tx *store.Tx) error {
		all, err := tx.Events(w.node, store.Page{Limit: 1000})
		for _, e := range all {
			told = told || strings.Contains(e.Why, what)
		}
		return err
	})
	return told
}

// TestMetadataIsPushed: boot hosts have what an instance reads when it starts, and no more when it has ended or when its deployment
// failed.
func TestMetadataIsPushed(t *testing.T) {
	w := named(t, "deploy").begin(t)
	b := w.pushing()
	b.seeds = map[string]int{}
	w.run(w.conductor("c1", nil))
	named(t, "deploy").arrived(t, w, "deployed")
	if b.seeds[w.node.UUID] != 1 {
		t.Errorf("pushed: %v", b.seeds)
	}
	w.node, _ = w.state()
	w.ask(metal.PlanTearDown, metal.EventDelete, "{}")
	w.run(w.conductor("c1", nil))
	if len(b.seeds) != 0 {
		t.Errorf("after the tear down: %v", b.seeds)
	}
	w.close()

	w = named(t, "deploy").begin(t)
	b = w.pushing()
	b.seeds = map[string]int{}
	b.stuck = true
	w.run(w.conductor("c1", nil))
	if n, _ := w.state(); n.ProvisionState != metal.DeployFailed || len(b.seeds) != 0 {
		t.Errorf("the instance did not start: %s, %s, left %v", n.ProvisionState, n.LastError, b.seeds)
	}
}

// TestMetadataThatNoBootHostTakes: an instance with a config drive starts all the same, one without has nothing to read.
func TestMetadataThatNoBootHostTakes(t *testing.T) {
	for _, drive := range []bool{true, false} {
		w := newWorld(t)
		if !drive {
			w.node.InstanceInfo = secret.NewMap(map[string]any{"image_source": "http://127.0.0.1:1/i.raw", "image_os_hash_value": testHash})
		}
		named(t, "deploy").start(w)
		b := w.pushing()
		b.seeds, b.full = map[string]int{}, true
		w.run(w.conductor("c1", nil))
		n, _ := w.state()
		if want := map[bool]metal.State{true: metal.Active, false: metal.DeployFailed}[drive]; n.ProvisionState != want {
			t.Errorf("drive %v: it is %s: %s", drive, n.ProvisionState, n.LastError)
		}
		if drive && !w.tells(t, "No boot host serves the instance its metadata: the boot host is full") {
			t.Error("nobody is told")
		}
		if !drive && !strings.Contains(n.LastError, `"push metadata": the boot host is full`) {
			t.Errorf("last_error %q", n.LastError)
		}
		w.close()
	}
}
