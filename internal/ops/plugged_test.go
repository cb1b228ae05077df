package ops

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/policy"
	"ingot/internal/store"
)

// moving is a service whose nodes have network interfaces: of them flat has no network service behind it.
func moving(t *testing.T) (*Service, *store.DB) {
	t.Helper()
	s, db := service(t)
	err := db.Write(t.Context(), func(tx *store.Tx) error {
		return tx.SaveConductor("c1", "", []metal.HardwareType{{Name: "fake-hardware", Unbuilt: map[string][]string{"network": {"flat"}},
			Interfaces: map[string][]string{"power": {"fake"}, "deploy": {"fake"}, "network": {"vswitch", "noop", "flat"}}}})
	})
	if err != nil {
		t.Fatal(err)
	}
	return s, db
}

// TestPluggedMachines: in maintenance, too, no machine is taken out of the hands of the network interface that put it on a network.
func TestPluggedMachines(t *testing.T) {
	s, db := moving(t)
	tenant, cleaning := map[string]any{"tenant_vif_port_id": "v1"}, map[string]any{"cleaning_vif_port_id": "net"}
	for i, c := range []struct {
		what    string
		network string
		state   metal.State
		info    map[string]any
		group   bool   // a port group notes it
		refused string // "": nothing is
	}{
		{"active with a VIF", "vswitch", metal.Active, tenant, false, "is on the network of its VIF v1"},
		{"the VIF of a port group", "vswitch", metal.Active, tenant, true, "is on the network of its VIF v1"},
		{"left while it was cleaned", "vswitch", metal.CleanFailed, cleaning, false, "is on the cleaning network"},
		{"left, and manageable", "vswitch", metal.Manageable, cleaning, false, "is on the cleaning network"},
		{"a VIF that is only promised", "vswitch", metal.Available, tenant, false, ""},
		{"nothing noted", "vswitch", metal.Active, nil, false, ""},
		{"nothing moves it", "noop", metal.Active, tenant, false, ""},
		{"VIFs are only written down", "flat", metal.Active, tenant, false, ""},
	} {
		for j, how := range []string{"another interface", "another of the instance's", "deleted"} {
			t.Run(c.what+", "+how, func(t *testing.T) {
				ctx := t.Context()
				n, err := s.CreateNode(ctx, caller, &metal.Node{Driver: "fake-hardware", Interfaces: map[string]string{"network": c.network}})
				if err != nil {
					t.Fatal(err)
				}
				p := &metal.Port{NodeUUID: n.UUID, Address: fmt.Sprintf("52:54:00:00:%02x:%02x", j, i), InternalInfo: c.info}
				if c.group {
					p.InternalInfo = nil
					if _, err := s.CreatePortgroup(ctx, caller, &metal.Portgroup{NodeUUID: n.UUID, InternalInfo: c.info}); err != nil {
						t.Fatal(err)
					}
				}
				if p, err = s.CreatePort(ctx, caller, p); err != nil {
					t.Fatal(err)
				}
				force(t, db, n.UUID, c.state)
				if err := s.SetMaintenance(ctx, caller, n.UUID, true, ""); err != nil {
					t.Fatal(err)
				}
				update := func(change func(n *metal.Node)) error {
					_, err := s.UpdateNode(ctx, caller, n.UUID, []policy.Rule{"node:update"}, false, func(n *metal.Node) error { change(n); return nil })
					return err
				}
				if err := update(func(n *metal.Node) { n.Description = "in maintenance" }); err != nil {
					t.Errorf("a change of something else: %v", err)
				}
				other := map[string]string{"vswitch": "noop", "noop": "vswitch", "flat": "noop"}[c.network]
				try := func() error {
					switch how {
					case "deleted":
						return s.DeleteNode(ctx, caller, n.UUID)
					case "another interface":
						return update(func(n *metal.Node) {
							n.Interfaces = map[string]string{"power": "fake", "deploy": "fake", "network": other}
						})
					}
					return update(func(n *metal.Node) { n.InstanceInfo = n.InstanceInfo.With("network_interface", other) })
				}
				if c.refused == "" {
					if err := try(); err != nil {
						t.Error(err)
					}
					return
				}
				if err := try(); fault.KindOf(err) != fault.Conflict || !strings.Contains(err.Error(), c.refused) {
					t.Errorf("%v; want %q", err, c.refused)
				}
				if c.group {
					return
				}
				if err := s.DeletePort(ctx, caller, p.UUID); err != nil {
					t.Errorf("the way by force: %v", err)
				}
				if err := try(); err != nil {
					t.Errorf("afterwards: %v", err)
				}
			})
		}
	}
}

// TestBoundPortgroup: a port group is kept as a port is.
func TestBoundPortgroup(t *testing.T) {
	s, _ := moving(t)
	n := enrolled(t, s, "fake-hardware")
	var groups []*metal.Portgroup
	for says, info := range map[string]map[string]any{"VIF v1": {"tenant_vif_port_id": "v1"}, "left on the cleaning network": {"cleaning_vif_port_id": "net"}} {
		g, err := s.CreatePortgroup(t.Context(), caller, &metal.Portgroup{NodeUUID: n.UUID, InternalInfo: info})
		if err != nil {
			t.Fatal(err)
		}
		groups = append(groups, g)
		if err := s.DeletePortgroup(t.Context(), caller, g.UUID); fault.KindOf(err) != fault.Conflict || !strings.Contains(err.Error(), says) {
			t.Errorf("deleted: %v; want %q", err, says)
		}
	}
	if err := s.SetMaintenance(t.Context(), caller, n.UUID, true, ""); err != nil {
		t.Fatal(err)
	}
	for _, g := range groups {
		if err := s.DeletePortgroup(t.Context(), caller, g.UUID); err != nil {
			t.Errorf("in maintenance: %v", err)
		}
	}
}

// TestRebuildSaysWhetherAnInstanceRan: one whose deploy failed had none.
func TestRebuildSaysWhetherAnInstanceRan(t *testing.T) {
	for state, none := range map[metal.State]bool{metal.Active: false, metal.DeployFailed: true, metal.Error: true} {
		s, db := service(t)
		n := enrolled(t, s, "redfish")
		_, err := s.UpdateNode(t.Context(), caller, n.UUID, []policy.Rule{"node:update"}, false, func(n *metal.Node) error {
			n.InstanceInfo = n.InstanceInfo.With("image_source", "http://192.0.2.1/i.raw").With("image_os_hash_value", strings.Repeat("00", 32))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		force(t, db, n.UUID, state)
		if err := s.SetProvision(t.Context(), caller, n.UUID, Provision{Verb: metal.VerbRebuild}); err != nil {
			t.Fatal(err)
		}
		err = db.Read(t.Context(), func(tx *store.Tx) error {
			live, err := tx.LiveOperation(n.ID)
			var rec struct{ Ask metal.Ask }
			if err == nil {
				err = json.Unmarshal(live.Record, &rec)
			}
			if rec.Ask.NoInstance != none {
				t.Errorf("from %q: %+v", state, rec.Ask)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
