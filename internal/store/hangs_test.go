package store

import (
	"bytes"
	"strings"
	"testing"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/secret"
)

func gone(t *testing.T, what string, db *DB, look func(*Tx) error) {
	t.Helper()
	if err := db.Read(t.Context(), look); fault.KindOf(err) != fault.NotFound {
		t.Errorf("%s: %v, want that it is not found", what, err)
	}
}

func taken(t *testing.T, says string, db *DB, do func(*Tx) error) {
	t.Helper()
	if err := db.Write(t.Context(), do); fault.KindOf(err) != fault.Conflict || !strings.Contains(err.Error(), says) {
		t.Errorf("%v, want a conflict that says %q", err, says)
	}
}

func TestPortgroups(t *testing.T) { each(t, testPortgroups) }

func testPortgroups(t *testing.T, open opener) {
	db := open(t)
	first, second := addNode(t, db, 1, func(n *metal.Node) { n.Shard = "s1" }), addNode(t, db, 2, func(n *metal.Node) { n.ConductorGroup = "far" })
	g := &metal.Portgroup{}
	fill(t, g)
	g.UUID, g.NodeUUID, g.Address, g.Name = id(3), first.UUID, "52:54:00:00:00:01", "bond0"
	write(t, db, func(tx *Tx) error { return tx.CreatePortgroup(g) })
	for _, ident := range []string{g.UUID, g.Name, "52:54:00:00:00:01"} {
		same(t, read(t, db, func(tx *Tx) (*metal.Portgroup, error) { return tx.Portgroup(ident) }), g)
	}
	taken(t, "portgroup with this UUID", db, func(tx *Tx) error { return tx.CreatePortgroup(&metal.Portgroup{UUID: g.UUID, NodeUUID: first.UUID}) })
	taken(t, "portgroup with this MAC", db, func(tx *Tx) error {
		return tx.CreatePortgroup(&metal.Portgroup{UUID: id(4), NodeUUID: first.UUID, Address: g.Address})
	})
	taken(t, "portgroup with this name", db, func(tx *Tx) error {
		return tx.CreatePortgroup(&metal.Portgroup{UUID: id(4), NodeUUID: first.UUID, Name: g.Name})
	})

	p := &metal.Port{}
	fill(t, p)
	p.UUID, p.NodeUUID, p.PortgroupUUID, p.Address = id(5), first.UUID, g.UUID, "52:54:00:00:00:05"
	write(t, db, func(tx *Tx) error { return tx.CreatePort(p) })
	same(t, read(t, db, func(tx *Tx) (*metal.Port, error) { return tx.Port(p.UUID) }), p)
	for what, f := range map[string]PortFilter{"the group": {PortgroupID: g.ID}, "the shard": {Shards: []string{"s0", "s1"}}, "the conductor group": {Groups: []string{""}}} {
		if found := read(t, db, func(tx *Tx) ([]*metal.Port, error) { return tx.Ports(f, Page{}) }); len(found) != 1 {
			t.Errorf("%d ports of %s", len(found), what)
		}
	}
	if found := read(t, db, func(tx *Tx) ([]*metal.Port, error) { return tx.Ports(PortFilter{Groups: []string{"far"}}, Page{}) }); len(found) != 0 {
		t.Errorf("%d ports of another conductor group", len(found))
	}

	*g = metal.Portgroup{ID: g.ID, UUID: g.UUID, NodeUUID: second.UUID, Extra: map[string]any{}, InternalInfo: map[string]any{}, Properties: map[string]any{}}
	write(t, db, func(tx *Tx) error { return tx.SavePortgroup(g) })
	for what, f := range map[string]PortgroupFilter{"the node": {NodeID: second.ID}, "the conductor group": {Groups: []string{"far"}}, "nothing": {}} {
		found := read(t, db, func(tx *Tx) ([]*metal.Portgroup, error) { return tx.Portgroups(f, Page{SortKey: "address"}) })
		if len(found) != 1 {
			t.Fatalf("%d port groups of %s", len(found), what)
		}
		same(t, found[0], g)
	}
	if found := read(t, db, func(tx *Tx) ([]*metal.Portgroup, error) {
		return tx.Portgroups(PortgroupFilter{Shards: []string{"s1"}}, Page{})
	}); len(found) != 0 {
		t.Errorf("%d port groups of a shard they are not in", len(found))
	}
	write(t, db, func(tx *Tx) error { return tx.DeletePortgroup(g.ID) })
	gone(t, "a deleted port group", db, func(tx *Tx) error { _, err := tx.Portgroup(g.UUID); return err })
	if p := read(t, db, func(tx *Tx) (*metal.Port, error) { return tx.Port(p.UUID) }); p.PortgroupUUID != "" {
		t.Errorf("the port is still in %s", p.PortgroupUUID)
	}
	gone(t, "a port of no group", db, func(tx *Tx) error {
		return tx.SavePort(&metal.Port{ID: p.ID, NodeUUID: first.UUID, PortgroupUUID: id(77)})
	})
}

