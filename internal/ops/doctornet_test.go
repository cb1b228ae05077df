package ops

import (
	"strings"
	"testing"

	"ingot/internal/metal"
	"ingot/internal/secret"
	"ingot/internal/store"
)

func TestDoctorLooksAtNetworks(t *testing.T) {
	s, db := service(t)
	n := enrolled(t, s, "fake-hardware")
	change := func(f func(*metal.Node)) {
		t.Helper()
		err := db.Write(t.Context(), func(tx *store.Tx) error {
			own, err := tx.Node(n.UUID)
			if err != nil {
				return err
			}
			f(own)
			return tx.SaveNode(own)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	says := func(check string, level metal.Level, said string) {
		t.Helper()
		if f := examined(t, s)[check]; f.Level != level || !strings.Contains(f.Said, said) {
			t.Errorf("%s: %+v; want %s, %q", check, f, level, said)
		}
	}
	says("tenants", metal.Fine, "No machine")
	change(func(n *metal.Node) { n.Interfaces, n.Lessee = map[string]string{"network": "noop"}, "p1" })
	says("tenants", metal.Warn, "1 node is owned or leased and on a network interface that does not separate tenants (flat, noop): n-fake-hardware.")
	s.config.Networks = map[string]metal.NetworkNames{"vswitch": {metal.RescuingNetwork: "work", metal.CleaningNetwork: "work"}}
	change(func(n *metal.Node) { n.Interfaces["network"], n.Interfaces["rescue"] = "vswitch", "agent" })
	says("tenants", metal.Fine, "No machine")
	says("rescuing networks", metal.Warn, "1 node is rescued on the provisioning or cleaning network: n-fake-hardware.")
	change(func(n *metal.Node) { n.DriverInfo = secret.NewMap(map[string]any{"rescue_network": "apart"}) })
	says("rescuing networks", metal.Fine, "No rescuing network")
}
