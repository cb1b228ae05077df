package conductor

import (
	"testing"

	"ingot/internal/metal"
)

// TestTrapTearDownWipesTheRecord: what is known of it is forgotten when everything was taken back, and not before.
func TestTrapTearDownWipesTheRecord(t *testing.T) {
	for step, arrives := range map[string]metal.State{"power off": metal.Error, "eject media": metal.Error, "": metal.Available} {
		w := named(t, "undeploy").start(newWorld(t))
		w.node, _ = w.state()
		w.node.InstanceUUID = "33333333-3333-4333-8333-333333333333"
		w.save()
		c := w.conductor("c1", nil)
		if step != "" {
			c.tamper = breaking(step)
		}
		w.run(c)
		n, _ := w.state()
		kept := n.InstanceUUID != "" && n.InstanceInfo.Expose()["image_source"] != nil
		if n.ProvisionState != arrives || kept != (step != "") {
			t.Errorf("%q breaks: %s, the instance is known: %v", step, n.ProvisionState, kept)
		}
	}
}