func TestChassis(t *testing.T) { each(t, testChassis) }

func testChassis(t *testing.T, open opener) {
	db := open(t)
	c := &metal.Chassis{}
	fill(t, c)
	c.UUID = id(1)
	write(t, db, func(tx *Tx) error { return tx.CreateChassis(c) })
	same(t, read(t, db, func(tx *Tx) (*metal.Chassis, error) { return tx.Chassis(c.UUID) }), c)
	taken(t, "chassis with this UUID", db, func(tx *Tx) error { return tx.CreateChassis(&metal.Chassis{UUID: c.UUID}) })
	*c = metal.Chassis{ID: c.ID, UUID: c.UUID, Extra: map[string]any{}}
	write(t, db, func(tx *Tx) error {
		if _, err := tx.Chassis(c.UUID); err != nil { // holds it
			return err
		}
		return tx.SaveChassis(c)
	})
	found := read(t, db, func(tx *Tx) ([]*metal.Chassis, error) { return tx.ChassisList(Page{SortKey: "description"}) })
	if len(found) != 1 {
		t.Fatalf("%d chassis", len(found))
	}
	same(t, found[0], c)
	addNode(t, db, 2, func(n *metal.Node) { n.ChassisUUID = c.UUID })
	if n := read(t, db, func(tx *Tx) (int, error) { return tx.NodesIn(c.UUID) }); n != 1 {
		t.Errorf("%d nodes in the chassis", n)
	}
	write(t, db, func(tx *Tx) error { return tx.DeleteChassis(c.ID) })
	gone(t, "a deleted chassis", db, func(tx *Tx) error { _, err := tx.Chassis(c.UUID); return err })
}

func TestVolumes(t *testing.T) { each(t, testVolumes) }

