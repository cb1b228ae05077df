package ops

import (
	"cmp"
	"context"
	"encoding/json"
	"reflect"
	"slices"
	"strings"

	"github.com/google/uuid"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/policy"
	"ingot/internal/store"
)

// NodeQuery narrows and pages a list of nodes; zero values do not narrow.
type NodeQuery struct {
	Page
	InstanceUUID, ProvisionState, Driver, ResourceClass, Fault, Owner, Lessee, Project string
	DescriptionContains, ChassisUUID, InstanceName                                     string
	OSDefinition                                                                       string // name or UUID of the one they are installed with
	ConductorGroup                                                                     *string
	Associated, Maintenance, Retired, Sharded                                          *bool
	Shards                                                                             []string // any of these
	ParentNode                                                                         string   // UUID or name
	Children                                                                           bool     // nodes that are parts of others, too
	Plain                                                                              bool     // objects of the nodes (properties, driver_info, interfaces, …) are not asked for, and come empty
}

// Nodes lists nodes: to a project, those it owns or leases. An unknown provision state or sort key is fault.Invalid, an unknown marker NotFound.
func (s *Service) Nodes(ctx context.Context, c Caller, q NodeQuery) ([]*metal.Node, error) {
	if _, known := metal.States[metal.State(q.ProvisionState)]; q.ProvisionState != "" && !known {
		return nil, fault.New(fault.Invalid, "Provision state %q is not known.", q.ProvisionState)
	}
	f := store.NodeFilter{Equal: map[string]string{}, Associated: q.Associated, Maintenance: q.Maintenance,
		Retired: q.Retired, Project: q.Project, Contains: q.DescriptionContains, Shards: q.Shards, Sharded: q.Sharded, Plain: q.Plain, OS: q.OSDefinition}
	for column, value := range map[string]string{"instance_uuid": q.InstanceUUID, "provision_state": q.ProvisionState,
		"driver": q.Driver, "resource_class": q.ResourceClass, "fault": q.Fault, "owner": q.Owner, "lessee": q.Lessee,
		"chassis_uuid": q.ChassisUUID, "instance_name": q.InstanceName} {
		if value != "" {
			f.Equal[column] = value
		}
	}
	if q.ConductorGroup != nil {
		f.Equal["conductor_group"] = *q.ConductorGroup
	}
	mine, err := c.listing("node:list_all", "node:list", q.Project, q.Owner)
	if err != nil {
		return nil, err
	}
	if mine != "" {
		f.Project = mine
	}
	var out []*metal.Node
	err = s.db.Read(ctx, func(tx *store.Tx) (err error) {
		if err := q.refer(tx, c, &f); err != nil {
			return err
		}
		out, err = tx.Nodes(f, q.Page)
		return err
	})
	return out, err
}

// Node finds a node by UUID or name and judges a rule on it; fault.NotFound if there is none.
func (s *Service) Node(ctx context.Context, c Caller, ident string, rule policy.Rule) (n *metal.Node, err error) {
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		if n, err = c.node(tx, ident, rule); err != nil {
			return err
		}
		if err := faulted(tx, n); err != nil {
			return err
		}
		return installed(tx, n)
	})
	return n, err
}

// CreateNode enrols a node. It fills in the UUID, the states and the default interfaces of the driver.
// fault.Invalid for a driver nobody serves or a bad name, fault.Conflict for a taken UUID or name,
// fault.Unavailable while no conductor runs.
func (s *Service) CreateNode(ctx context.Context, c Caller, n *metal.Node) (*metal.Node, error) {
	if n.Name != "" {
		if err := normalName(n.Name); err != nil {
			return nil, err
		}
	}
	if n.UUID == "" {
		n.UUID = uuid.NewString()
	} else if _, err := uuid.Parse(n.UUID); err != nil {
		return nil, fault.New(fault.Invalid, "Expected a UUID but received %s.", n.UUID)
	}
	if err := noRescuePassword(&metal.Node{}, n); err != nil {
		return nil, err
	}
	if err := s.asConfigured(n); err != nil {
		return nil, err
	}
	if err := s.mayCreate(c, n); err != nil {
		return nil, err
	}
	var made *metal.Node
	err := s.db.Write(ctx, func(tx *store.Tx) error {
		hw, err := s.hardware(tx, n.Driver, n.ConductorGroup)
		if err != nil {
			return err
		}
		if err := s.fillInterfaces(tx, n, hw); err != nil {
			return err
		}
		now, err := tx.Now()
		if err != nil {
			return err
		}
		n.CreatedAt = now // and ProvisionUpdatedAt is zero, as upstream's: no transition has been yet
		n.ProvisionState = metal.Enroll
		if c.Minor < metal.SinceEnroll { // as Ironic: older clients know no enroll
			n.ProvisionState = metal.Available
		}
		if err := c.link(tx, nil, n); err != nil {
			return err
		}
		if err := tx.CreateNode(n); err != nil {
			return err
		}
		if err = tx.AppendEvent(n.ID, metal.HistoryEvent{Kind: "request", Who: c.who(), To: n.ProvisionState, Why: "The node was enrolled."}); err != nil {
			return err
		}
		made, err = tx.NodeByID(n.ID)
		return err
	})
	if err != nil {
		return nil, err
	}
	return made, nil
}

