package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"mime"
	"slices"
	"strings"
)

// difference is one thing that the two answers to a request do not have alike.
type difference struct {
	section string
	place   string
	request string // "GET /v1/nodes/$a", as the script has it
	version string
	where   string // "status", "header Allow", "body", "body.nodes[].name"
	theirs  string
	ours    string
}

func (d difference) String() string {
	return fmt.Sprintf("%s @%s %s: Ironic %s, here %s", d.request, d.version, d.where, d.theirs, d.ours)
}

// headers are those that clients read. Lengths, dates and server names may differ.
var headers = []string{"X-OpenStack-Ironic-API-Version", "X-OpenStack-Ironic-API-Minimum-Version", "X-OpenStack-Ironic-API-Maximum-Version",
	"Content-Type", "Location", "Allow", "Vary", "WWW-Authenticate", "Retry-After"}

// sentences are keys whose text is for people: only whether there is one is compared.
var sentences = []string{"faultstring", "title", "reason", "last_error"}

const absent = "absent"

// compare lists the differences of two answers. One in the status hides all others: what follows is of another kind.
func compare(theirs, ours answer) []difference {
	if theirs.status != ours.status {
		return []difference{{where: "status", theirs: fmt.Sprint(theirs.status), ours: fmt.Sprint(ours.status)}}
	}
	var c comparison
	for _, name := range headers {
		c.values("header "+name, headerOf(theirs, name), headerOf(ours, name))
	}
	if (theirs.header.Get("OpenStack-Request-Id") == "") != (ours.header.Get("OpenStack-Request-Id") == "") {
		c.values("header OpenStack-Request-Id", theirs.header.Get("OpenStack-Request-Id"), ours.header.Get("OpenStack-Request-Id"))
	}
	switch {
	case theirs.kind != ours.kind:
		c.add("body", theirs.kind+" "+clip(theirs.text), ours.kind+" "+clip(ours.text))
	case theirs.kind == "JSON":
		c.trees("body", theirs.body, ours.body, theirs.status >= 400)
	case theirs.text != ours.text:
		c.add("body", clip(theirs.text), clip(ours.text))
	}
	return c
}

// headerOf is a header in the form that is compared: media types without parameters, lists in order.
func headerOf(a answer, name string) string {
	v := strings.Join(a.header.Values(name), ", ")
	switch name {
	case "Content-Type":
		if kind, _, err := mime.ParseMediaType(v); err == nil {
			return kind
		}
	case "Allow":
		list := strings.Split(v, ", ")
		slices.Sort(list)
		return strings.Join(list, ", ")
	}
	return v
}

type comparison []difference

func (c *comparison) add(where, theirs, ours string) {
	for _, d := range *c {
		if d.where == where && d.theirs == theirs && d.ours == ours {
			return // once for a list of many
		}
	}
	*c = append(*c, difference{where: where, theirs: theirs, ours: ours})
}

func (c *comparison) values(where, theirs, ours string) {
	if theirs == "" {
		theirs = absent
	}
	if ours == "" {
		ours = absent
	}
	if theirs != ours {
		c.add(where, theirs, ours)
	}
}

// trees compares two JSON documents. failed says that they are errors, whose description is a sentence.
func (c *comparison) trees(where string, theirs, ours any, failed bool) {
	if kindOf(theirs) != kindOf(ours) {
		c.add(where, render(theirs), render(ours))
		return
	}
	switch theirs := theirs.(type) {
	case map[string]any:
		c.objects(where, theirs, ours.(map[string]any), failed)
	case []any:
		other := ours.([]any)
		if len(theirs) != len(other) {
			c.add(where, render(theirs), render(ours))
			return
		}
		for i := range theirs {
			c.trees(where+"[]", theirs[i], other[i], failed)
		}
	default:
		if theirs != ours {
			c.add(where, render(theirs), render(ours))
		}
	}
}

func (c *comparison) objects(where string, theirs, ours map[string]any, failed bool) {
	keys := maps.Clone(theirs)
	maps.Copy(keys, ours)
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		t, has := theirs[k]
		o, have := ours[k]
		at := where + "." + k
		switch {
		case !has:
			c.add(at, absent, render(o))
		case !have:
			c.add(at, render(t), absent)
		case kindOf(t) == "string" && kindOf(o) == "string" && (slices.Contains(sentences, k) || failed && k == "description"):
		default:
			c.trees(at, t, o, failed)
		}
	}
}

func kindOf(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case string:
		return "string"
	case []any:
		return "list"
	case map[string]any:
		return "object"
	}
	return "number"
}

func render(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return clip(string(b))
}

func clip(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > 160 {
		return strings.ToValidUTF8(s[:160], "") + "…"
	}
	return s
}
