package client

import (
	"context"
	"net/http"
)

// Server is one of our own servers.
type Server struct {
	Name             string   `json:"name"`
	Roles            []string `json:"roles"`
	Alive            bool     `json:"alive"`
	Group            string   `json:"conductor_group"`
	PeerURL          string   `json:"peer_url"`
	AgentURL         string   `json:"agent_url"`
	BootURL          string   `json:"boot_url"`
	Version          string   `json:"version"`
	CertificateUntil string   `json:"certificate_until"`
	UpdatedAt        string   `json:"updated_at"`
}

// Servers lists our own servers, dead ones too.
func (c *Client) Servers(ctx context.Context) ([]Server, error) {
	var doc struct {
		Servers []Server `json:"servers"`
	}
	return doc.Servers, c.get(ctx, "/ingot/v1/servers", nil, &doc)
}

// RevokeServer makes the other servers refuse the certificates of one.
func (c *Client) RevokeServer(ctx context.Context, name string) error {
	if name == "" {
		return missing("server")
	}
	return c.do(ctx, call{method: http.MethodDelete, path: "/ingot/v1/servers/" + seg(name)})
}