// UpdateNode runs change on the node as it is stored and saves the result, in one transaction.
// rules are those that stand over what is changed (policy.OfNodeField); resetInterfaces puts interfaces back to the driver's defaults when the driver changes.
func (s *Service) UpdateNode(ctx context.Context, c Caller, ident string, rules []policy.Rule, resetInterfaces bool, change func(*metal.Node) error) (*metal.Node, error) {
	c.Rights.Asks("node:update") // the others stand for it
	var saved *metal.Node
	err := s.db.Write(ctx, func(tx *store.Tx) error {
		n, err := c.changeable(tx, ident, rules...)
		if err != nil {
			return err
		}
		before := *n
		if err := change(n); err != nil {
			return err
		}
		if n.ConductorGroup = strings.ToLower(n.ConductorGroup); n.Name != before.Name && n.Name != "" {
			if err := normalName(n.Name); err != nil {
				return err
			}
		}
		if err := c.mayGive(&before, n); err != nil {
			return err
		}
		if err := s.mayUpdate(tx, &before, n, resetInterfaces); err != nil {
			return err
		}
		if err := s.mayRecable(tx, &before, n); err != nil {
			return err
		}
		if err := instanceLeaves(tx, &before, n); err != nil {
			return err
		}
		if err := c.link(tx, &before, n); err != nil {
			return err
		}
		if n.UpdatedAt, err = tx.Now(); err != nil {
			return err
		}
		if err = tx.SaveNode(n); err != nil {
			return err
		}
		saved, err = tx.NodeByID(n.ID)
		return err
	})
	if err != nil {
		return nil, err
	}
	return saved, nil
}

// mayUpdate checks the rules of rest-api reference §2.4 and finishes interfaces.
func (s *Service) mayUpdate(tx *store.Tx, before, n *metal.Node, reset bool) error {
	if err := cmp.Or(noRescuePassword(before, n), rescuerStays(before, n)); err != nil {
		return err
	}
	state := before.ProvisionState
	onlyInstanceGone := before.Maintenance && before.InstanceUUID != "" && n.InstanceUUID == ""
	if before.TargetProvisionState != "" && !metal.States[state].Patch && !onlyInstanceGone {
		return fault.New(fault.Conflict, "Node %s can not be updated while a state transition is in progress.", n.UUID)
	}
	if before.Reservation != "" {
		return locked(n, nil)
	}
	if live, err := tx.LiveOperation(n.ID); err != nil || live != nil && plannedBy(before, n) {
		return cmp.Or(err, locked(n, live))
	}
	quiet := slices.Contains(quietStates, state)
	if before.ResourceClass != "" && n.ResourceClass != before.ResourceClass && !quiet {
		return fault.New(fault.Conflict, "Node %s can not have its resource_class changed while in state %q.", n.UUID, state)
	}
	if before.InstanceUUID != "" && n.InstanceUUID != "" && n.InstanceUUID != before.InstanceUUID {
		return fault.New(fault.Conflict, "Node %s is associated with instance %s.", n.UUID, before.InstanceUUID)
	}
	if err := ownerChange(tx, before, n); err != nil {
		return err
	}
	if n.Protected && !before.Protected && state != metal.Active && state != metal.Rescue {
		return fault.New(fault.Conflict, "Node %s can not be protected in state %q: only an active or rescued node can.", n.UUID, state)
	}
	if before.Protected && !n.Protected && n.ProtectedReason == before.ProtectedReason {
		n.ProtectedReason = "" // it goes with what it is the reason of; as Ironic
	}
	if before.Retired && !n.Retired && n.RetiredReason == before.RetiredReason {
		n.RetiredReason = ""
	}
	if n.ProtectedReason != "" && !n.Protected {
		return fault.New(fault.Invalid, "protected_reason can only be set while the node is protected.")
	}
	if n.Retired && !before.Retired && state == metal.Available {
		return fault.New(fault.Conflict, "Node %s can not be retired in state available: manage it first.", n.UUID)
	}
	if n.RetiredReason != "" && !n.Retired {
		return fault.New(fault.Invalid, "retired_reason can only be set while the node is retired.")
	}
	if !n.Maintenance && before.Maintenance {
		n.MaintenanceReason, n.Fault = "", ""
	}
	if n.InstanceName == "" {
		n.InstanceName = n.InstanceInfo.Public("display_name")
	}
	driverChanged := n.Driver != before.Driver
	if driverChanged && before.ConsoleEnabled {
		return fault.New(fault.Conflict, "Node %s can not have its driver changed while its console is enabled: disable it first.", n.UUID)
	}
	interfacesChanged := !sameStrings(n.Interfaces, before.Interfaces)
	if !driverChanged && !interfacesChanged && n.ConductorGroup == before.ConductorGroup {
		return nil
	}
	if !quiet && !n.Maintenance && (driverChanged || interfacesChanged) {
		return fault.New(fault.Conflict, "Node %[1]s can not have its driver or interfaces changed while in state %[2]q, except in maintenance: "+
			"ingot node set %[1]s --maintenance on, then change it, then ingot node set %[1]s --maintenance off.", n.UUID, state)
	}
	if reset && driverChanged {
		for kind, was := range before.Interfaces {
			if n.Interfaces[kind] == was {
				delete(n.Interfaces, kind)
			}
		}
	}
	hw, err := s.hardware(tx, n.Driver, n.ConductorGroup)
	if err != nil {
		return err
	}
	return s.fillInterfaces(tx, n, hw)
}

