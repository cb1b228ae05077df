package api

import (
	"net/http"

	"ingot/internal/metal"
)

// erasure answers {"certificates": [metal.ErasureRecord]}, newest first.
func (c *call) erasure() (answer, error) {
	list, err := c.s.Erasures(c.r.Context(), c.caller(), c.node())
	if err != nil {
		return answer{}, err
	}
	if list == nil {
		list = []metal.ErasureRecord{}
	}
	return answer{status: http.StatusOK, json: map[string]any{"certificates": list}}, nil
}

// erasureKeys answers {"keys": [metal.SigningKey]}, newest first: the public halves.
func (c *call) erasureKeys() (answer, error) {
	keys, err := c.s.ErasureKeys(c.r.Context(), c.caller())
	if err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusOK, json: map[string]any{"keys": keys}}, nil
}
