package api

import (
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/ops"
	"ingot/internal/wire"
)

func (c *call) listPorts() (answer, error) { return c.ports(false) }

func (c *call) detailPorts() (answer, error) { return c.ports(true) }

func (c *call) nodePorts() (answer, error) { return c.ports(false) }

func (c *call) nodePortsDetail() (answer, error) { return c.ports(true) }

func (c *call) portgroupPorts() (answer, error) { return c.ports(false) }

func (c *call) portgroupPortsDetail() (answer, error) { return c.ports(true) }

// ports lists ports, those of one node or port group if it is named by the path.
func (c *call) ports(all bool) (answer, error) {
	page, shape, err := listing(c, wire.PortFields, all)
	if err != nil {
		return answer{}, err
	}
	q, err := c.portQuery(page)
	if err != nil {
		return answer{}, err
	}
	if c.node() != "" {
		q.Node = c.node()
	}
	if g := c.r.PathValue("portgroup"); g != "" {
		q.Portgroup = g
	}
	found, err := c.s.Ports(c.r.Context(), c.caller(), q)
	if err != nil {
		return answer{}, err
	}
	out := make([]wire.Port, len(found))
	for i, p := range found {
		out[i] = c.portView(p)
	}
	next := ""
	if q.Address == "" {
		next = c.next(page, len(found), func() string { return found[len(found)-1].UUID })
	}
	return answer{status: http.StatusOK, raw: wire.AppendList(nil, "ports", out, shape, next)}, nil
}

func (c *call) portQuery(page ops.Page) (ops.PortQuery, error) {
	q := ops.PortQuery{Page: page, Node: c.param("node"), Portgroup: c.param("portgroup"), DescriptionContains: c.param("description_contains"),
		Shards: c.listParam("shard"), Groups: c.listParam("conductor_groups")}
	if q.Node == "" {
		q.Node = c.param("node_uuid")
	}
	given := 0
	for _, name := range []string{"node", "portgroup", "shard"} {
		if c.param(name) != "" {
			given++
		}
	}
	mac, isMAC := wire.ParseMAC(c.param("address"))
	switch {
	case given > 1:
		return q, fault.New(fault.Forbidden, "The parameters node, portgroup and shard exclude each other.")
	case q.Node != "" && !wire.IsIdent(q.Node):
		return q, invalid("Expected a UUID or name for node.")
	case q.Node != "" && !wire.IsUUID(q.Node) && c.minor < metal.SinceNodeNames:
		return q, wire.TooNew("Naming a node by its name", metal.SinceNodeNames, c.minor)
	case q.Portgroup != "" && !wire.IsIdent(q.Portgroup):
		return q, invalid("Expected a UUID or name for portgroup.")
	case c.has("address") && !isMAC:
		return q, invalid("Expected a MAC address for address.")
	case c.has("conductor_groups") && (q.Node != "" || q.Portgroup != "" || isMAC):
		return q, invalid("The parameter conductor_groups excludes node, portgroup and address.")
	}
	q.Address = mac
	return q, nil
}

func (c *call) portView(p *metal.Port) wire.Port {
	w := wire.Port{UUID: p.UUID, Address: p.Address, NodeUUID: p.NodeUUID, Name: p.Name, Extra: p.Extra, InternalInfo: maskSecrets(p.InternalInfo),
		LocalLinkConnection: p.LocalLinkConnection, PXEEnabled: p.PXEEnabled, PhysicalNetwork: p.PhysicalNetwork, IsSmartNIC: p.IsSmartNIC,
		PortgroupUUID: p.PortgroupUUID, Description: p.Description, Vendor: p.Vendor, Category: p.Category, AvailableForDynamicPortgroup: !p.Standalone,
		CreatedAt: wire.Time{Time: p.CreatedAt}, UpdatedAt: wire.Time{Time: p.UpdatedAt}, Links: wire.Links(c.base(), "ports/"+p.UUID)}
	w.At(c.minor)
	return w
}

func (c *call) onePort(status int, p *metal.Port, shape wire.Shape[wire.Port]) answer {
	w := c.portView(p)
	a := answer{status: status, raw: shape.Append(nil, &w)}
	if status == http.StatusCreated {
		a.location = "/v1/ports/" + p.UUID
	}
	return a
}

