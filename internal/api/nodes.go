package api

import (
	"net/http"
	"slices"
	"strings"

	"ingot/internal/metal"
	"ingot/internal/ops"
	"ingot/internal/wire"
)

func (c *call) listNodes() (answer, error) { return c.nodes(false) }

func (c *call) detailNodes() (answer, error) { return c.nodes(true) }

func (c *call) chassisNodes() (answer, error) { return c.nodes(false) }

func (c *call) chassisNodesDetail() (answer, error) { return c.nodes(true) }

// children names the nodes that are parts of one.
func (c *call) children() (answer, error) {
	parent, found, err := c.s.Children(c.r.Context(), c.caller(), c.node())
	if err != nil {
		return answer{}, err
	}
	if found == nil {
		found = []string{}
	}
	return answer{status: http.StatusOK, json: map[string]any{"children": found,
		"links": wire.Link{Href: c.base() + "/v1/nodes?parent_node=" + parent, Rel: "children"}}}, nil
}

func (c *call) nodes(all bool) (answer, error) {
	page, shape, err := listing(c, wire.NodeFields, all)
	if err != nil {
		return answer{}, err
	}
	q, err := c.nodeQuery(page)
	if err != nil {
		return answer{}, err
	}
	q.Plain = !slices.ContainsFunc(shape, ofObject)
	found, err := c.s.Nodes(c.r.Context(), c.caller(), q)
	if err != nil {
		return answer{}, err
	}
	view := c.newNodeView(shape)
	if err := view.load(found...); err != nil {
		return answer{}, err
	}
	out := make([]wire.Node, 0, len(found))
	for _, n := range found {
		w, err := view.of(n)
		if err != nil {
			return answer{}, err
		}
		if only := c.param("conductor"); only == "" || w.Conductor == only {
			out = append(out, w)
		}
	}
	next := ""
	if q.InstanceUUID == "" {
		next = c.next(page, len(found), func() string { return found[len(found)-1].UUID })
	}
	return answer{status: http.StatusOK, raw: wire.AppendList(nil, "nodes", out, shape, next)}, nil
}

// faults are the values of a node's fault. Source: rest-api reference §2.1.
var faults = []string{"power failure", "clean failure", "rescue abort failure", "service failure"}

// nodeQuery reads the filters.
func (c *call) nodeQuery(page ops.Page) (q ops.NodeQuery, err error) {
	q = ops.NodeQuery{Page: page, InstanceUUID: c.param("instance_uuid"), ProvisionState: c.param("provision_state"),
		Driver: c.param("driver"), ResourceClass: c.param("resource_class"), Fault: c.param("fault"), Owner: c.param("owner"),
		Lessee: c.param("lessee"), Project: c.param("project"), DescriptionContains: c.param("description_contains"),
		InstanceName: c.param("instance_name"), OSDefinition: c.param("os_definition")}
	if q.InstanceUUID != "" && !wire.IsUUID(q.InstanceUUID) {
		return q, invalid("Expected UUID for instance_uuid.")
	}
	if _, ok := metal.States[metal.State(q.ProvisionState)]; q.ProvisionState != "" && !ok {
		return q, invalid("Provision state %q is not valid", clip(q.ProvisionState))
	}
	if q.Fault != "" && !slices.Contains(faults, q.Fault) {
		return q, invalid("Unrecognized fault %q is specified, allowed fault types are %s", clip(q.Fault), strings.Join(faults, ", "))
	}
	if c.has("conductor_group") {
		g := strings.ToLower(c.param("conductor_group"))
		q.ConductorGroup = &g
	}
	q.ChassisUUID = c.param("chassis_uuid")
	if id := c.r.PathValue("uuid"); id != "" { // of the path of a chassis
		q.ChassisUUID = id
	}
	if q.ChassisUUID != "" && !wire.IsUUID(q.ChassisUUID) {
		return q, invalid("Expected UUID for chassis_uuid.")
	}
	q.Shards, q.ParentNode = c.listParam("shard"), c.param("parent_node")
	var children *bool
	for name, to := range map[string]**bool{"associated": &q.Associated, "maintenance": &q.Maintenance, "retired": &q.Retired,
		"sharded": &q.Sharded, "include_children": &children} {
		if *to, err = c.boolParam(name); err != nil {
			return q, err
		}
	}
	q.Children = children != nil && *children
	return q, nil
}