// plannedBy tells whether a change touches what a plan under way relies on.
func plannedBy(before, n *metal.Node) bool {
	return n.Driver != before.Driver || n.ConductorGroup != before.ConductorGroup || !sameStrings(n.Interfaces, before.Interfaces) ||
		!reflect.DeepEqual(n.AutomatedClean, before.AutomatedClean) || !reflect.DeepEqual(n.NetworkData, before.NetworkData) ||
		!reflect.DeepEqual(n.DriverInfo.Expose(), before.DriverInfo.Expose()) ||
		!reflect.DeepEqual(n.InstanceInfo.Expose(), before.InstanceInfo.Expose())
}

func sameStrings(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	for k, v := range a {
		if b[k] != v {
			return false
		}
	}
	return true
}

// DeleteNode forgets a node with everything that hangs on it. fault.Conflict in a state that does not
// allow it or with an instance, fault.Forbidden when protected, fault.Locked while an operation lives.
func (s *Service) DeleteNode(ctx context.Context, c Caller, ident string) error {
	return s.db.Write(ctx, func(tx *store.Tx) error {
		n, err := s.mayDelete(tx, c, ident)
		if err != nil {
			return err
		}
		live, err := tx.LiveOperation(n.ID)
		switch {
		case err != nil:
			return err
		case n.InstanceUUID != "" && !n.Maintenance: // the first that is said, as upstream
			return fault.New(fault.Conflict, "Node %s is associated with instance %s.", n.UUID, n.InstanceUUID)
		case n.Protected:
			return fault.New(fault.Forbidden, "Node %s is protected and cannot be undeployed, rebuilt or deleted", n.UUID)
		case live != nil: // its undo would be lost with it, and the machine left as it is
			return locked(n, live)
		case s.config.KeepAvailable && n.ProvisionState == metal.Available && !n.Maintenance:
			return fault.New(fault.Conflict, "Can not delete node %q while it is available: the configuration of this server forbids it. Manage it first, or set it to maintenance.", n.UUID)
		case !metal.States[n.ProvisionState].Deletion && !n.Maintenance:
			return fault.New(fault.Conflict, "Can not delete node %q while it is in provision state %q. Valid provision states to perform deletion are: "+
				"enroll, manageable, available, adopt failed; or set it to maintenance first.", n.UUID, n.ProvisionState)
		}
		if err := s.mayForget(tx, n); err != nil {
			return err
		}
		s.log.Info("node deleted", "node", n.UUID, "who", c.who(), "request", c.RequestID)
		return tx.DeleteNode(n.ID)
	})
}

// SetMaintenance sets or clears the flag that says: people are working on this machine.
func (s *Service) SetMaintenance(ctx context.Context, c Caller, ident string, on bool, reason string) error {
	rule := policy.Rule("node:set_maintenance")
	if !on {
		rule = "node:clear_maintenance"
	}
	return s.db.Write(ctx, func(tx *store.Tx) error {
		n, err := c.node(tx, ident, rule)
		if err != nil {
			return err
		}
		n.Maintenance, n.MaintenanceReason = on, reason
		why := "Maintenance was set: " + reason
		if !on {
			n.MaintenanceReason, n.Fault, why = "", "", "Maintenance was cleared."
		}
		if n.UpdatedAt, err = tx.Now(); err != nil {
			return err
		}
		if err := tx.SaveNode(n); err != nil {
			return err
		}
		return tx.AppendEvent(n.ID, metal.HistoryEvent{Kind: "request", Who: c.who(), Why: why})
	})
}

// record is an operation's first record: what was asked.
func record(ask metal.Ask) []byte {
	b, err := json.Marshal(map[string]any{"ask": ask})
	if err != nil { // metal.Ask holds nothing that cannot be marshalled but decoded JSON
		panic("ops: " + err.Error())
	}
	return b
}
