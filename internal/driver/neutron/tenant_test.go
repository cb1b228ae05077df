package neutron_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"ingot/internal/driver/neutron"
	"ingot/internal/driver/neutron/neutrontest"
	"ingot/internal/fault"
	"ingot/internal/metal"
)

// vif makes a port of the node's user and notes it at the first NIC.
func (r *rig) vif(network string) string {
	r.Helper()
	id := r.cloud.MakePort(network, map[string]any{"name": "users"})
	r.Cleanup(func() {
		if len(r.cloud.Ports(map[string][]string{"id": {id}})) > 0 {
			r.cloud.DeletePort(id)
		}
	})
	r.w.Ports[0].InternalInfo = map[string]any{"tenant_vif_port_id": id}
	return id
}

// long skips what takes minutes on a busy host.
func long(t *testing.T) {
	t.Helper()
	if os.Getenv("INGOT_LAB") != "1" {
		t.Skip("skipped: set INGOT_LAB=1 for what takes minutes on a busy host")
	}
}

func testTenant(t *testing.T, cloud *neutrontest.Cloud, nets map[string]string) {
	long(t)
	r := newRig(t, cloud, nil)
	i := neutron.Neutron{Driver: r.d}
	if err := r.plug(i, metal.TenantNetwork); err == nil || !strings.Contains(err.Error(), "has no VIFs") {
		t.Errorf("a node without VIFs: %v", err)
	}
	id := r.vif(nets["tenant"])
	before := cloud.Port(id)
	if err := i.AttachVIF(t.Context(), r.n, r.w, id, false); err != nil {
		t.Fatal(err)
	}
	if p := cloud.Port(id); p.MAC != macA || p.HostID != nodeUUID {
		t.Errorf("attached: %+v", p)
	}
	if got, err := i.PhysicalNetworks(t.Context(), r.n, id); err != nil || fmt.Sprint(got) != "[physnet1]" {
		t.Errorf("physical networks %v, %v", got, err)
	}
	for range 2 {
		if err := r.plug(i, metal.TenantNetwork); err != nil {
			t.Fatal(err)
		}
		p := cloud.Port(id)
		if p.MAC != macA || p.HostID != nodeUUID || p.VNIC != "baremetal" || p.Status != "ACTIVE" || !strings.Contains(fmt.Sprint(p.Profile), "port_id:eth0") {
			t.Errorf("plugged: %+v", p)
		}
	}
	at, err := i.Addresses(t.Context(), r.n, macA, metal.TenantNetwork)
	if err != nil || len(at) != 1 || at[0].String() != before.FixedIPs[0].Address {
		t.Errorf("addresses %v, %v", at, err)
	}
	for range 2 {
		r.unplug(i, metal.TenantNetwork)
		if p := cloud.Port(id); p.HostID != "" || p.MAC == macA || len(p.Profile) != 0 {
			t.Errorf("unplugged: %+v", p)
		}
	}
	if err := i.AttachVIF(t.Context(), r.n, r.w, id, true); err != nil {
		t.Fatal(err)
	}
	r.w.Ports[0].InternalInfo = nil // an attachment that was cut off: nothing is noted
	r.unplug(i, metal.TenantNetwork)
	if p := cloud.Port(id); p.HostID != "" || p.MAC == macA {
		t.Errorf("what nobody noted stays bound: %+v", p)
	}
	cloud.DeletePort(id)
	r.w.Ports[0].InternalInfo = map[string]any{"tenant_vif_port_id": id}
	r.unplug(i, metal.TenantNetwork)
	if err := i.DetachVIF(t.Context(), r.n, r.w, id); err != nil {
		t.Errorf("detach what is gone: %v", err)
	}
	if err := i.AttachVIF(t.Context(), r.n, r.w, id, false); fault.KindOf(err) != fault.Invalid {
		t.Errorf("attach what is gone: %v", err)
	}
	if err := r.plug(i, metal.TenantNetwork); err == nil || !strings.Contains(err.Error(), "has no port "+id) {
		t.Errorf("plug what is gone: %v", err)
	}
}

