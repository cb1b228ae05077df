package ops

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/google/uuid"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/policy"
	"ingot/internal/secret"
	"ingot/internal/store"
)

// AllocationQuery narrows and pages a list of allocations; zero values do not narrow. Node is a UUID or a name.
type AllocationQuery struct {
	Page
	Node, ResourceClass, Owner string
	State                      metal.AllocationState
}

// Allocations lists the allocations that the caller may see. An unknown node is fault.Invalid.
func (s *Service) Allocations(ctx context.Context, c Caller, q AllocationQuery) (out []*metal.Allocation, err error) {
	own, err := c.listing("allocation:list_all", "allocation:list", q.Owner)
	if err != nil {
		return nil, err
	}
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		f := store.AllocationFilter{ResourceClass: q.ResourceClass, Owner: cmp.Or(own, q.Owner), State: q.State}
		if q.Node != "" {
			n, err := c.node(tx, q.Node)
			if err != nil {
				return inBody(err)
			}
			f.NodeID = n.ID
		}
		out, err = tx.Allocations(f, q.Page)
		return err
	})
	return out, err
}

// inBody makes of a thing that is not there one that the request names wrongly.
func inBody(err error) error {
	if fault.KindOf(err) != fault.NotFound {
		return err
	}
	text, _ := fault.PublicOf(err)
	return fault.New(fault.Invalid, "%s", text)
}

// Allocation finds an allocation by UUID or name and judges a rule on it. One that the caller may not see is
// fault.NotFound.
func (s *Service) Allocation(ctx context.Context, c Caller, ident string) (a *metal.Allocation, err error) {
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		a, err = c.allocation(tx, ident, "allocation:get")
		return err
	})
	return a, err
}

// allocation finds an allocation for the caller and judges a rule on it.
func (c Caller) allocation(tx *store.Tx, ident string, rule policy.Rule) (*metal.Allocation, error) {
	a, err := tx.Allocation(ident)
	if err != nil {
		return nil, err
	}
	return a, c.judge(a, ident, rule)
}

func (c Caller) judge(a *metal.Allocation, ident string, rule policy.Rule) error {
	t := allocationTarget(a)
	if !c.Rights.Allows("allocation:get", t) {
		return fault.New(fault.NotFound, "Allocation %s could not be found.", ident)
	}
	return c.Rights.Check(rule, t)
}

// NodeAllocation finds the allocation of a node.
func (s *Service) NodeAllocation(ctx context.Context, c Caller, ident string) (a *metal.Allocation, err error) {
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		n, err := c.node(tx, ident)
		if err != nil {
			return err
		}
		if a, err = tx.AllocationOf(n); err != nil {
			return err
		}
		return c.judge(a, a.UUID, "allocation:get")
	})
	return a, err
}

// CreateAllocation keeps a wish for a node, which a conductor fulfils, or with node (a UUID or a name) writes down that an
// active node was somebody's all along. A candidate or node that is not there is fault.Invalid, a taken name or UUID
// fault.Conflict, a node that is not what is asked for fault.Internal, as upstream answers it.
func (s *Service) CreateAllocation(ctx context.Context, c Caller, a *metal.Allocation, node string) (*metal.Allocation, error) {
	if err := c.ownAllocation(a); err != nil {
		return nil, err
	}
	if a.ResourceClass == "" && node == "" {
		return nil, fault.New(fault.Invalid, "The resource_class field is mandatory when not backfilling: it says what kind of node is wanted.")
	}
	if err := s.candidates(ctx, c, a); err != nil {
		return nil, err
	}
	var made *metal.Allocation
	err := s.db.Write(ctx, func(tx *store.Tx) error {
		now, err := tx.Now()
		if err != nil {
			return err
		}
		a.State, a.CreatedAt, a.DueAt = metal.Allocating, now, now
		if node != "" {
			err = s.backfill(tx, c, a, node)
		} else {
			a.UUID = cmp.Or(a.UUID, uuid.NewString())
			err = tx.CreateAllocation(a)
		}
		if err != nil {
			return err
		}
		made, err = tx.Allocation(a.UUID)
		return err
	})
	if err != nil {
		return nil, err
	}
	s.log.Info("allocation created", "allocation", made.UUID, "state", string(made.State), "who", c.who(), "request", c.RequestID)
	return made, nil
}

