package api

import (
	"encoding/json"
	"net/http"

	"ingot/internal/fault"
	"ingot/internal/metal"
)

func (c *call) vendorMethods() (answer, error) {
	found, err := c.s.VendorMethods(c.r.Context(), c.caller(), c.node())
	if err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusOK, json: found}, nil
}

// vendorCall is what a request asks of a vendor interface: the method in the path or in the query, and the body
// whatever it is.
func (c *call) vendorCall() (metal.VendorCall, error) {
	call := metal.VendorCall{Method: c.r.PathValue("method"), HTTP: c.r.Method}
	if call.Method == "" {
		call.Method = c.param("method")
	}
	if call.Method == "" {
		return call, invalid("Missing mandatory parameter: method")
	}
	if len(call.Method) > 255 {
		return call, invalid("The name of the method is longer than 255 bytes.")
	}
	if c.body != nil {
		if err := json.Unmarshal(c.body, &call.Args); err != nil {
			return call, badJSON(err)
		}
	}
	return call, nil
}

func (c *call) callVendor() (answer, error) {
	call, err := c.vendorCall()
	if err != nil {
		return answer{}, err
	}
	m, result, err := c.s.CallVendor(c.r.Context(), c.caller(), c.node(), call)
	if err != nil {
		return answer{}, err
	}
	text, plain := result.(string)
	switch {
	case m.Async:
		return answer{status: http.StatusAccepted, raw: []byte("null")}, nil
	case m.Attach && plain:
		return answer{status: http.StatusOK, raw: []byte(text), kind: "application/octet-stream"}, nil
	}
	raw, err := json.Marshal(result)
	return answer{status: http.StatusOK, raw: raw}, err
}

// driverVendorMethods: no hardware type of this server does anything without a node.
func (c *call) driverVendorMethods() (answer, error) {
	if _, err := c.driver(); err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusOK, json: map[string]metal.VendorMethod{}}, nil
}

func (c *call) callDriverVendor() (answer, error) {
	if _, err := c.driver(); err != nil {
		return answer{}, err
	}
	call, err := c.vendorCall()
	if err != nil {
		return answer{}, err
	}
	return answer{}, fault.New(fault.Invalid, "No handler for method %s", clip(call.Method))
}