func testFlat(t *testing.T, cloud *neutrontest.Cloud, nets map[string]string) {
	long(t)
	r := newRig(t, cloud, nil)
	i := neutron.Flat{Driver: r.d}
	r.n.Interfaces["network"] = "flat"
	if err := r.plug(i, metal.ProvisioningNetwork); err == nil || !strings.Contains(err.Error(), "has no VIFs") {
		t.Errorf("provisioning without VIFs: %v", err)
	}
	id := r.vif(nets["tenant"])
	for _, role := range []metal.NetworkRole{metal.ProvisioningNetwork, metal.RescuingNetwork, metal.ServicingNetwork, metal.TenantNetwork} {
		if err := r.plug(i, role); err != nil {
			t.Fatal(role, err)
		}
		if p := cloud.Port(id); p.HostID != nodeUUID || p.MAC != macA || p.VNIC != "baremetal" || len(p.Profile) != 0 {
			t.Errorf("%s: %+v", role, p)
		}
		r.unplug(i, role)
		if p := cloud.Port(id); p.HostID != "" || p.MAC == macA {
			t.Errorf("%s: still bound: %+v", role, p)
		}
	}
	for _, role := range []metal.NetworkRole{metal.CleaningNetwork, metal.InspectionNetwork} {
		if err := r.plug(i, role); err != nil {
			t.Fatal(role, err)
		}
		if got := r.on(nets[string(role)]); len(got) != 2 {
			t.Errorf("%s: %+v", role, got)
		}
		r.unplug(i, role)
		if got := r.on(nets[string(role)]); len(got) != 0 {
			t.Errorf("%s: left %+v", role, got)
		}
	}
}

// testWaiting: a port becomes ACTIVE later, never, or only some do.
func testWaiting(t *testing.T, cloud *neutrontest.Cloud, nets map[string]string) {
	long(t)
	r := newRig(t, cloud, nil)
	i := neutron.Neutron{Driver: r.d}
	r.w.Ports[0].LocalLinkConnection["port_id"] = "slow"
	notes, waiting, err := i.Plug(t.Context(), r.n, r.w, metal.ServicingNetwork)
	if err != nil || !strings.Contains(waiting, "has not bound port") || len(notes) != 2 {
		t.Fatalf("%v, %q, %v", notes, waiting, err)
	}
	r.w.Note(notes)
	slow := r.w.Ports[0].InternalInfo["servicing_vif_port_id"].(string)
	cloud.ChangePort(slow, map[string]any{"description": "up"})
	if err := r.plug(i, metal.ServicingNetwork); err != nil {
		t.Fatal(err)
	}
	if p := cloud.Port(slow); p.Status != "ACTIVE" {
		t.Errorf("it was made anew: %+v", p)
	}
	r.w.Ports[0].LocalLinkConnection["port_id"] = "deaf" // one of two: a warning
	if err := r.plug(i, metal.ServicingNetwork); err != nil {
		t.Errorf("one of two: %v", err)
	}
	r.w.Ports[1].LocalLinkConnection["port_id"] = "deaf"
	if err := r.plug(i, metal.ServicingNetwork); err == nil || !strings.Contains(err.Error(), "binding_failed") {
		t.Errorf("all: %v", err)
	}
	r.unplug(i, metal.ServicingNetwork)
	later := newRig(t, cloud, func(c *neutron.Config) { c.FailOnPortBindingFailure, c.PortSetupDelay = false, 3600e9 })
	later.w.Ports[0].LocalLinkConnection["port_id"] = "deaf"
	_, waiting, err = neutron.Neutron{Driver: later.d}.Plug(t.Context(), later.n, later.w, metal.ServicingNetwork)
	if err != nil || !strings.Contains(waiting, "have their time") {
		t.Errorf("port_setup_delay: %q, %v", waiting, err)
	}
	later.unplug(neutron.Neutron{Driver: later.d}, metal.ServicingNetwork)
}

// testRevoked: a token that Keystone does not take any more is renewed.
func testRevoked(t *testing.T, cloud *neutrontest.Cloud, _ map[string]string) {
	r := newRig(t, cloud, nil)
	i := neutron.Neutron{Driver: r.d}
	for range 2 {
		if _, err := i.CheckNetwork(t.Context(), r.n, r.w, metal.CleaningNetwork); err != nil {
			t.Fatal(err)
		}
		cloud.RevokeAll()
	}
	r.n.DriverInfo = driverInfo(t, map[string]any{"cleaning_network": "nowhere"})
	if _, err := i.CheckNetwork(t.Context(), r.n, r.w, metal.CleaningNetwork); err == nil || !strings.Contains(err.Error(), "Neutron has no network with the name or UUID nowhere") {
		t.Errorf("an unknown network: %v", err)
	}
}
