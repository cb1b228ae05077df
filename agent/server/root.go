package server

import (
	"net/http"
)

// The documents that say what this API is. They need no token, and tell nothing about the machine.

type link struct {
	Href string `json:"href"`
	Rel  string `json:"rel"`
	Type string `json:"type,omitempty"`
}

func rootURL(r *http.Request) string {
	if r.TLS != nil {
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

func versionLinks(root string) []link {
	return []link{
		{Href: root + "/v1", Rel: "self"},
		{Href: "https://docs.openstack.org/ironic-python-agent/", Rel: "describedby", Type: "text/html"},
	}
}

func (s *Server) getRoot(w http.ResponseWriter, r *http.Request) {
	v1 := map[string]any{"id": "v1", "links": versionLinks(rootURL(r))}
	s.answer(w, map[string]any{
		"name":            "OpenStack Ironic Python Agent API",
		"description":     "Ingot agent, which speaks the API of Ironic Python Agent",
		"versions":        []any{v1},
		"default_version": v1,
	})
}

func (s *Server) getV1(w http.ResponseWriter, r *http.Request) {
	root := rootURL(r)
	both := func(name string) []link {
		return []link{{Href: root + "/v1/" + name, Rel: "self"}, {Href: root + "/" + name, Rel: "bookmark"}}
	}
	s.answer(w, map[string]any{
		"id":       "v1",
		"links":    versionLinks(root),
		"commands": both("commands"),
		"status":   both("status"),
		"media_types": []any{map[string]string{
			"base": "application/json", "type": "application/vnd.openstack.ironic-python-agent.v1+json"}},
	})
}

func (s *Server) getStatus(w http.ResponseWriter, r *http.Request) {
	s.answer(w, map[string]any{"started_at": float64(s.started.UnixMicro()) / 1e6, "version": s.version,
		"ingot_instance": s.instance}) // ours: see fence.go
}
