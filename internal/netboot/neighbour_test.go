package netboot

import (
	"net/netip"
	"testing"
)

func TestTheKernelIsAskedForNeighbours(t *testing.T) {
	for _, a := range []string{"127.0.0.1", "::1", "192.0.2.77"} {
		if mac := Neighbor(netip.MustParseAddr(a)); mac != "" {
			t.Errorf("%s is said to be at %s", a, mac)
		}
	}
}
