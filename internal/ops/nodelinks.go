package ops

import (
	"context"
	"slices"
	"strings"

	"github.com/google/uuid"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/store"
)

// link judges what a new or changed node refers to: its chassis must be there, and the node that it is a part of, which
// is then named by its UUID, must be one that the caller sees, of the same owner. before is nil for a new node.
func (c Caller) link(tx *store.Tx, before, n *metal.Node) error {
	if n.ChassisUUID != "" && (before == nil || n.ChassisUUID != before.ChassisUUID) {
		_, err := tx.Chassis(n.ChassisUUID)
		if fault.KindOf(err) == fault.NotFound {
			return fault.Wrap(fault.Invalid, err, "Chassis %s could not be found.", n.ChassisUUID)
		}
		if err != nil {
			return err
		}
	}
	if n.ParentNode == "" || before != nil && n.ParentNode == before.ParentNode {
		return nil
	}
	parent, err := c.moved(tx, n, "parent_node", n.ParentNode)
	if err == nil && parent.UUID == n.UUID {
		return fault.New(fault.Invalid, "Unable to apply the requested parent_node '%s'. Requested value was invalid.", n.ParentNode)
	}
	if err == nil {
		n.ParentNode = parent.UUID
	}
	return err
}

// Children lists the UUIDs of the nodes that are parts of a node: those that the caller may list.
func (s *Service) Children(ctx context.Context, c Caller, ident string) (parent string, out []string, err error) {
	mine, err := c.listing("node:list_all", "node:list")
	if err != nil {
		return "", nil, err
	}
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		n, err := c.node(tx, ident, "node:get")
		if err != nil {
			return err
		}
		parent = n.UUID
		found, err := tx.Nodes(store.NodeFilter{Equal: map[string]string{"parent_node": n.UUID}, Project: mine}, Page{})
		for _, child := range found {
			out = append(out, child.UUID)
		}
		return err
	})
	return parent, out, err
}

// refer finishes a filter by what a list's query says of other resources: a chassis that is not there is fault.NotFound, a
// parent that the caller may see may be named.
func (q NodeQuery) refer(tx *store.Tx, c Caller, f *store.NodeFilter) error {
	if q.ChassisUUID != "" {
		if _, err := tx.Chassis(q.ChassisUUID); err != nil {
			return err
		}
	}
	f.TopOnly = !q.Children && q.ParentNode == "" && q.InstanceUUID == ""
	if q.ParentNode == "" {
		return nil
	}
	f.Equal["parent_node"] = q.ParentNode
	if _, err := uuid.Parse(q.ParentNode); err == nil {
		return nil
	}
	n, err := c.node(tx, q.ParentNode)
	if fault.KindOf(err) == fault.NotFound { // then nothing is a part of it
		return nil
	}
	if err == nil {
		f.Equal["parent_node"] = n.UUID
	}
	return err
}

// asConfigured fills in what the configuration says of new nodes, and refuses what it forbids.
func (s *Service) asConfigured(n *metal.Node) error {
	if n.ResourceClass == "" {
		n.ResourceClass = s.config.ResourceClass
	}
	if n.ConductorGroup == "" {
		n.ConductorGroup = s.config.ConductorGroup
	}
	n.ConductorGroup = strings.ToLower(n.ConductorGroup)
	if mode := bootMode(n.Properties); mode != "" && slices.Contains(s.config.RefusedBootModes, mode) {
		return fault.New(fault.Invalid, "The boot mode %s is not allowed for new nodes of this server: properties/capabilities has boot_mode:%s.", mode, mode)
	}
	return nil
}

// bootMode is the boot_mode among the capabilities in a node's properties, "" for none.
func bootMode(properties map[string]any) string {
	text, _ := properties["capabilities"].(string)
	for pair := range strings.SplitSeq(text, ",") {
		if mode, ok := strings.CutPrefix(strings.TrimSpace(pair), "boot_mode:"); ok {
			return strings.TrimSpace(mode)
		}
	}
	return ""
}
