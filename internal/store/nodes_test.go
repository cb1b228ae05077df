package store

import (
	"strings"
	"testing"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/secret"
)

func TestNodeKeepsEveryField(t *testing.T) { each(t, testNodeKeepsEveryField) }

func testNodeKeepsEveryField(t *testing.T, open opener) {
	db := open(t)
	n := &metal.Node{}
	fill(t, n, "Reservation", "AllocationUUID")
	n.UUID = id(1)
	write(t, db, func(tx *Tx) error { return tx.CreateNode(n) })
	same(t, read(t, db, func(tx *Tx) (*metal.Node, error) { return tx.Node(n.UUID) }), n)
	same(t, read(t, db, func(tx *Tx) (*metal.Node, error) { return tx.Node(n.Name) }), n)

	empty := &metal.Node{ID: n.ID, UUID: n.UUID, Properties: map[string]any{}, Extra: map[string]any{}, InternalInfo: map[string]any{},
		NetworkData: map[string]any{}, Interfaces: map[string]string{}, CleanStep: map[string]any{}, DeployStep: map[string]any{}, ServiceStep: map[string]any{},
		RAIDConfig: map[string]any{}, TargetRAIDConfig: map[string]any{}}
	write(t, db, func(tx *Tx) error { return tx.SaveNode(empty) })
	same(t, read(t, db, func(tx *Tx) (*metal.Node, error) { return tx.NodeByID(n.ID) }), empty)

	fill(t, n, "Reservation", "AllocationUUID")
	n.UUID, n.AutomatedClean = empty.UUID, new(bool)
	write(t, db, func(tx *Tx) error { return tx.SaveNode(n) })
	same(t, read(t, db, func(tx *Tx) (*metal.Node, error) { return tx.NodeByID(n.ID) }), n)
}

func TestPlainNodesLackOnlyObjects(t *testing.T) { each(t, testPlainNodesLackOnlyObjects) }

func testPlainNodesLackOnlyObjects(t *testing.T, open opener) {
	db := open(t)
	n := &metal.Node{}
	fill(t, n, "Reservation", "AllocationUUID")
	n.UUID = id(1)
	write(t, db, func(tx *Tx) error { return tx.CreateNode(n) })
	plain := func(tx *Tx) ([]*metal.Node, error) { return tx.Nodes(NodeFilter{Plain: true}, Page{}) }
	found := read(t, db, plain)
	if len(found) != 1 {
		t.Fatalf("%d nodes", len(found))
	}
	want := *n
	want.Properties, want.Extra, want.InternalInfo, want.NetworkData, want.Interfaces = nil, nil, nil, nil, nil
	want.CleanStep, want.DeployStep, want.ServiceStep, want.RAIDConfig, want.TargetRAIDConfig = nil, nil, nil, nil, nil
	want.DriverInfo, want.InstanceInfo = secret.Map{}, secret.Map{}
	same(t, found[0], &want)
	if err := db.Write(t.Context(), func(tx *Tx) error { _, err := plain(tx); return err }); err == nil {
		t.Error("who writes was given nodes without their objects")
	}
}

func TestPortKeepsEveryField(t *testing.T) { each(t, testPortKeepsEveryField) }

