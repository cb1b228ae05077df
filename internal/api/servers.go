package api

import (
	"net/http"
	"time"
)

// serverView is one of our servers in an answer.
type serverView struct {
	Name             string     `json:"name"`
	Roles            []string   `json:"roles"`
	Alive            bool       `json:"alive"`
	Group            string     `json:"conductor_group"`
	PeerURL          string     `json:"peer_url"`
	AgentURL         string     `json:"agent_url"`
	BootURL          string     `json:"boot_url"`
	Version          string     `json:"version"`
	CertificateUntil *time.Time `json:"certificate_until"`
	UpdatedAt        time.Time  `json:"updated_at"`
}

func (c *call) listServers() (answer, error) {
	all, err := c.s.Servers(c.r.Context())
	if err != nil {
		return answer{}, err
	}
	out := make([]serverView, len(all))
	for i, s := range all {
		out[i] = serverView{Name: s.Name, Roles: s.Roles, Alive: s.Alive, Group: s.Group, PeerURL: s.PeerURL, AgentURL: s.AgentURL, BootURL: s.BootURL,
			Version: s.Version, UpdatedAt: s.UpdatedAt}
		if !s.CertificateUntil.IsZero() {
			out[i].CertificateUntil = &s.CertificateUntil
		}
	}
	return answer{status: http.StatusOK, json: map[string]any{"servers": out}}, nil
}

// revokeServer ends the trust in a server's certificates.
func (c *call) revokeServer() (answer, error) {
	if err := c.s.RevokeServer(c.r.Context(), c.caller(), c.r.PathValue("server")); err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusNoContent}, nil
}
