package api

import (
	"net/http"

	"ingot/internal/metal"
)

// doctor answers {"findings": [metal.Finding]}: what this server knows of the set-up.
func (c *call) doctor() (answer, error) {
	found, whole, err := c.s.Doctor(c.r.Context(), c.caller())
	if err != nil {
		return answer{}, err
	}
	if whole && c.o.Examine != nil {
		found = append(found, c.o.Examine(c.r.Context())...)
	}
	if found == nil {
		found = []metal.Finding{}
	}
	return answer{status: http.StatusOK, json: map[string]any{"findings": found}, private: true}, nil
}