func (c *call) showNode() (answer, error) {
	shape, err := oneShape(c, wire.NodeFields)
	if err != nil {
		return answer{}, err
	}
	n, err := c.s.Node(c.r.Context(), c.caller(), c.node(), "node:get")
	if err != nil {
		return answer{}, err
	}
	return c.oneNode(http.StatusOK, n, shape)
}

// oneNode answers with a single node.
func (c *call) oneNode(status int, n *metal.Node, shape wire.Shape[wire.Node]) (answer, error) {
	view := c.newNodeView(shape)
	if err := view.load(n); err != nil {
		return answer{}, err
	}
	w, err := view.of(n)
	if err != nil {
		return answer{}, err
	}
	a := answer{status: status, raw: shape.Append(nil, &w)}
	if status == http.StatusCreated {
		a.location = "/v1/nodes/" + n.UUID
	}
	return a, nil
}

func (c *call) createNode() (answer, error) {
	body, err := c.object()
	if err != nil {
		return answer{}, err
	}
	n, err := c.readNode(body)
	if err != nil {
		return answer{}, err
	}
	made, err := c.s.CreateNode(c.r.Context(), c.caller(), n)
	if err != nil {
		return answer{}, err
	}
	return c.oneNode(http.StatusCreated, made, wire.Full(wire.NodeFields, c.minor))
}

// acceptedOnCreate are fields that upstream takes from a POST and does nothing with.
var acceptedOnCreate = []string{"console_enabled", "boot_mode", "secure_boot"}

// readNode makes a node of a POST body. All that is wrong in itself is refused here.
func (c *call) readNode(body map[string]any) (*metal.Node, error) {
	n := &metal.Node{}
	if body["driver"] == nil {
		return nil, invalid("Schema error for node: 'driver' is a required property.")
	}
	for key, v := range body {
		f, ok := wire.Find(wire.NodeFields, key)
		if !ok || !f.Is(wire.Create) && !slices.Contains(acceptedOnCreate, key) {
			return nil, invalid("Schema error for node: %q cannot be given when a node is created.", clip(key))
		}
		if v != nil && f.Min > c.minor && !(key == "conductor_group" && v == "") {
			return nil, wire.TooNew("Field "+key, f.Min, c.minor)
		}
		checked, err := f.Check(v)
		if err != nil {
			return nil, err
		}
		switch {
		case slices.Contains(acceptedOnCreate, key):
		case key == "uuid":
			n.UUID, _ = checked.(string)
		default:
			if err := nodeSetters[key].set(n, checked); err != nil {
				return nil, err
			}
		}
	}
	if n.Name != "" || body["name"] == "" {
		if err := wire.CheckNodeName(n.Name, c.minor); err != nil {
			return nil, err
		}
	}
	if n.RetiredReason != "" && !n.Retired {
		return nil, invalid("retired_reason can only be set when retired is true.")
	}
	if err := c.checkNetworkData(n.NetworkData); err != nil {
		return nil, err
	}
	return n, refuseMasked(n.DriverInfo.Expose(), nil, "driver_info")
}

func (c *call) deleteNode() (answer, error) {
	if err := c.s.DeleteNode(c.r.Context(), c.caller(), c.node()); err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusNoContent}, nil
}

func (c *call) validateNode() (answer, error) { return c.validate(c.node()) }

// validateNamed is GET /v1/nodes/validate?node=, an old spelling.
func (c *call) validateNamed() (answer, error) {
	ident := c.param("node")
	if ident == "" {
		ident = c.param("node_uuid")
	}
	switch {
	case !wire.IsIdent(ident):
		return answer{}, invalid("Name the node to validate with ?node=.")
	case c.minor < metal.SinceNodeNames && !wire.IsUUID(ident):
		return answer{}, wire.TooNew("Naming a node by its name", metal.SinceNodeNames, c.minor)
	}
	return c.validate(ident)
}

func (c *call) validate(ident string) (answer, error) {
	v, err := c.s.Validate(c.r.Context(), c.caller(), ident)
	if err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusOK, json: v}, nil
}
