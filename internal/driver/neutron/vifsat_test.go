package neutron_test

import (
	"net/netip"
	"testing"

	"ingot/internal/driver/neutron"
	"ingot/internal/driver/neutron/neutrontest"
)

// testVIFsAt: a fixed IP is that of the VIF that is bound to a node, on whatever network, and never of a port of ours.
func testVIFsAt(t *testing.T, cloud *neutrontest.Cloud, nets map[string]string) {
	r := newRig(t, cloud, nil)
	bound := cloud.MakePort(nets["tenant"], map[string]any{"binding:host_id": nodeUUID, "binding:vnic_type": "baremetal"})
	defer cloud.DeletePort(bound)
	free := cloud.MakePort(nets["tenant"], map[string]any{})
	defer cloud.DeletePort(free)
	at := func(port neutrontest.Port) []neutron.BoundVIF {
		t.Helper()
		if len(port.FixedIPs) == 0 {
			t.Fatalf("the port %+v has no address", port)
		}
		found, err := r.d.VIFsAt(t.Context(), netip.MustParseAddr(port.FixedIPs[0].Address))
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	if got := at(cloud.Port(bound)); len(got) != 1 || got[0] != (neutron.BoundVIF{VIF: bound, Node: nodeUUID}) {
		t.Errorf("the VIF of a node: %+v", got)
	}
	if got := at(cloud.Port(free)); len(got) != 0 {
		t.Errorf("one that is bound to nothing: %+v", got)
	}
	if found, err := r.d.VIFsAt(t.Context(), netip.MustParseAddr("192.0.2.77")); err != nil || len(found) != 0 {
		t.Errorf("an address that Neutron does not know: %+v, %v", found, err)
	}
	ours := cloud.MakePort(nets["cleaning"], map[string]any{"name": "ingot:cleaning:" + nodeUUID, "binding:host_id": nodeUUID, "binding:vnic_type": "baremetal"})
	defer cloud.DeletePort(ours)
	if got := at(cloud.Port(ours)); len(got) != 0 {
		t.Errorf("a port of ours: %+v", got)
	}
}