func testPortKeepsEveryField(t *testing.T, open opener) {
	db := open(t)
	first, second := addNode(t, db, 1), addNode(t, db, 2)
	p := &metal.Port{}
	fill(t, p)
	p.UUID, p.NodeUUID, p.PortgroupUUID, p.Address = id(3), first.UUID, "", "52:54:00:00:00:01"
	write(t, db, func(tx *Tx) error { return tx.CreatePort(p) })
	for _, ident := range []string{p.UUID, p.Name, "52:54:00:00:00:01"} {
		same(t, read(t, db, func(tx *Tx) (*metal.Port, error) { return tx.Port(ident) }), p)
	}
	*p = metal.Port{ID: p.ID, UUID: p.UUID, NodeUUID: second.UUID, Address: "52:54:00:00:00:AB",
		Extra: map[string]any{}, InternalInfo: map[string]any{}, LocalLinkConnection: map[string]any{}}
	write(t, db, func(tx *Tx) error { return tx.SavePort(p) })
	p.Address = strings.ToLower(p.Address)
	found := read(t, db, func(tx *Tx) ([]*metal.Port, error) { return tx.PortsOf(second.ID) })
	if len(found) != 1 {
		t.Fatalf("%d ports after one was moved to the node", len(found))
	}
	same(t, found[0], p)
	nodes := read(t, db, func(tx *Tx) ([]*metal.Node, error) { return tx.NodesByMAC([]string{p.Address, "52:54:00:00:00:ff"}) })
	if len(nodes) != 1 || nodes[0].ID != second.ID {
		t.Errorf("nodes by MAC: %v", nodes)
	}
	write(t, db, func(tx *Tx) error { return tx.DeleteNode(second.ID) })
	err := db.Read(t.Context(), func(tx *Tx) error { _, err := tx.Port(p.UUID); return err })
	if fault.KindOf(err) != fault.NotFound {
		t.Errorf("the port of a node that was deleted: %v", err)
	}
}

// TestTaken writes what is there already: every unique rule is a fault that a caller may read.
func TestTaken(t *testing.T) { each(t, testTaken) }

func testTaken(t *testing.T, open opener) {
	db := open(t)
	n := addNode(t, db, 1, func(n *metal.Node) { n.Name, n.InstanceUUID = "one", id(90) })
	addNode(t, db, 2)
	addNode(t, db, 3) // no name twice is no conflict
	p := &metal.Port{UUID: id(4), NodeUUID: n.UUID, Address: "52:54:00:00:00:01", Name: "eth0"}
	write(t, db, func(tx *Tx) error { return tx.CreatePort(p) })
	for _, c := range []struct {
		what, says string
		do         func(*Tx) error
	}{
		{"uuid", "A node with this UUID", func(tx *Tx) error { return tx.CreateNode(&metal.Node{UUID: id(1)}) }},
		{"name", "A node with this name", func(tx *Tx) error { return tx.CreateNode(&metal.Node{UUID: id(9), Name: "one"}) }},
		{"instance", "This instance", func(tx *Tx) error { return tx.CreateNode(&metal.Node{UUID: id(9), InstanceUUID: id(90)}) }},
		{"rename", "A node with this name", func(tx *Tx) error {
			second, err := tx.Node(id(2))
			if err != nil {
				return err
			}
			second.Name = "one"
			return tx.SaveNode(second)
		}},
		{"port uuid", "A port with this UUID", func(tx *Tx) error {
			return tx.CreatePort(&metal.Port{UUID: id(4), NodeUUID: n.UUID, Address: "52:54:00:00:00:02"})
		}},
		{"port address", "A port with this MAC", func(tx *Tx) error {
			return tx.CreatePort(&metal.Port{UUID: id(5), NodeUUID: n.UUID, Address: "52:54:00:00:00:01"})
		}},
		{"port name", "A port with this name", func(tx *Tx) error {
			return tx.CreatePort(&metal.Port{UUID: id(5), NodeUUID: n.UUID, Address: "52:54:00:00:00:02", Name: "eth0"})
		}},
	} {
		err := db.Write(t.Context(), c.do)
		said, _ := fault.PublicOf(err)
		if fault.KindOf(err) != fault.Conflict || !strings.Contains(said, c.says) {
			t.Errorf("%s: %v, said %q", c.what, err, said)
		}
	}
	err := db.Write(t.Context(), func(tx *Tx) error { return tx.CreatePort(&metal.Port{UUID: id(5), NodeUUID: id(99), Address: "x"}) })
	if fault.KindOf(err) != fault.NotFound {
		t.Errorf("a port of no node: %v", err)
	}
}

