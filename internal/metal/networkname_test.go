package metal_test

import (
	"strings"
	"testing"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/secret"
)

func TestNetworkNames(t *testing.T) {
	names := metal.NetworkNames{metal.ProvisioningNetwork: "prov", metal.CleaningNetwork: "clean", metal.RescuingNetwork: "rescue", metal.TenantNetwork: ""}
	for _, c := range []struct {
		info   map[string]any
		role   metal.NetworkRole
		want   string
		shares metal.NetworkRole
	}{
		{nil, metal.ProvisioningNetwork, "prov", ""},
		{map[string]any{"provisioning_network": "own"}, metal.ProvisioningNetwork, "own", ""},
		{map[string]any{"provisioning_network": 7}, metal.ProvisioningNetwork, "prov", ""},
		{map[string]any{"rescue_network": "prov"}, metal.RescuingNetwork, "prov", metal.ProvisioningNetwork},
		{map[string]any{"rescue_network": "prov", "rescuing_network": "clean"}, metal.RescuingNetwork, "clean", metal.CleaningNetwork},
		{map[string]any{"tenant_network": "x"}, metal.TenantNetwork, "", ""},
		{nil, metal.ServicingNetwork, "", ""},
	} {
		n := &metal.Node{UUID: "n", DriverInfo: secret.NewMap(c.info)}
		if got := names.Of(n, c.role); got != c.want || names.RescueShares(n) != c.shares {
			t.Errorf("%v %s: %q, shares %q; want %q, %q", c.info, c.role, got, names.RescueShares(n), c.want, c.shares)
		}
	}
	_, err := names.Need(&metal.Node{UUID: "n"}, metal.ServicingNetwork, "vswitch")
	if text, _ := fault.PublicOf(err); fault.KindOf(err) != fault.Invalid || !strings.Contains(text, "[vswitch] servicing_network") {
		t.Errorf("no network: %v", err)
	}
}
