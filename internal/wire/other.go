package wire

import (
	"encoding/json"
	"slices"
	"strings"
)

// Root is the answer of GET /.
type Root struct {
	Name           string       `json:"name"`
	Description    string       `json:"description"`
	DefaultVersion VersionDoc   `json:"default_version"`
	Versions       []VersionDoc `json:"versions"`
}

// VersionDoc describes one major version of the API. Min and Max are "1.N".
type VersionDoc struct {
	ID     string `json:"id"`
	Links  []Link `json:"links"`
	Status string `json:"status"`
	Min    string `json:"min_version"`
	Max    string `json:"version"`
}

// Conductor is one server that works on nodes. It has no UUID: the hostname identifies it.
type Conductor struct {
	Hostname       string   `json:"hostname"`
	ConductorGroup string   `json:"conductor_group"`
	Alive          bool     `json:"alive"`
	Drivers        []string `json:"drivers"`
	CreatedAt      Time     `json:"created_at"`
	UpdatedAt      Time     `json:"updated_at"`
	Links          []Link   `json:"links"`
}

// ConductorFields is every key of a conductor. Source: rest-api reference §8.
var ConductorFields = []Field[Conductor]{
	{Name: "hostname", Min: 49, Flags: Basic, Value: func(c *Conductor) any { return c.Hostname }},
	{Name: "conductor_group", Min: 49, Flags: Basic, Value: func(c *Conductor) any { return c.ConductorGroup }},
	{Name: "alive", Min: 49, Flags: Basic | Unsorted, Value: func(c *Conductor) any { return c.Alive }},
	{Name: "drivers", Min: 49, Flags: Unsorted, Value: func(c *Conductor) any { return c.Drivers }},
	{Name: "created_at", Min: 49, Value: func(c *Conductor) any { return c.CreatedAt }},
	{Name: "updated_at", Min: 49, Value: func(c *Conductor) any { return c.UpdatedAt }},
	{Name: "links", Min: 49, Flags: Basic | Unsorted, Value: func(c *Conductor) any { return c.Links }},
}

// HistoryEntry is one line of a node's history as Ironic's clients read it.
type HistoryEntry struct {
	UUID                 string `json:"uuid"`
	CreatedAt            Time   `json:"created_at"`
	Severity             string `json:"severity"` // ERROR or INFO
	Event                string `json:"event"`
	EventType            string `json:"event_type"`
	Conductor            string `json:"conductor"`
	User                 string `json:"user"`
	Project              string `json:"project"`
	State                string `json:"state"`
	TargetProvisionState string `json:"target_provision_state"`
	// Duration is seconds since the node entered the state it was in before; nil: unknown.
	Duration *float64 `json:"duration_seconds"`
	Links    []Link   `json:"links"`
}

// HistoryFields is every key of a history entry. Source: rest-api reference §3.11.
var HistoryFields = []Field[HistoryEntry]{
	{Name: "uuid", Min: 78, Flags: Basic, Value: func(e *HistoryEntry) any { return e.UUID }},
	{Name: "created_at", Min: 78, Flags: Basic, Value: func(e *HistoryEntry) any { return e.CreatedAt }},
	{Name: "severity", Min: 78, Flags: Basic, Value: func(e *HistoryEntry) any { return e.Severity }},
	{Name: "event", Min: 78, Flags: Basic, Value: func(e *HistoryEntry) any { return e.short() }},
	{Name: "event_type", Min: 78, Value: func(e *HistoryEntry) any { return &e.EventType }},
	{Name: "conductor", Min: 78, Value: func(e *HistoryEntry) any { return &e.Conductor }},
	{Name: "user", Min: 78, Value: func(e *HistoryEntry) any { return &e.User }},
	{Name: "project", Min: 113, Value: func(e *HistoryEntry) any { return &e.Project }},
	{Name: "state", Min: 115, Value: func(e *HistoryEntry) any { return &e.State }},
	{Name: "target_provision_state", Min: 115, Value: func(e *HistoryEntry) any { return &e.TargetProvisionState }},
	{Name: "duration_seconds", Min: 115, Value: func(e *HistoryEntry) any { return e.Duration }},
	{Name: "links", Min: 78, Flags: Basic | Unsorted, Value: func(e *HistoryEntry) any { return e.Links }},
}

// short cuts an event as upstream does: 251 characters and three dots when it is longer than 255.
func (e *HistoryEntry) short() string {
	if r := []rune(e.Event); len(r) > 255 {
		return string(r[:251]) + "..."
	}
	return e.Event
}

// Driver is one hardware type. Default and Enabled are keyed by interface kind ("boot", "deploy", …); on
// the wire they are the keys default_<kind>_interface and enabled_<kind>_interfaces.
type Driver struct {
	Name       string
	Hosts      []string
	Type       string
	Links      []Link
	Properties []Link
	Default    map[string]string
	Enabled    map[string][]string
}

