package api

import (
	"net/http"

	"ingot/internal/wire"
)

func (c *call) version() wire.VersionDoc {
	return wire.VersionDoc{ID: "v1", Links: []wire.Link{{Href: c.base() + "/v1/", Rel: "self"}}, Status: "CURRENT",
		Min: wire.Version(wire.MinMinor), Max: wire.Version(wire.MaxMinor)}
}

// root is GET /. Clients find the version range here.
func (c *call) root() (answer, error) {
	v := c.version()
	return answer{status: http.StatusOK, json: wire.Root{
		Name:           "OpenStack Ironic API", // clients look for it
		Description:    "Ingot provisions bare metal machines and speaks the Ironic API.",
		DefaultVersion: v, Versions: []wire.VersionDoc{v}}}, nil
}

// v1 is GET /v1: which resources there are.
func (c *call) v1() (answer, error) {
	doc := map[string]any{
		"id": "v1",
		"links": []wire.Link{{Href: c.base() + "/v1/", Rel: "self"},
			{Href: "https://docs.openstack.org/ironic/latest/contributor/webapi.html", Rel: "describedby", Type: "text/html"}},
		"media_types": map[string]string{"base": "application/json", "type": "application/vnd.openstack.ironic.v1+json"},
		"version":     c.version(),
	}
	for _, r := range []struct {
		name string
		min  int
	}{{"nodes", 1}, {"ports", 1}, {"drivers", 1}, {"chassis", 1}, {"portgroups", 23}, {"volume", 32}, {"conductors", 49},
		{"allocations", 52}, {"events", 54}, {"deploy_templates", 55}, {"shards", 82}, {"runbooks", 92}} {
		if c.minor >= r.min {
			doc[r.name] = wire.Links(c.base(), r.name+"/")
		}
	}
	if c.agents && c.minor >= 22 {
		doc["lookup"], doc["heartbeat"] = wire.Links(c.base(), "lookup/"), wire.Links(c.base(), "heartbeat/")
	}
	return answer{status: http.StatusOK, json: doc}, nil
}
