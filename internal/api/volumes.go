package api

import (
	"net/http"

	"ingot/internal/metal"
	"ingot/internal/ops"
	"ingot/internal/policy"
	"ingot/internal/secret"
	"ingot/internal/wire"
)

var connectors = resource[metal.VolumeConnector, wire.VolumeConnector]{
	word: "volume connector", key: "connectors", path: "volume/connectors", fields: wire.VolumeConnectorFields,
	view: (*call).connectorView, needs: []string{"node_uuid", "type", "connector_id"},
	uuid: func(v *metal.VolumeConnector) *string { return &v.UUID },
	setters: map[string]setter[metal.VolumeConnector]{
		"node_uuid":    text(func(v *metal.VolumeConnector) *string { return &v.NodeUUID }),
		"type":         text(func(v *metal.VolumeConnector) *string { return &v.Type }),
		"connector_id": text(func(v *metal.VolumeConnector) *string { return &v.ConnectorID }),
		"extra":        object(func(v *metal.VolumeConnector) *map[string]any { return &v.Extra }),
	},
}

var targets = resource[metal.VolumeTarget, wire.VolumeTarget]{
	word: "volume target", key: "targets", path: "volume/targets", fields: wire.VolumeTargetFields,
	view: (*call).targetView, needs: []string{"node_uuid", "volume_type", "boot_index", "volume_id"},
	uuid: func(v *metal.VolumeTarget) *string { return &v.UUID },
	setters: map[string]setter[metal.VolumeTarget]{
		"node_uuid":   text(func(v *metal.VolumeTarget) *string { return &v.NodeUUID }),
		"volume_type": text(func(v *metal.VolumeTarget) *string { return &v.VolumeType }),
		"volume_id":   text(func(v *metal.VolumeTarget) *string { return &v.VolumeID }),
		"boot_index":  {get: func(v *metal.VolumeTarget) any { return v.BootIndex }, set: setBootIndex},
		"properties":  {get: func(v *metal.VolumeTarget) any { return v.Properties.Expose() }, set: setTargetProperties},
		"extra":       object(func(v *metal.VolumeTarget) *map[string]any { return &v.Extra }),
	},
}

func setBootIndex(v *metal.VolumeTarget, value any) error {
	n, ok := value.(int)
	if !ok { // below zero: never booted from; Nova passes on what its block device mappings have
		return invalid("Schema error for volume target: boot_index must be a whole number.")
	}
	v.BootIndex = n
	return nil
}

// setTargetProperties keeps what a caller sent masked as it is stored.
func setTargetProperties(v *metal.VolumeTarget, value any) error {
	m, _ := value.(map[string]any)
	if err := refuseMasked(m, v.Properties.Expose(), "properties"); err != nil {
		return err
	}
	if masked(m) {
		return invalid("A value inside properties is the mask that stands for a secret, and not a secret.")
	}
	v.Properties = secret.NewMap(m)
	return nil
}

func (c *call) connectorView(v *metal.VolumeConnector) wire.VolumeConnector {
	return wire.VolumeConnector{UUID: v.UUID, NodeUUID: v.NodeUUID, Type: v.Type, ConnectorID: v.ConnectorID, Extra: v.Extra,
		CreatedAt: wire.Time{Time: v.CreatedAt}, UpdatedAt: wire.Time{Time: v.UpdatedAt}, Links: wire.Links(c.base(), "volume/connectors/"+v.UUID)}
}

func (c *call) targetView(v *metal.VolumeTarget) wire.VolumeTarget {
	return wire.VolumeTarget{UUID: v.UUID, NodeUUID: v.NodeUUID, VolumeType: v.VolumeType, BootIndex: v.BootIndex, VolumeID: v.VolumeID,
		Properties: maskSecrets(v.Properties.Expose()), Extra: v.Extra, CreatedAt: wire.Time{Time: v.CreatedAt},
		UpdatedAt: wire.Time{Time: v.UpdatedAt}, Links: wire.Links(c.base(), "volume/targets/"+v.UUID)}
}

