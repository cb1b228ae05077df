package api

import (
	"encoding/json"
	"net/http"

	"ingot/internal/agentapi"
	"ingot/internal/metal"
	"ingot/internal/ops"
	"ingot/internal/secret"
	"ingot/internal/wire"
)

// inventory is what the last inspection of a node found. Source: rest-api reference §3.10.
func (c *call) inventory() (answer, error) {
	found, err := c.s.Inventory(c.r.Context(), c.caller(), c.node())
	if err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusOK, json: struct {
		Inventory json.RawMessage `json:"inventory"`
		Plugins   json.RawMessage `json:"plugin_data"`
	}{found.Inventory, found.Plugins}}, nil
}

// continueInspection takes what a machine under inspection tells of itself. It has two forms: that of 1.1, which
// upstream's agents use (they send no version), and that of 1.84, whose answer is a lookup's.
func (c *call) continueInspection() (answer, error) {
	id := c.param("node_uuid")
	first := c.minor == wire.MinMinor
	if first && id != "" {
		return answer{}, notHere(tooOld(c.path, metal.SinceReportAnswer, c.minor).Public)
	}
	if id != "" && !wire.IsUUID(id) {
		return answer{}, invalid("Expected UUID for node_uuid.")
	}
	if len(c.body) == 0 {
		return answer{}, invalid("The request has no body: the inspection data is missing.")
	}
	found, err := c.s.ContinueInspection(c.r.Context(), ops.Inspected{Body: c.body, NodeUUID: id, Token: secret.New(c.r.Header.Get(agentapi.TokenHeader))})
	if err != nil {
		return answer{}, err
	}
	if first {
		return answer{status: http.StatusAccepted, private: true, json: map[string]string{"uuid": found.Node.UUID}}, nil
	}
	return answer{status: http.StatusAccepted, private: true, json: c.lookedUp(found)}, nil
}