func TestNodeFilters(t *testing.T) { each(t, testNodeFilters) }

func testNodeFilters(t *testing.T, open opener) {
	db := open(t)
	yes, no := true, false
	addNode(t, db, 1, func(n *metal.Node) { n.Owner, n.Description, n.ResourceClass = "alice", `50% of "rack_1"\`, "gold" })
	addNode(t, db, 2, func(n *metal.Node) {
		n.Lessee, n.Description, n.Maintenance, n.ResourceClass = "alice", "500 RACK1", true, "gold"
	})
	addNode(t, db, 3, func(n *metal.Node) {
		n.InstanceUUID, n.Retired, n.Driver, n.Interfaces = id(90), true, "redfish", map[string]string{"network": "vswitch"}
	})
	for _, c := range []struct {
		what string
		f    NodeFilter
		want string
	}{
		{"all", NodeFilter{}, "1 2 3"},
		{"equal", NodeFilter{Equal: map[string]string{"driver": "redfish"}}, "3"},
		{"two equal", NodeFilter{Equal: map[string]string{"resource_class": "gold", "owner": "alice"}}, "1"},
		{"project is owner or lessee", NodeFilter{Project: "alice"}, "1 2"},
		{"somebody's", NodeFilter{Somebodys: true}, "1 2"},
		{"network interface", NodeFilter{Network: "vswitch"}, "3"},
		{"nobody's with it", NodeFilter{Network: "vswitch", Somebodys: true}, ""},
		{"maintenance", NodeFilter{Maintenance: &yes}, "2"},
		{"no maintenance", NodeFilter{Maintenance: &no}, "1 3"},
		{"retired", NodeFilter{Retired: &yes}, "3"},
		{"associated", NodeFilter{Associated: &yes}, "3"},
		{"not associated", NodeFilter{Associated: &no}, "1 2"},
		{"contains, a percent sign is one", NodeFilter{Contains: "50%"}, "1"},
		{"contains, an underscore is one", NodeFilter{Contains: "k_1"}, "1"},
		{"contains, a backslash is one", NodeFilter{Contains: `"\`}, "1"},
		{"contains, any case", NodeFilter{Contains: "rack"}, "1 2"},
		{"an injection finds nothing", NodeFilter{Project: "' OR 1=1 --"}, ""},
		{"all of them must hold", NodeFilter{Project: "alice", Maintenance: &yes, Equal: map[string]string{"resource_class": "gold"}}, "2"},
	} {
		found := read(t, db, func(tx *Tx) ([]*metal.Node, error) { return tx.Nodes(c.f, Page{}) })
		var got []string
		for _, n := range found {
			got = append(got, strings.TrimLeft(n.UUID[:8], "0"))
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: nodes %v, want %s", c.what, got, c.want)
		}
	}
	err := db.Read(t.Context(), func(tx *Tx) error {
		_, err := tx.Nodes(NodeFilter{Equal: map[string]string{"1=1 OR driver": "x"}}, Page{})
		return err
	})
	if err == nil {
		t.Error("a column that does not exist was filtered by")
	}
}

func TestReservationIsTheHolderOfALease(t *testing.T) { each(t, testReservationIsTheHolderOfALease) }

func testReservationIsTheHolderOfALease(t *testing.T, open opener) {
	db := open(t)
	n := addNode(t, db, 1)
	held := func() string {
		return read(t, db, func(tx *Tx) (*metal.Node, error) { return tx.NodeByID(n.ID) }).Reservation
	}
	ask(t, db, n, 1)
	if held() != "" {
		t.Error("an operation that nobody works on reserves the node")
	}
	o := claim(t, db, "c1", lease)
	if held() != "c1" {
		t.Errorf("reservation %q, want c1", held())
	}
	o.Status = Done
	write(t, db, func(tx *Tx) error { return tx.SaveOperation(o) })
	if held() != "" {
		t.Error("an operation that ended reserves the node")
	}
}