// volume is where volumes are. Under a node the node is not looked for, as upstream does.
func (c *call) volume() (answer, error) {
	if err := c.rights.Check("volume:get", policy.Target{}); err != nil {
		return answer{}, err
	}
	at := c.path[len("/v1/"):]
	return answer{status: http.StatusOK, json: map[string]any{"links": wire.Links(c.base(), at+"/"),
		"connectors": wire.Links(c.base(), at+"/connectors"), "targets": wire.Links(c.base(), at+"/targets")}}, nil
}

// volumeQuery reads what both lists take.
func (c *call) volumeQuery(page ops.Page) (q ops.VolumeQuery, err error) {
	q = ops.VolumeQuery{Page: page, Node: c.node()}
	if q.Node == "" {
		q.Node, err = c.nodeParam("node")
	}
	return q, err
}

func (c *call) listConnectors() (answer, error) {
	page, shape, err := listing(c, wire.VolumeConnectorFields, false)
	if err != nil {
		return answer{}, err
	}
	q, err := c.volumeQuery(page)
	if err != nil {
		return answer{}, err
	}
	found, err := c.s.Connectors(c.r.Context(), c.caller(), q)
	if err != nil {
		return answer{}, err
	}
	return connectors.page(c, page, shape, found, false), nil
}

func (c *call) showConnector() (answer, error) {
	return connectors.show(c, func() (*metal.VolumeConnector, error) {
		return c.s.Connector(c.r.Context(), c.caller(), c.r.PathValue("uuid"))
	})
}

func (c *call) createConnector() (answer, error) {
	v := &metal.VolumeConnector{}
	if err := connectors.read(c, v); err != nil {
		return answer{}, err
	}
	made, err := c.s.CreateConnector(c.r.Context(), c.caller(), v)
	if err != nil {
		return answer{}, err
	}
	return connectors.made(c, made), nil
}

func (c *call) patchConnector() (answer, error) {
	list, err := parsePatch(c.body, wire.VolumeConnectorFields, c.minor)
	if err != nil {
		return answer{}, err
	}
	changed, err := c.s.UpdateConnector(c.r.Context(), c.caller(), c.r.PathValue("uuid"), func(v *metal.VolumeConnector) error {
		return connectors.change(v, list)
	})
	if err != nil {
		return answer{}, err
	}
	return connectors.full(c, changed), nil
}

func (c *call) deleteConnector() (answer, error) {
	if err := c.s.DeleteConnector(c.r.Context(), c.caller(), c.r.PathValue("uuid")); err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusNoContent}, nil
}

func (c *call) listTargets() (answer, error) {
	page, shape, err := listing(c, wire.VolumeTargetFields, false)
	if err != nil {
		return answer{}, err
	}
	q, err := c.volumeQuery(page)
	if err != nil {
		return answer{}, err
	}
	found, err := c.s.Targets(c.r.Context(), c.caller(), q)
	if err != nil {
		return answer{}, err
	}
	return targets.page(c, page, shape, found, false), nil
}

func (c *call) showTarget() (answer, error) {
	return targets.show(c, func() (*metal.VolumeTarget, error) {
		return c.s.Target(c.r.Context(), c.caller(), c.r.PathValue("uuid"))
	})
}

func (c *call) createTarget() (answer, error) {
	v := &metal.VolumeTarget{}
	if err := targets.read(c, v); err != nil {
		return answer{}, err
	}
	made, err := c.s.CreateTarget(c.r.Context(), c.caller(), v)
	if err != nil {
		return answer{}, err
	}
	return targets.made(c, made), nil
}

func (c *call) patchTarget() (answer, error) {
	list, err := parsePatch(c.body, wire.VolumeTargetFields, c.minor)
	if err != nil {
		return answer{}, err
	}
	changed, err := c.s.UpdateTarget(c.r.Context(), c.caller(), c.r.PathValue("uuid"), func(v *metal.VolumeTarget) error {
		return targets.change(v, list)
	})
	if err != nil {
		return answer{}, err
	}
	return targets.full(c, changed), nil
}

func (c *call) deleteTarget() (answer, error) {
	if err := c.s.DeleteTarget(c.r.Context(), c.caller(), c.r.PathValue("uuid")); err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusNoContent}, nil
}
