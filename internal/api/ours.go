package api

import (
	"net/http"
	"time"
	"unicode/utf8"

	"ingot/internal/metal"
	"ingot/internal/ops"
	"ingot/internal/wire"
)

// The four resources that Ironic does not have. Clients find them under /ingot/v1.

func (c *call) why() (answer, error) {
	w, err := c.s.Why(c.r.Context(), c.node())
	if err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusOK, json: w}, nil
}

// events answers {"events": [metal.HistoryEvent]}, oldest first, those after the one named by after.
func (c *call) events() (answer, error) {
	page, err := paging[wire.HistoryEntry](c, nil, rules{})
	if err != nil {
		return answer{}, err
	}
	after := c.param("after")
	if after != "" && !wire.IsUUID(after) {
		return answer{}, invalid("Expected UUID for after.")
	}
	list, err := c.s.History(c.r.Context(), c.node(), ops.HistoryQuery{Page: page, After: after})
	if err != nil {
		return answer{}, err
	}
	if list == nil {
		list = []metal.HistoryEvent{}
	}
	return answer{status: http.StatusOK, json: map[string]any{"events": list}}, nil
}

// logs answers {"logs": [{"name", "at", "size"}]}, newest first; size is bytes.
func (c *call) logs() (answer, error) {
	list, err := c.s.Logs(c.r.Context(), c.node())
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
	data, err := c.s.LogData(c.r.Context(), c.node(), c.r.PathValue("name"))
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
