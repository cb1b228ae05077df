package api

import (
	"net/http"

	"ingot/internal/fault"
)

// dump answers what this process tells of its own inside, as plain text.
func (c *call) dump() (answer, error) {
	name := c.r.PathValue("dump")
	render, ok := c.o.Dumps[name]
	if !ok {
		return answer{}, fault.New(fault.NotFound, "This server has no dump called %s.", clip(name))
	}
	data, err := render()
	if err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusOK, raw: data, kind: "text/plain; charset=utf-8", private: true}, nil
}