// ownAllocation finds whose the allocation is. Source: RBAC reference §6, "Allocations".
func (c Caller) ownAllocation(a *metal.Allocation) error {
	own := c.project()
	switch {
	case c.nobody():
		return c.Rights.Check("allocation:create_restricted", policy.Target{})
	case own == "" || a.Owner == own:
		return nil
	case a.Owner == "":
		a.Owner = own
		return nil
	}
	return c.Rights.Check("allocation:create_restricted", policy.Target{})
}

// candidates turns the names of candidate nodes into their UUIDs.
func (s *Service) candidates(ctx context.Context, c Caller, a *metal.Allocation) error {
	if len(a.CandidateNodes) == 0 {
		return nil
	}
	return s.db.Read(ctx, func(tx *store.Tx) error { // a Write would hold them all
		for i, ident := range a.CandidateNodes {
			n, err := tx.Node(ident)
			if err == nil && !c.belongs(n) {
				err = fault.New(fault.NotFound, "Node %s could not be found.", ident)
			}
			if err != nil {
				return inBody(err)
			}
			a.CandidateNodes[i] = n.UUID
		}
		return nil
	})
}

// backfill gives the allocation a node that works already.
func (s *Service) backfill(tx *store.Tx, c Caller, a *metal.Allocation, ident string) error {
	n, err := tx.Node(ident)
	if err == nil && !c.belongs(n) {
		err = fault.New(fault.NotFound, "Node %s could not be found.", ident)
	}
	if err != nil {
		return inBody(err)
	}
	live, err := tx.LiveOperation(n.ID)
	if err != nil {
		return err
	}
	traits, err := tx.Traits(n.ID)
	if err != nil {
		return err
	}
	a.UUID = cmp.Or(a.UUID, n.InstanceUUID, uuid.NewString())
	failed := func(why string) error {
		return fault.New(fault.Internal, "Failed to process allocation %s: node %s cannot be backfilled: %s.", a.UUID, n.UUID, why)
	}
	why := a.Mismatch(n, traits[n.ID])
	switch {
	case live != nil:
		return locked(n, live)
	case n.AllocationUUID != "":
		return fault.New(fault.Conflict, "Node %s already has the allocation %s.", n.UUID, n.AllocationUUID)
	case n.ProvisionState != metal.Active:
		return failed("it is " + string(n.ProvisionState) + ", and not active")
	case why != "":
		return failed(why)
	case n.InstanceUUID != "" && n.InstanceUUID != a.UUID:
		return fault.New(fault.Conflict, "Node %s is associated with instance %s.", n.UUID, n.InstanceUUID)
	}
	a.State, a.NodeID, a.ResourceClass = metal.Allocated, n.ID, cmp.Or(a.ResourceClass, n.ResourceClass)
	n.InstanceUUID, n.UpdatedAt = a.UUID, a.CreatedAt
	if len(a.Traits) > 0 {
		info := n.InstanceInfo.Expose()
		info["traits"] = a.Traits
		n.InstanceInfo = secret.NewMap(info)
	}
	return errors.Join(tx.CreateAllocation(a), tx.SaveNode(n),
		tx.AppendEvent(n.ID, metal.HistoryEvent{Kind: "request", Who: c.who(), Why: "The node was given to allocation " + a.UUID + ", which it fulfilled already."}))
}

// UpdateAllocation changes the name and extra of an allocation; the rest is as it was asked for.
func (s *Service) UpdateAllocation(ctx context.Context, c Caller, ident string, change func(*metal.Allocation) error) (a *metal.Allocation, err error) {
	err = s.db.Write(ctx, func(tx *store.Tx) error {
		if a, err = c.allocation(tx, ident, "allocation:update"); err != nil {
			return err
		}
		if a, err = tx.HoldAllocation(a); err != nil {
			return err
		}
		if err := change(a); err != nil {
			return err
		}
		if a.UpdatedAt, err = tx.Now(); err != nil {
			return err
		}
		return tx.SaveAllocation(a)
	})
	return a, err
}

