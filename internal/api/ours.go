package api

import (
	"net/http"
	"time"
	"unicode/utf8"

	"ingot/internal/metal"
	"ingot/internal/ops"
	"ingot/internal/wire"
)

// The resources that Ironic does not have: what a node is doing, and what became of it.

func (c *call) why() (answer, error) {
	w, err := c.s.Why(c.r.Context(), c.caller(), c.node())
	if err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusOK, json: w}, nil
}

// security answers metal.SecurityReport, as the BMC tells it now.
func (c *call) security() (answer, error) {
	r, err := c.s.Security(c.r.Context(), c.caller(), c.node())
	if err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusOK, json: r}, nil
}

// operation answers metal.Operation: the live operation of a node, or the last.
func (c *call) operation() (answer, error) {
	o, err := c.s.Operation(c.r.Context(), c.caller(), c.node())
	if err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusOK, json: o}, nil
}

// operations answers {"operations": [metal.Operation]}: the live ones, oldest first; marker is the UUID of the
// last one seen.
func (c *call) operations() (answer, error) {
	page, err := paging[wire.HistoryEntry](c, nil)
	if err != nil {
		return answer{}, err
	}
	q := ops.OperationQuery{State: metal.State(c.param("provision_state")), Event: c.param("waiting_for"), Holder: c.param("holder"),
		Marker: page.Marker, Limit: page.Limit}
	if _, known := metal.States[q.State]; q.State != "" && !known {
		return answer{}, invalid("There is no provision state %q.", clip(string(q.State)))
	}
	list, err := c.s.Operations(c.r.Context(), c.caller(), q)
	if err != nil {
		return answer{}, err
	}
	if list == nil {
		list = []*metal.Operation{}
	}
	return answer{status: http.StatusOK, json: map[string]any{"operations": list}}, nil
}

// logs answers {"logs": [{"name", "at", "size"}]}, newest first; size is bytes.
func (c *call) logs() (answer, error) {
	list, err := c.s.Logs(c.r.Context(), c.caller(), c.node())
	if err != nil {
		return answer{}, err
	}
	type row struct {
		Name string    `json:"name"`
		At   time.Time `json:"at"`
		Size int       `json:"size"`
	}
	rows := make([]row, len(list))
	for i, l := range list {
		rows[i] = row{l.Name, l.At.UTC(), l.Size}
	}
	return answer{status: http.StatusOK, json: map[string]any{"logs": rows}}, nil
}

// logData answers the newest file of that name as it is. What a machine printed is a stranger's text: the
// type is one that no browser runs.
func (c *call) logData() (answer, error) {
	data, err := c.s.LogData(c.r.Context(), c.caller(), c.node(), c.r.PathValue("name"))
	if err != nil {
		return answer{}, err
	}
	kind := "application/octet-stream"
	if utf8.Valid(data) {
		kind = "text/plain; charset=utf-8"
	}
	if data == nil {
		data = []byte{}
	}
	return answer{status: http.StatusOK, raw: data, kind: kind, private: true}, nil
}
