package neutron

import (
	"testing"

	"ingot/internal/metal"
)

// A VIF of another node is not taken from it by attaching it here.
func TestVIFOfAnotherNode(t *testing.T) {
	n := &metal.Node{UUID: "11111111-2222-3333-4444-555555555555"}
	for _, tt := range []struct {
		host, vnic string
		want       bool
	}{
		{"", vnicBaremetal, false},
		{n.UUID, vnicBaremetal, false},
		{"99999999-2222-3333-4444-555555555555", vnicBaremetal, true},
		{"99999999-2222-3333-4444-555555555555", "normal", false},
		{"nova-compute-1", vnicBaremetal, false},
	} {
		if got := (&port{HostID: tt.host, VNIC: tt.vnic}).ofAnother(n); got != tt.want {
			t.Errorf("a VIF at %q (%s) is another node's: %v", tt.host, tt.vnic, got)
		}
	}
}