func (c *call) showPort() (answer, error) {
	shape, err := oneShape(c, wire.PortFields)
	if err != nil {
		return answer{}, err
	}
	p, err := c.s.Port(c.r.Context(), c.caller(), c.r.PathValue("port"))
	if err != nil {
		return answer{}, err
	}
	return c.onePort(http.StatusOK, p, shape), nil
}

// portSetters has every field of a port that a caller may give. TestSetters holds it against wire's table.
var portSetters = map[string]setter[metal.Port]{
	"address":               text(func(p *metal.Port) *string { return &p.Address }),
	"node_uuid":             text(func(p *metal.Port) *string { return &p.NodeUUID }),
	"name":                  text(func(p *metal.Port) *string { return &p.Name }),
	"extra":                 object(func(p *metal.Port) *map[string]any { return &p.Extra }),
	"local_link_connection": object(func(p *metal.Port) *map[string]any { return &p.LocalLinkConnection }),
	"pxe_enabled": {
		get: func(p *metal.Port) any { return p.PXEEnabled },
		set: func(p *metal.Port, v any) error {
			p.PXEEnabled = v != false // true unless it is said
			return nil
		},
	},
	"portgroup_uuid":   text(func(p *metal.Port) *string { return &p.PortgroupUUID }),
	"physical_network": text(func(p *metal.Port) *string { return &p.PhysicalNetwork }),
	"is_smartnic":      flag(func(p *metal.Port) *bool { return &p.IsSmartNIC }),
	"description":      text(func(p *metal.Port) *string { return &p.Description }),
	"vendor":           text(func(p *metal.Port) *string { return &p.Vendor }),
	"category":         text(func(p *metal.Port) *string { return &p.Category }),

	"available_for_dynamic_portgroup": {
		get: func(p *metal.Port) any { return !p.Standalone },
		set: func(p *metal.Port, v any) error {
			p.Standalone = v == false
			return nil
		},
	},
}

func (c *call) createPort() (answer, error) {
	body, err := c.object()
	if err != nil {
		return answer{}, err
	}
	p, err := c.readPort(body)
	if err != nil {
		return answer{}, err
	}
	made, err := c.s.CreatePort(c.r.Context(), c.caller(), p)
	if err != nil {
		return answer{}, err
	}
	return c.onePort(http.StatusCreated, made, wire.Full(wire.PortFields, c.minor)), nil
}

// readPort makes a port of a POST body.
func (c *call) readPort(body map[string]any) (*metal.Port, error) {
	p := &metal.Port{PXEEnabled: true}
	for key, v := range body {
		if key == "node_ident" {
			continue
		}
		f, ok := wire.Find(wire.PortFields, key)
		if !ok || !f.Is(wire.Create) {
			return nil, invalid("Schema error for port: %q cannot be given when a port is created.", clip(key))
		}
		if v != nil && f.Min > c.minor {
			return nil, wire.TooNew("Field "+key, f.Min, c.minor)
		}
		if name, ok := v.(string); key == "node_uuid" && ok && wire.IsName(name) && c.minor >= metal.SinceNodeNames {
			p.NodeUUID = name // python-ironicclient sends what --node was given, a name too
			continue
		}
		checked, err := f.Check(v)
		if err != nil {
			return nil, err
		}
		if key == "uuid" {
			p.UUID, _ = checked.(string)
		} else if v != nil {
			if err := portSetters[key].set(p, checked); err != nil {
				return nil, err
			}
		}
	}
	if p.Address == "" {
		return nil, invalid("Schema error for port: 'address' is a required property.")
	}
	if err := c.portNode(p, body["node_ident"]); err != nil {
		return nil, err
	}
	return p, checkPort(p, c.minor, body["physical_network"] == "", slices.Collect(maps.Keys(body))...)
}

// portNode reads which node a new port is of: exactly one of node_uuid and node_ident.
func (c *call) portNode(p *metal.Port, ident any) error {
	name, isText := ident.(string)
	switch {
	case ident != nil && c.minor < metal.SinceNodeIdent:
		return wire.TooNew("Field node_ident", metal.SinceNodeIdent, c.minor)
	case (ident != nil) == (p.NodeUUID != ""):
		return invalid("Schema error for port: exactly one of node_uuid and node_ident is required.")
	case ident != nil && (!isText || !wire.IsIdent(name)):
		return invalid("Expected a UUID or name for node_ident.")
	case ident != nil:
		p.NodeUUID = name
	}
	return nil
}

