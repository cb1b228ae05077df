package conductor

import (
	"fmt"
	"net/netip"
	"testing"

	"ingot/internal/metal"
	"ingot/internal/store"
)

// TestWhoSaysAnAddress: what the network_data of a node without an owner have, too, is the operator's word; the rest is the user's.
func TestWhoSaysAnAddress(t *testing.T) {
	n := &metal.Node{NetworkData: map[string]any{"networks": []any{map[string]any{"ip_address": "192.0.2.1"}, map[string]any{"ip_address": "2001:db8::1/64"}}}}
	var all []store.InstanceAddress
	for _, a := range []string{"192.0.2.1", "192.0.2.2", "2001:db8::1"} {
		all = append(all, store.InstanceAddress{Address: netip.MustParseAddr(a)})
	}
	planned, claimed := byClaim(all, n)
	if got := fmt.Sprint(planned, claimed); got != "[{192.0.2.1  } {2001:db8::1  }] [{192.0.2.2  }]" {
		t.Error(got)
	}
	for what, other := range map[string]*metal.Node{"without network_data": {}, "of a project": {Owner: "p", NetworkData: n.NetworkData}} {
		if planned, claimed := byClaim(all, other); len(planned) != 0 || len(claimed) != 3 {
			t.Errorf("a node %s vouches for %v", what, planned)
		}
	}
}
