package ops

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/policy"
	"ingot/internal/secret"
	"ingot/internal/store"
)

// of is a caller with roles in a project.
func of(project string, roles ...string) Caller {
	return Caller{Who: project, Rights: policy.BuiltIn().For(policy.Caller{ProjectID: project, Roles: roles}), Minor: 115}
}

var admin = []string{"admin", "manager", "member", "reader"}

const fine fault.Kind = -1

func TestTrapListingAcrossProjects(t *testing.T) {
	s, _ := service(t)
	ctx := t.Context()
	mine, err := s.CreateNode(ctx, caller, &metal.Node{Driver: "fake-hardware", Owner: "p1", Lessee: "p2"})
	if err != nil {
		t.Fatal(err)
	}
	other, err := s.CreateNode(ctx, caller, &metal.Node{Driver: "fake-hardware", Owner: "p3"})
	if err != nil {
		t.Fatal(err)
	}
	for i, n := range []*metal.Node{mine, other} {
		last := string(rune('1' + i))
		_, e1 := s.CreatePort(ctx, caller, &metal.Port{UUID: "0000000" + last + "-0000-4000-8000-000000000001", NodeUUID: n.UUID, Address: "52:54:00:00:00:0" + last})
		_, e2 := s.CreatePortgroup(ctx, caller, &metal.Portgroup{UUID: "0000000" + last + "-0000-4000-8000-000000000002", NodeUUID: n.UUID})
		_, e3 := s.CreateConnector(ctx, caller, &metal.VolumeConnector{UUID: "0000000" + last + "-0000-4000-8000-000000000003", NodeUUID: n.UUID, ConnectorID: last})
		_, e4 := s.CreateTarget(ctx, caller, &metal.VolumeTarget{UUID: "0000000" + last + "-0000-4000-8000-000000000004", NodeUUID: n.UUID,
			Properties: secret.NewMap(map[string]any{"iqn": "i"})})
		for _, err := range []error{e1, e2, e3, e4} {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	id := func(node, kind string) string { return "0000000" + node + "-0000-4000-8000-00000000000" + kind }
	reader, owner := of("p1", "reader"), of("p1", admin...)
	for _, c := range []struct {
		what string
		do   func() error
		want fault.Kind
		says string
	}{
		{"a port", func() error { _, err := s.Port(ctx, reader, id("1", "1")); return err }, fine, ""},
		{"another's port", func() error { _, err := s.Port(ctx, reader, id("2", "1")); return err }, fault.NotFound, "Port"},
		{"another's port group", func() error { return s.DeletePortgroup(ctx, owner, id("2", "2")) }, fault.NotFound, "Portgroup"},
		{"another's connector", func() error { return s.DeleteConnector(ctx, owner, id("2", "3")) }, fault.NotFound, "Volume connector"},
		{"another's target", func() error { _, err := s.Target(ctx, owner, id("2", "4")); return err }, fault.NotFound, "Volume target"},
		{"a reader deletes", func() error { return s.DeletePort(ctx, reader, id("1", "1")) }, fault.Forbidden, "baremetal:port:delete"},
		{"a lessee deletes", func() error { return s.DeletePortgroup(ctx, of("p2", admin...), id("1", "2")) }, fault.Forbidden, "portgroup:delete"},
		{"on another's node", func() error {
			_, err := s.CreatePortgroup(ctx, owner, &metal.Portgroup{NodeUUID: other.UUID})
			return err
		}, fault.Forbidden, "portgroup:create"},
		{"on no node", func() error {
			_, err := s.CreatePort(ctx, owner, &metal.Port{NodeUUID: id("9", "9"), Address: "52:54:00:00:00:09"})
			return err
		}, fault.Forbidden, "port:create"},
		{"on no node, by the system", func() error {
			_, err := s.CreateConnector(ctx, caller, &metal.VolumeConnector{NodeUUID: id("9", "9")})
			return err
		}, fault.Invalid, "could not be found"},
		{"moved to another's node", func() error {
			_, err := s.UpdatePort(ctx, owner, id("1", "1"), func(p *metal.Port) error { p.NodeUUID = other.UUID; return nil })
			return err
		}, fault.Invalid, "Requested value was invalid"},
		{"ports of another's node", func() error { _, err := s.Ports(ctx, owner, PortQuery{Node: other.UUID}); return err }, fault.NotFound, "Node"},
		{"children of another's node", func() error { _, _, err := s.Children(ctx, owner, other.UUID); return err }, fault.NotFound, "Node"},
	} {
		err := c.do()
		if c.want == fine && err != nil || c.want != fine && (fault.KindOf(err) != c.want || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s: %v, want kind %d that says %q", c.what, err, c.want, c.says)
		}
	}
	ports, e1 := s.Ports(ctx, reader, PortQuery{})
	groups, e2 := s.Portgroups(ctx, of("p2", "reader"), PortgroupQuery{})
	connectors, e3 := s.Connectors(ctx, reader, VolumeQuery{})
	targets, e4 := s.Targets(ctx, reader, VolumeQuery{})
	if len(ports) != 1 || len(groups) != 1 || len(connectors) != 1 || len(targets) != 1 || e1 != nil || e2 != nil || e3 != nil || e4 != nil {
		t.Fatalf("lists: %d %d %d %d, %v %v %v %v", len(ports), len(groups), len(connectors), len(targets), e1, e2, e3, e4)
	}
	if targets[0].Properties.Public("redacted_contents") == "" || targets[0].Properties.Public("iqn") != "" {
		t.Error("a reader sees properties of volume targets")
	}
	if v, err := s.Target(ctx, owner, id("1", "4")); err != nil || v.Properties.Public("iqn") != "i" {
		t.Errorf("the owner's administrator sees no properties: %v", err)
	}
	if _, err := s.Ports(ctx, of(""), PortQuery{}); fault.KindOf(err) != fault.Forbidden {
		t.Errorf("a list for nobody: %v", err)
	}
}

func TestEnrolmentAsConfigured(t *testing.T) {
	_, db := service(t)
	c := Defaults()
	c.ResourceClass, c.RefusedBootModes, c.KeepAvailable, c.PortgroupMode = "small", []string{"bios"}, true, "802.3ad"
	s := New(db, c, slog.New(slog.DiscardHandler))
	n, err := s.CreateNode(t.Context(), caller, &metal.Node{Driver: "fake-hardware", Properties: map[string]any{"capabilities": "a:b, boot_mode:uefi"}})
	if err != nil || n.ResourceClass != "small" {
		t.Fatalf("%+v, %v", n, err)
	}
	_, err = s.CreateNode(t.Context(), caller, &metal.Node{Driver: "fake-hardware", Properties: map[string]any{"capabilities": "boot_mode:bios"}})
	if fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), "bios") {
		t.Errorf("a refused boot mode: %v", err)
	}
	if g, err := s.CreatePortgroup(t.Context(), caller, &metal.Portgroup{NodeUUID: n.UUID}); err != nil || g.Mode != "802.3ad" {
		t.Errorf("%+v, %v", g, err)
	}
	force(t, db, n.UUID, metal.Available)
	if err := s.DeleteNode(t.Context(), caller, n.UUID); fault.KindOf(err) != fault.Conflict {
		t.Errorf("an available node: %v", err)
	}
	force(t, db, n.UUID, metal.Manageable)
	if err := s.DeleteNode(t.Context(), caller, n.UUID); err != nil {
		t.Error(err)
	}
	c.ConductorGroup = "Far"
	if _, err = New(db, c, slog.New(slog.DiscardHandler)).CreateNode(t.Context(), caller, &metal.Node{Driver: "fake-hardware"}); !strings.Contains(err.Error(), `group "far"`) {
		t.Errorf("the default conductor group: %v", err)
	}
}

