package api

import (
	"net/http"
	"strings"

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
	for name, min := range resources(c.table) {
		if c.minor >= min {
			doc[name] = wire.Links(c.base(), name+"/")
		}
	}
	return answer{status: http.StatusOK, json: doc}, nil
}

// resources are the first parts of paths under /v1 that upstream has, with the first version that has any of it.
func resources(table []route) map[string]int {
	out := map[string]int{}
	for _, rt := range table {
		rest, ok := strings.CutPrefix(rt.path, "/v1/")
		if !ok || strings.HasPrefix(string(rt.rule), "ingot:") {
			continue
		}
		name, _, _ := strings.Cut(rest, "/")
		if min, known := out[name]; !known || rt.min < min {
			out[name] = rt.min
		}
	}
	return out
}
