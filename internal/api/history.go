package api

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"time"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/ops"
	"ingot/internal/wire"
)

// pageOf sorts and cuts a list that is always read whole: there are few conductors.
func pageOf(all []ops.Conductor, p ops.Page) ([]ops.Conductor, error) {
	key := func(k ops.Conductor) string {
		switch p.SortKey {
		case "conductor_group":
			return k.Group
		case "created_at":
			return k.CreatedAt.UTC().Format(time.RFC3339Nano)
		case "updated_at":
			return k.UpdatedAt.UTC().Format(time.RFC3339Nano)
		}
		return k.Hostname
	}
	slices.SortStableFunc(all, func(a, b ops.Conductor) int {
		if p.SortDir == "desc" {
			a, b = b, a
		}
		return cmp.Or(strings.Compare(key(a), key(b)), strings.Compare(a.Hostname, b.Hostname))
	})
	if p.Marker != "" {
		i := slices.IndexFunc(all, func(k ops.Conductor) bool { return k.Hostname == p.Marker })
		if i < 0 {
			return nil, fault.New(fault.NotFound, "The marker %s could not be found.", clip(p.Marker))
		}
		all = all[i+1:]
	}
	return all[:min(len(all), p.Limit)], nil
}

// historyEntry shows one event as Ironic's clients know them. The user is who asked for the operation, the
// conductor who acted; what a caller did without one has no conductor.
func (c *call) historyEntry(node string, e ops.Record) wire.HistoryEntry {
	w := wire.HistoryEntry{UUID: e.UUID, CreatedAt: wire.Time{Time: e.At}, Severity: e.Severity, Event: e.Why, EventType: e.Kind,
		State: string(e.To), User: e.User, Links: []wire.Link{{Href: c.base() + "/v1/nodes/" + node + "/history/" + e.UUID, Rel: "self"}}}
	if e.Verb != "" {
		w.EventType = e.Verb
	}
	if e.Kind != "request" && e.Who != operator && e.Who != e.User { // a caller's own events are known by who asked for the operation
		w.Conductor = e.Who
	} else {
		w.User = e.Who
	}
	w.User, w.Project = userAndProject(w.User)
	if e.To != "" {
		w.TargetProvisionState = string(metal.Target(e.To, ""))
	}
	if !e.Before.IsZero() {
		took := e.At.Sub(e.Before).Seconds()
		w.Duration = &took
	}
	return w
}

func (c *call) listHistory() (answer, error) { return c.history(false) }

// detailHistory is what python-ironicclient asks for in place of ?detail=true.
// Source: python-ironicclient 5.0, ironicclient/v1/node.py, get_history_list.
func (c *call) detailHistory() (answer, error) { return c.history(true) }

func (c *call) history(all bool) (answer, error) {
	page, shape, err := listing(c, wire.HistoryFields, all)
	if err != nil {
		return answer{}, err
	}
	switch page.SortKey {
	case "", "created_at":
		page.SortKey = "" // the order of insertion is the order of time
	case "severity", "id":
	default:
		return answer{}, invalid("The sort_key value %q is an invalid field for sorting", clip(page.SortKey))
	}
	found, err := c.s.History(c.r.Context(), c.caller(), c.node(), page)
	if err != nil {
		return answer{}, err
	}
	out := make([]wire.HistoryEntry, len(found))
	for i, e := range found {
		out[i] = c.historyEntry(c.node(), e)
	}
	next := c.next(page, len(found), func() string { return found[len(found)-1].UUID })
	return answer{status: http.StatusOK, raw: wire.AppendList(nil, "history", out, shape, next)}, nil
}

// showHistory is one record of a node; another node's is not found.
func (c *call) showHistory() (answer, error) {
	e, err := c.s.Record(c.r.Context(), c.caller(), c.node(), c.r.PathValue("uuid"))
	if err != nil {
		return answer{}, err
	}
	w := c.historyEntry(c.node(), e)
	return answer{status: http.StatusOK, raw: wire.Full(wire.HistoryFields, c.minor).Append(nil, &w)}, nil
}
