package ops

import (
	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/store"
)

// mayRecable refuses another network interface while the node's ports note a network that the present one put them on: another
// would not take the machine off it, and a tenant would keep what is somebody else's by then.
func (s *Service) mayRecable(tx *store.Tx, before, n *metal.Node) error {
	if n.Interface("network") == before.Interface("network") {
		return nil
	}
	where, err := s.plugged(tx, before)
	if err != nil || where == "" {
		return err
	}
	return fault.New(fault.Conflict, "Node %s can not have another network interface: %s, and only %s takes it off. Tear the node down or clean it first; "+
		"or set it to maintenance, take the NIC off that network yourself, and delete and create its port.", n.UUID, where, before.Interface("network"))
}

// mayForget refuses to delete a node whose machine would stay on a network.
func (s *Service) mayForget(tx *store.Tx, n *metal.Node) error {
	where, err := s.plugged(tx, n)
	if err != nil || where == "" {
		return err
	}
	return fault.New(fault.Conflict, "Can not delete node %s: %s, and nobody would take it off. Tear the node down or clean it first; "+
		"or set it to maintenance, take the NIC off that network yourself, and delete its port, then the node.", n.UUID, where)
}

// plugged is the network that a port or port group of the node notes, in words; "" where it is on none, or nothing moves it. A VIF is only
// promised while the node is nobody's.
func (s *Service) plugged(tx *store.Tx, n *metal.Node) (where string, err error) {
	network := n.Interface("network")
	if network == "" || network == "noop" {
		return "", nil
	}
	hw, err := s.hardware(tx, n.Driver, n.ConductorGroup)
	if err == nil && !hw.Built("network", network) {
		return "", nil // as flat without a network service: VIFs are only written down
	}
	ports, err := tx.PortsOf(n.ID)
	if err != nil {
		return "", err
	}
	groups, err := tx.Portgroups(store.PortgroupFilter{NodeID: n.ID}, store.Page{})
	if err != nil {
		return "", err
	}
	promised := metal.States[n.ProvisionState].Deletion
	for _, p := range ports {
		if on := onNetwork(p.InternalInfo, p.Extra, promised); on != "" {
			return "its port " + p.UUID + " is on " + on, nil
		}
	}
	for _, g := range groups {
		if on := onNetwork(g.InternalInfo, g.Extra, promised); on != "" {
			return "its portgroup " + g.UUID + " is on " + on, nil
		}
	}
	return "", nil
}

func onNetwork(internal, extra map[string]any, promised bool) string {
	if role := operatorsNetwork(internal); role != "" {
		return "the " + string(role) + " network"
	}
	if vif := metal.VIFOf(internal, extra); vif != "" && !promised {
		return "the network of its VIF " + clip(vif, 255)
	}
	return ""
}

// operatorsNetwork is the role for which internal_info of a port or port group notes a network of the operator's, "" for none.
func operatorsNetwork(internal map[string]any) metal.NetworkRole {
	for _, role := range metal.NetworkRoles {
		if on, _ := internal[role.VIFKey()].(string); on != "" && role != metal.TenantNetwork {
			return role
		}
	}
	return ""
}

// mayUnbind refuses to delete a port or port group by which what takes the machine off a network would find it. In maintenance it is
// left to who works on the machine.
func mayUnbind(n *metal.Node, what, uuid string, internal, extra map[string]any) error {
	vif, on := metal.VIFOf(internal, extra), operatorsNetwork(internal)
	switch {
	case n.Reservation != "":
		return locked(n, nil)
	case vif != "" && !n.Maintenance:
		return fault.New(fault.Conflict, "Cannot delete %s %s of node %s: the VIF %s is attached to it. Detach it first, or set the node to maintenance.", what, uuid, n.UUID, vif)
	case on != "" && !n.Maintenance:
		return fault.New(fault.Conflict, "Cannot delete %s %s of node %s: it was left on the %s network. Clean or tear down the node, or set it to maintenance and take the %s off there.",
			what, uuid, n.UUID, on, what)
	}
	return nil
}