func testVolumes(t *testing.T, open opener) {
	db := open(t)
	first, second := addNode(t, db, 1), addNode(t, db, 2, func(n *metal.Node) { n.Lessee = "p2" })
	v := &metal.VolumeConnector{}
	fill(t, v)
	v.UUID, v.NodeUUID = id(3), first.UUID
	w := &metal.VolumeTarget{}
	fill(t, w)
	w.UUID, w.NodeUUID = id(4), first.UUID
	w.Properties = w.Properties.With("auth_password", canary)
	write(t, db, func(tx *Tx) error { return tx.CreateConnector(v) })
	write(t, db, func(tx *Tx) error { return tx.CreateTarget(w) })
	same(t, read(t, db, func(tx *Tx) (*metal.VolumeConnector, error) { return tx.Connector(v.UUID) }), v)
	same(t, read(t, db, func(tx *Tx) (*metal.VolumeTarget, error) { return tx.Target(w.UUID) }), w)
	sealed := read(t, db, func(tx *Tx) (b []byte, err error) {
		err = tx.row("SELECT properties FROM volume_targets").Scan(&b)
		return b, err
	})
	if bytes.Contains(sealed, []byte(canary)) {
		t.Error("the properties lie in the database unsealed")
	}
	taken(t, "type and connector_id", db, func(tx *Tx) error {
		return tx.CreateConnector(&metal.VolumeConnector{UUID: id(5), NodeUUID: second.UUID, Type: v.Type, ConnectorID: v.ConnectorID})
	})
	taken(t, "boot_index", db, func(tx *Tx) error {
		return tx.CreateTarget(&metal.VolumeTarget{UUID: id(5), NodeUUID: first.UUID, BootIndex: w.BootIndex})
	})
	write(t, db, func(tx *Tx) error {
		return tx.CreateTarget(&metal.VolumeTarget{UUID: id(5), NodeUUID: second.UUID, BootIndex: w.BootIndex})
	})
	*v = metal.VolumeConnector{ID: v.ID, UUID: v.UUID, NodeUUID: second.UUID, Extra: map[string]any{}}
	*w = metal.VolumeTarget{ID: w.ID, UUID: w.UUID, NodeUUID: second.UUID, BootIndex: 7, Properties: secret.NewMap(nil), Extra: map[string]any{}}
	write(t, db, func(tx *Tx) error { return tx.SaveConnector(v) })
	write(t, db, func(tx *Tx) error { return tx.SaveTarget(w) })
	for what, f := range map[string]VolumeFilter{"the node": {NodeID: second.ID}, "the project": {Project: "p2"}} {
		c := read(t, db, func(tx *Tx) ([]*metal.VolumeConnector, error) { return tx.Connectors(f, Page{}) })
		d := read(t, db, func(tx *Tx) ([]*metal.VolumeTarget, error) {
			return tx.Targets(f, Page{SortKey: "boot_index", SortDir: "desc"})
		})
		if len(c) != 1 || len(d) != 2 {
			t.Fatalf("%d connectors and %d targets of %s", len(c), len(d), what)
		}
		same(t, c[0], v)
		if d[0].BootIndex != 7 && d[1].BootIndex != 7 {
			t.Errorf("targets of %s: %v", what, d)
		}
	}
	if c := read(t, db, func(tx *Tx) ([]*metal.VolumeConnector, error) {
		return tx.Connectors(VolumeFilter{Project: "p1"}, Page{})
	}); len(c) != 0 {
		t.Errorf("%d connectors of a project without nodes", len(c))
	}
	write(t, db, func(tx *Tx) error { return tx.DeleteTarget(w.ID) })
	gone(t, "a deleted target", db, func(tx *Tx) error { _, err := tx.Target(w.UUID); return err })
	write(t, db, func(tx *Tx) error { return tx.DeleteNode(second.ID) })
	gone(t, "a connector of a deleted node", db, func(tx *Tx) error { _, err := tx.Connector(v.UUID); return err })
}

func TestShardsAndParts(t *testing.T) { each(t, testShardsAndParts) }

func testShardsAndParts(t *testing.T, open opener) {
	db := open(t)
	parent := addNode(t, db, 1)
	addNode(t, db, 2, func(n *metal.Node) { n.Shard, n.ParentNode = "s1", parent.UUID })
	addNode(t, db, 3, func(n *metal.Node) { n.Shard = "s1" })
	shards := read(t, db, func(tx *Tx) ([]metal.Shard, error) { return tx.Shards() })
	if len(shards) != 2 || shards[0] != (metal.Shard{Name: "s1", Nodes: 2}) || shards[1] != (metal.Shard{Nodes: 1}) {
		t.Errorf("shards %v", shards)
	}
	yes, no := true, false
	for what, c := range map[string]struct {
		f    NodeFilter
		want int
	}{
		"all":             {NodeFilter{}, 3},
		"on their own":    {NodeFilter{TopOnly: true}, 2},
		"parts":           {NodeFilter{Equal: map[string]string{"parent_node": parent.UUID}}, 1},
		"in shards":       {NodeFilter{Sharded: &yes}, 2},
		"in none":         {NodeFilter{Sharded: &no}, 1},
		"in one of these": {NodeFilter{Shards: []string{"s1", "s2"}}, 2},
	} {
		if found := read(t, db, func(tx *Tx) ([]*metal.Node, error) { return tx.Nodes(c.f, Page{}) }); len(found) != c.want {
			t.Errorf("%s: %d nodes, want %d", what, len(found), c.want)
		}
	}
	write(t, db, func(tx *Tx) error { return tx.DeleteNode(parent.ID) })
	if n := read(t, db, func(tx *Tx) (*metal.Node, error) { return tx.Node(id(2)) }); n.ParentNode != "" {
		t.Error("a part of a deleted node is a part of it still")
	}
}
