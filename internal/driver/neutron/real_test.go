package neutron_test

import (
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"testing"

	"ingot/internal/driver/neutron"
	"ingot/internal/driver/neutron/neutrontest"
	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/secret"
)

// rig is a driver that speaks to a real Neutron, and a node with two NICs.
type rig struct {
	*testing.T
	cloud *neutrontest.Cloud
	d     *neutron.Driver
	n     *metal.Node
	w     metal.Wiring
	conf  neutron.Config
}

const (
	nodeUUID = "11111111-2222-3333-4444-555555555555"
	macA     = "52:54:00:00:00:0a"
	macB     = "52:54:00:00:00:0b"
)

func newRig(t *testing.T, cloud *neutrontest.Cloud, change func(*neutron.Config)) *rig {
	t.Helper()
	c := neutron.Defaults()
	c.AuthURL, c.Username, c.Password, c.RegionName = cloud.AuthURL, cloud.User, secret.New(neutrontest.Password), "here"
	c.ProvisioningNetwork, c.CleaningNetwork, c.RescuingNetwork = "provisioning", "cleaning", "rescuing"
	c.InspectionNetwork, c.ServicingNetwork = "inspection", "servicing"
	if change != nil {
		change(&c)
	}
	d, err := neutron.New(neutron.Options{Config: c, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	r := &rig{T: t, cloud: cloud, d: d, conf: c, n: &metal.Node{UUID: nodeUUID, Interfaces: map[string]string{"network": "neutron", "boot": "ipxe"}}}
	for i, mac := range []string{macA, macB} {
		r.w.Ports = append(r.w.Ports, &metal.Port{UUID: fmt.Sprintf("aaaaaaaa-0000-0000-0000-00000000000%d", i), Address: mac, PXEEnabled: true,
			LocalLinkConnection: map[string]any{"switch_id": "00:00:00:00:00:01", "port_id": fmt.Sprintf("eth%d", i), "switch_info": "leaf"}, PhysicalNetwork: "physnet1"})
	}
	return r
}

// plug does it until nothing is awaited, and keeps the notes.
func (r *rig) plug(i network, role metal.NetworkRole) error {
	r.Helper()
	notes, waiting, err := i.Plug(r.Context(), r.n, r.w, role)
	r.w.Note(notes)
	if waiting != "" {
		r.Fatalf("it waits: %s", waiting)
	}
	return err
}

func (r *rig) unplug(i network, role metal.NetworkRole) {
	r.Helper()
	notes, err := i.Unplug(r.Context(), r.n, r.w, role)
	if err != nil {
		r.Fatal(err)
	}
	r.w.Note(notes)
}

// on lists the MACs with ports on a network.
func (r *rig) on(network string) (ports []neutrontest.Port) {
	r.Helper()
	return r.cloud.Ports(url.Values{"network_id": {network}})
}

// TestOnARealNeutron is what the two network interfaces do to ports, seen by an administrator of Neutron.
func TestOnARealNeutron(t *testing.T) {
	cloud := neutrontest.Start(t)
	nets := map[string]string{}
	for i, name := range []string{"provisioning", "cleaning", "rescuing", "inspection", "servicing"} {
		nets[name] = cloud.Network(name, "physnet1", fmt.Sprintf("10.0.%d.0/24", i))
	}
	nets["tenant"] = cloud.Network("tenant", "physnet1", "10.1.0.0/24")
	for name, test := range map[string]func(*testing.T, *neutrontest.Cloud, map[string]string){
		"operator's networks": testOperators, "tenant": testTenant, "flat": testFlat, "waiting": testWaiting,
		"death": testDeath, "revoked": testRevoked, "another node's VIF": testTakenVIF,
		"who has a fixed IP": testVIFsAt, "what an instance is told": testDescribe,
	} {
		t.Run(name, func(t *testing.T) { test(t, cloud, nets) })
	}
}

func testOperators(t *testing.T, cloud *neutrontest.Cloud, nets map[string]string) {
	group := cloud.SecurityGroup("machines")
	r := newRig(t, cloud, func(c *neutron.Config) { c.CleaningNetworkSecurityGroups = []string{group} })
	i := neutron.Neutron{Driver: r.d}
	r.w.Ports[1].PXEEnabled = false
	r.w.Ports[0].Extra = map[string]any{"client-id": "ff:00:01"}
	for round := range 2 { // doing it twice is doing it once
		if err := r.plug(i, metal.CleaningNetwork); err != nil {
			t.Fatal(err)
		}
		got := r.on(nets["cleaning"])
		if len(got) != 1 {
			t.Fatalf("round %d: ports %+v", round, got)
		}
		p := got[0]
		label := "ingot:cleaning:" + nodeUUID
		if p.MAC != macA || p.Name != label || len(p.Tags) != 1 || p.Tags[0] != label || p.HostID != nodeUUID || p.DeviceID != nodeUUID || p.Owner != "baremetal:none" ||
			p.VNIC != "baremetal" || p.Status != "ACTIVE" || len(p.FixedIPs) != 1 || len(p.Groups) != 1 || p.Groups[0] != group {
			t.Errorf("port %+v", p)
		}
		if s := fmt.Sprint(p.Profile); s != "map[local_link_information:[map[port_id:eth0 switch_id:00:00:00:00:00:01 switch_info:leaf]] physical_network:physnet1]" {
			t.Errorf("profile %s", s)
		}
		if len(p.DHCP) != 1 || p.DHCP[0].Name != "61" || p.DHCP[0].Value != "ff:00:01" {
			t.Errorf("DHCP options %+v", p.DHCP)
		}
		if r.w.Ports[0].InternalInfo["cleaning_vif_port_id"] != p.ID {
			t.Errorf("noted %v", r.w.Ports[0].InternalInfo)
		}
		at, err := i.Addresses(t.Context(), r.n, strings.ToUpper(macA), metal.CleaningNetwork)
		if err != nil || len(at) != 1 || at[0].String() != p.FixedIPs[0].Address {
			t.Errorf("addresses %v, %v", at, err)
		}
	}
	r.unplug(i, metal.CleaningNetwork)
	if got := r.on(nets["cleaning"]); len(got) != 0 {
		t.Errorf("left: %+v", got)
	}
	if r.w.On(metal.CleaningNetwork) {
		t.Error("still noted")
	}
	r.unplug(i, metal.CleaningNetwork)
}

func testTakenVIF(t *testing.T, cloud *neutrontest.Cloud, nets map[string]string) {
	const other = "99999999-2222-3333-4444-555555555555"
	vif := cloud.MakePort(nets["tenant"], map[string]any{"binding:host_id": other, "binding:vnic_type": "baremetal"})
	defer cloud.DeletePort(vif)
	r := newRig(t, cloud, nil)
	r.w.Ports[0].InternalInfo = map[string]any{"tenant_vif_port_id": vif}
	for _, live := range []bool{false, true} {
		if err := (neutron.Neutron{Driver: r.d}).AttachVIF(t.Context(), r.n, r.w, vif, live); fault.KindOf(err) != fault.Conflict {
			t.Errorf("live %v: %v", live, err)
		}
	}
	if p := cloud.Port(vif); p.HostID != other {
		t.Errorf("the VIF is at %q", p.HostID)
	}
}