// DeleteAllocation forgets an allocation and frees its node, which must not work for it any more: an active one is
// fault.Conflict unless it is in maintenance, one that an operation holds fault.Locked.
func (s *Service) DeleteAllocation(ctx context.Context, c Caller, ident string) error {
	return s.db.Write(ctx, func(tx *store.Tx) error {
		a, err := c.allocation(tx, ident, "allocation:delete")
		if err != nil {
			return err
		}
		return s.freeAllocation(tx, c, a)
	})
}

// DeleteNodeAllocation is DeleteAllocation, by the node.
func (s *Service) DeleteNodeAllocation(ctx context.Context, c Caller, ident string) error {
	return s.db.Write(ctx, func(tx *store.Tx) error {
		n, err := c.node(tx, ident)
		if err != nil {
			return err
		}
		a, err := tx.AllocationOf(n)
		if err != nil {
			return err
		}
		if err := c.judge(a, a.UUID, "allocation:delete"); err != nil {
			return err
		}
		return s.freeAllocation(tx, c, a)
	})
}

func (s *Service) freeAllocation(tx *store.Tx, c Caller, a *metal.Allocation) (err error) {
	if a.NodeID == 0 { // a conductor may be giving it one: whoever holds it first is first
		if a, err = tx.HoldAllocation(a); err != nil {
			return err
		}
	}
	if a.NodeID != 0 {
		n, err := tx.NodeByID(a.NodeID)
		if err != nil {
			return err
		}
		if err := mayFree(tx, n); err != nil {
			return err
		}
		if n.UpdatedAt, err = tx.Now(); err != nil {
			return err
		}
		n.InstanceUUID = ""
		if err := errors.Join(tx.SaveNode(n), tx.AppendEvent(n.ID, metal.HistoryEvent{Kind: "request", Who: c.who(), Why: "The allocation " + a.UUID + " of the node was deleted."})); err != nil {
			return err
		}
	}
	s.log.Info("allocation deleted", "allocation", a.UUID, "who", c.who(), "request", c.RequestID)
	return tx.DeleteAllocation(a.ID)
}

// mayFree tells whether the allocation of a node may be deleted. Source: lifecycle reference §25.
func mayFree(tx *store.Tx, n *metal.Node) error {
	live, err := tx.LiveOperation(n.ID)
	switch {
	case err != nil:
		return err
	case live != nil:
		return locked(n, live)
	case n.Maintenance:
		return nil
	case n.ProvisionState == metal.Active:
		return fault.New(fault.Conflict, "The allocation of node %s cannot be deleted while the node is active: undeploy it (the verb deleted), which deletes the allocation too.", n.UUID)
	case n.TargetProvisionState != "" && !metal.States[n.ProvisionState].Patch:
		return fault.New(fault.Conflict, "The allocation of node %s cannot be deleted while the node is %s: please retry when that is over.", n.UUID, n.ProvisionState)
	}
	return nil
}

// quietStates are those in which what a node is for may change. Source: rest-api reference §2.4.
var quietStates = []metal.State{metal.Enroll, metal.Inspecting, metal.InspectWait, metal.Manageable, metal.Available}

// instanceLeaves deletes the allocation of a node whose instance a caller takes away.
func instanceLeaves(tx *store.Tx, before, n *metal.Node) error {
	if before.AllocationUUID == "" || before.InstanceUUID == "" || n.InstanceUUID != "" {
		return nil
	}
	if !slices.Contains(quietStates, before.ProvisionState) && !before.Maintenance {
		return fault.New(fault.Conflict, "Cannot remove instance_uuid of node %s in state %q: it belongs to allocation %s. Undeploy the node, or set it to maintenance first.",
			n.UUID, before.ProvisionState, before.AllocationUUID)
	}
	return tx.DeleteAllocationOf(before)
}

// ownerChange refuses to give a node that was allocated for an owner to another. Source: RBAC reference §6.
func ownerChange(tx *store.Tx, before, n *metal.Node) error {
	if before.AllocationUUID == "" || n.Owner == before.Owner {
		return nil
	}
	a, err := tx.AllocationOf(before)
	if err != nil || a.Owner == "" {
		return err
	}
	return fault.New(fault.Conflict, "Cannot change the owner of node %s: it was allocated (%s) for project %s.", n.UUID, a.UUID, a.Owner)
}