// DriverFields is every key of a driver. Source: rest-api reference §7.
var DriverFields = driverFields()

func driverFields() []Field[Driver] {
	out := []Field[Driver]{
		{Name: "name", Min: 1, Flags: Basic, Value: func(d *Driver) any { return d.Name }},
		{Name: "hosts", Min: 1, Flags: Basic, Value: func(d *Driver) any { return d.Hosts }},
		{Name: "links", Min: 1, Flags: Basic, Value: func(d *Driver) any { return d.Links }},
		{Name: "properties", Min: 14, Flags: Basic, Value: func(d *Driver) any { return d.Properties }},
		{Name: "type", Min: 30, Flags: Basic, Value: func(d *Driver) any { return d.Type }},
	}
	since := map[string]int{"storage": 33, "rescue": 38, "bios": 40, "firmware": 86}
	for _, kind := range interfaceKinds {
		out = append(out,
			Field[Driver]{Name: "default_" + kind + "_interface", Min: max(30, since[kind]), Value: func(d *Driver) any {
				s := d.Default[kind]
				return &s
			}},
			Field[Driver]{Name: "enabled_" + kind + "_interfaces", Min: max(30, since[kind]), Value: func(d *Driver) any { return d.Enabled[kind] }})
	}
	return out
}

var interfaceKinds = []string{"bios", "boot", "console", "deploy", "firmware", "inspect", "management", "network",
	"power", "raid", "rescue", "storage", "vendor"}

// UnmarshalJSON reads a driver in any form.
func (d *Driver) UnmarshalJSON(b []byte) error {
	var plain struct {
		Name       string   `json:"name"`
		Hosts      []string `json:"hosts"`
		Type       string   `json:"type"`
		Links      []Link   `json:"links"`
		Properties []Link   `json:"properties"`
	}
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(b, &plain); err != nil {
		return err
	}
	if err := json.Unmarshal(b, &keys); err != nil {
		return err
	}
	*d = Driver{Name: plain.Name, Hosts: plain.Hosts, Type: plain.Type, Links: plain.Links, Properties: plain.Properties,
		Default: map[string]string{}, Enabled: map[string][]string{}}
	for k, v := range keys {
		if kind, ok := between(k, "default_", "_interface"); ok {
			var s string
			if err := json.Unmarshal(v, &s); err != nil {
				return err
			}
			d.Default[kind] = s
		}
		if kind, ok := between(k, "enabled_", "_interfaces"); ok {
			var s []string
			if err := json.Unmarshal(v, &s); err != nil {
				return err
			}
			d.Enabled[kind] = s
		}
	}
	return nil
}

// MarshalJSON renders the newest full form.
func (d Driver) MarshalJSON() ([]byte, error) {
	return Full(DriverFields, MaxMinor).Append(nil, &d), nil
}

func between(s, before, after string) (string, bool) {
	s, a := strings.CutPrefix(s, before)
	s, b := strings.CutSuffix(s, after)
	return s, a && b && slices.Contains(interfaceKinds, s)
}

// PatchOp is one operation of a PATCH body. Op is "add", "replace" or "remove" (without Value).
type PatchOp struct {
	Op    string `json:"op"`
	Path  string `json:"path"` // "/extra/rack"
	Value any    `json:"value"`
}

// MarshalJSON leaves the value out of a remove: the service refuses keys that mean nothing.
func (p PatchOp) MarshalJSON() ([]byte, error) {
	doc := map[string]any{"op": p.Op, "path": p.Path}
	if p.Op != "remove" {
		doc["value"] = p.Value
	}
	return json.Marshal(doc)
}

// List is a page of a collection under its key; Next is the URL of the following page, "" on the last.
type List[T any] struct {
	Items []T
	Next  string
}

// DecodeList reads a page whose items are under key ("nodes", "ports", …).
func DecodeList[T any](b []byte, key string) (List[T], error) {
	var out List[T]
	var doc map[string]json.RawMessage
	if err := json.Unmarshal(b, &doc); err != nil {
		return out, err
	}
	if err := json.Unmarshal(doc[key], &out.Items); doc[key] != nil && err != nil {
		return out, err
	}
	if doc["next"] != nil {
		return out, json.Unmarshal(doc["next"], &out.Next)
	}
	return out, nil
}

// AppendList renders a page: items in shape under key, and next unless it is "".
func AppendList[T any](b []byte, key string, items []T, shape Shape[T], next string) []byte {
	b = append(appendText(append(b, '{'), key), ':', '[')
	for i := range items {
		if i > 0 {
			b = append(b, ',')
		}
		if i == 1 { // the others are about as long as the first: growing step by step copies a long list many times
			b = slices.Grow(b, (len(items)-1)*(len(b)+len(b)/8))
		}
		b = shape.Append(b, &items[i])
	}
	b = append(b, ']')
	if next != "" {
		b = appendText(append(b, `,"next":`...), next)
	}
	return append(b, '}')
}