var switchID = regexp.MustCompile(`^([0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){5}|[0-9a-fA-F]{16})$`)

// checkPort judges what can only be judged as a whole. The roots are the fields that were given; a value that is only
// kept is not judged again. emptyNetwork: physical_network was given as "".
func checkPort(p *metal.Port, minor int, emptyNetwork bool, roots ...string) error {
	if emptyNetwork {
		return invalid("A non-empty value is required when setting physical_network.")
	}
	if slices.Contains(roots, "name") && p.Name != "" && !wire.IsName(p.Name) {
		return invalid("Cannot use name %q for a port: use letters, digits and . _ ~ -, at most 255.", clip(p.Name))
	}
	if slices.Contains(roots, "local_link_connection") {
		link, err := checkLink(p.LocalLinkConnection, minor)
		if err != nil {
			return err
		}
		p.LocalLinkConnection = link
	} else if !slices.Contains(roots, "is_smartnic") {
		return nil
	}
	if link := p.LocalLinkConnection; p.IsSmartNIC && (link["port_id"] == nil || link["hostname"] == nil) {
		return invalid("is_smartnic needs port_id and hostname in local_link_connection.")
	}
	return nil
}

// checkLink judges a local_link_connection and gives it in canonical form. Source: rest-api reference §4.
func checkLink(link map[string]any, minor int) (map[string]any, error) {
	if len(link) == 0 {
		return nil, nil
	}
	if err := unexpected(link, "port_id switch_id hostname switch_info network_type vtep-logical-switch vtep-physical-switch"); err != nil {
		text, _ := fault.PublicOf(err)
		return nil, invalid("Invalid local_link_connection: %s", text)
	}
	out := map[string]any{}
	for k, v := range link {
		s, ok := v.(string)
		if !ok {
			return nil, invalid("Invalid local_link_connection: %s must be a string.", k)
		}
		out[k] = s
	}
	has := func(keys ...string) bool {
		return !slices.ContainsFunc(keys, func(k string) bool { return out[k] == nil })
	}
	if id, ok := out["switch_id"].(string); ok {
		if !switchID.MatchString(id) {
			return nil, invalid("Invalid local_link_connection: switch_id must be a MAC address or a datapath id of 16 hexadecimal digits.")
		}
		out["switch_id"] = strings.ToLower(id)
	}
	vtep := has("vtep-logical-switch") || has("vtep-physical-switch")
	switch kind := out["network_type"]; {
	case kind != nil && minor < metal.SinceLinkTypes:
		return nil, wire.TooNew("local_link_connection/network_type", metal.SinceLinkTypes, minor)
	case kind != nil && kind != "managed" && kind != "unmanaged":
		return nil, invalid("Invalid local_link_connection: network_type must be managed or unmanaged.")
	case vtep && !wire.HasVTEP(minor):
		return nil, fault.New(fault.NotAcceptable, "The VTEP keys of local_link_connection exist in API versions 1.90 to 1.104 only.")
	case has("port_id", "switch_id"), has("port_id", "hostname"), has("port_id", "vtep-logical-switch", "vtep-physical-switch"), kind == "unmanaged":
		return out, nil
	}
	return nil, invalid("Invalid local_link_connection: it needs port_id and switch_id, or port_id and hostname, or network_type unmanaged.")
}

func (c *call) patchPort() (answer, error) {
	list, err := parsePatch(c.body, wire.PortFields, c.minor)
	if err != nil {
		return answer{}, err
	}
	empty := slices.ContainsFunc(list, func(o operation) bool { return o.path == "/physical_network" && o.value == "" })
	roots := make([]string, len(list))
	for i, o := range list {
		roots[i] = o.root
	}
	changed, err := c.s.UpdatePort(c.r.Context(), c.caller(), c.r.PathValue("port"), func(p *metal.Port) error {
		if err := applyPatch(p, list, wire.PortFields, portSetters); err != nil {
			return err
		}
		if p.NodeUUID == "" {
			return invalid("Schema error for port: 'node_uuid' is a required property.")
		}
		return checkPort(p, c.minor, empty, roots...)
	})
	if err != nil {
		return answer{}, err
	}
	return c.onePort(http.StatusOK, changed, wire.Full(wire.PortFields, c.minor)), nil
}

func (c *call) deletePort() (answer, error) {
	if err := c.s.DeletePort(c.r.Context(), c.caller(), c.r.PathValue("port")); err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusNoContent}, nil
}
