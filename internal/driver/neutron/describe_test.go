package neutron_test

import (
	"fmt"
	"net/netip"
	"testing"

	"ingot/internal/driver/neutron"
	"ingot/internal/driver/neutron/neutrontest"
	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/seed"
)

// testDescribe: what an instance is told of its networks is what Neutron knows of them.
func testDescribe(t *testing.T, cloud *neutrontest.Cloud, nets map[string]string) {
	r := newRig(t, cloud, nil)
	i := neutron.Neutron{Driver: r.d}
	if got, err := i.Describe(t.Context(), r.n, r.w); err != nil || len(got) != 0 {
		t.Errorf("without VIFs: %v, %v", got, err)
	}
	id := r.vif(nets["tenant"])
	got, err := i.Describe(t.Context(), r.n, r.w)
	if err != nil || len(got) != 1 || len(got[0].Subnets) != 1 {
		t.Fatalf("%+v, %v", got, err)
	}
	v := got[0]
	if v.ID != id || v.On != r.w.Ports[0].UUID || v.NetworkID != nets["tenant"] || v.MTU < 1280 || v.VLAN != 0 || v.Subnets[0].By != seed.ByDHCPv4 {
		t.Errorf("by DHCP: %+v", v)
	}
	still := cloud.Network("still", "physnet1")
	cloud.Subnet(still, map[string]any{"cidr": "10.9.0.0/24", "ip_version": 4, "enable_dhcp": false, "gateway_ip": "10.9.0.254", "dns_nameservers": []string{"10.9.0.53"},
		"host_routes": []map[string]any{{"destination": "10.10.0.0/16", "nexthop": "10.9.0.253"}}})
	r.w.Ports[1].InternalInfo = map[string]any{"tenant_vif_port_id": cloud.MakePort(still, map[string]any{"fixed_ips": []map[string]any{{"ip_address": "10.9.0.7"}}})}
	if got, err = i.Describe(t.Context(), r.n, r.w); err != nil || len(got) != 2 || len(got[1].Subnets) != 1 {
		t.Fatalf("%+v, %v", got, err)
	}
	s := got[1].Subnets[0]
	if s.By != "" || s.Address != netip.MustParsePrefix("10.9.0.7/24") || s.Gateway != netip.MustParseAddr("10.9.0.254") || fmt.Sprint(s.DNS) != "[10.9.0.53]" ||
		fmt.Sprint(s.Routes) != "[{10.10.0.0/16 10.9.0.253}]" {
		t.Errorf("static: %+v", s)
	}
	group := &metal.Portgroup{UUID: "bbbbbbbb-0000-0000-0000-000000000000", InternalInfo: r.w.Ports[0].InternalInfo}
	w := metal.Wiring{Ports: []*metal.Port{{UUID: "x", Address: macA, PortgroupUUID: group.UUID}}, Groups: []*metal.Portgroup{group}}
	if got, err = i.Describe(t.Context(), r.n, w); err != nil || len(got) != 1 || got[0].On != group.UUID {
		t.Errorf("on a group: %+v, %v", got, err)
	}
	w.Ports[0].InternalInfo = map[string]any{"tenant_vif_port_id": "99999999-0000-4000-8000-000000000000"}
	if _, err = i.Describe(t.Context(), r.n, w); fault.KindOf(err) != fault.Invalid {
		t.Errorf("a VIF that is gone: %v", err)
	}
}