// TestBoundAndLocked: what a conductor or the network service holds is not changed.
func TestBoundAndLocked(t *testing.T) {
	s, db := service(t)
	ctx := t.Context()
	n := enrolled(t, s, "fake-hardware")
	p, err := s.CreatePort(ctx, caller, &metal.Port{NodeUUID: n.UUID, Address: "52:54:00:00:00:01", InternalInfo: map[string]any{"tenant_vif_port_id": "v1"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.DeletePort(ctx, caller, p.UUID); fault.KindOf(err) != fault.Conflict || !strings.Contains(err.Error(), "VIF v1") {
		t.Errorf("a bound port: %v", err)
	}
	left, err := s.CreatePort(ctx, caller, &metal.Port{NodeUUID: n.UUID, Address: "52:54:00:00:00:0c", InternalInfo: map[string]any{"cleaning_vif_port_id": "net"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.DeletePort(ctx, caller, left.UUID); fault.KindOf(err) != fault.Conflict || !strings.Contains(err.Error(), "left on the cleaning network") {
		t.Errorf("a port that was left on an operator's network: %v", err)
	}
	hold(t, db, n)
	keep := func(*metal.Port) error { return nil }
	if _, err := s.UpdatePort(ctx, caller, p.UUID, keep); fault.KindOf(err) != fault.Locked {
		t.Errorf("a change on a held node: %v", err)
	}
	if err := s.DeletePort(ctx, caller, p.UUID); fault.KindOf(err) != fault.Locked {
		t.Errorf("a deletion on a held node: %v", err)
	}
	if _, err := s.CreatePort(ctx, caller, &metal.Port{NodeUUID: n.UUID, Address: "52:54:00:00:00:02"}); err != nil {
		t.Errorf("a new port on a held node: %v", err)
	}
}

// hold lets a conductor take an operation of a node.
func hold(t *testing.T, db *store.DB, n *metal.Node) {
	t.Helper()
	err := db.Write(t.Context(), func(tx *store.Tx) error {
		if err := tx.CreateOperation(newOperation(n, metal.PlanVerify, "manage", caller, metal.Ask{})); err != nil {
			return err
		}
		o, err := tx.Claim("c1", store.Scope{Drivers: []string{n.Driver}}, time.Minute)
		if err == nil && o == nil {
			t.Error("there was nothing to claim")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
