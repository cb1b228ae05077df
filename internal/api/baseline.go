package api

import "net/http"

// baseline answers metal.Baseline.
func (c *call) baseline() (answer, error) {
	b, err := c.s.Baseline(c.r.Context(), c.caller(), c.node())
	if err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusOK, json: b}, nil
}

// acceptBaseline makes what the last cleaning saw the baseline.
func (c *call) acceptBaseline() (answer, error) {
	if err := c.s.AcceptBaseline(c.r.Context(), c.caller(), c.node()); err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusNoContent}, nil
}
