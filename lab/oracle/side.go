package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"ingot/lab/beside"
)

const (
	requestLimit = time.Minute      // both servers answer within seconds; a hung one must not hang the run
	waitLimit    = 20 * time.Second // fake hardware is done at once; what fails stays as it is
	idleLimit    = 3 * time.Second  // a node that nobody works on for so long stays as it is
)

// side is one of the two servers, and what was kept of its answers.
type side struct {
	*beside.Server
	kept  map[string]string
	names map[string]string // UUID to the $name it was made of
	last  any               // body of the last answer
}

func newSide(s *beside.Server) *side {
	return &side{Server: s, kept: map[string]string{}, names: map[string]string{}}
}

// answer is what came back, with what is bound to differ taken out.
type answer struct {
	status int
	header http.Header
	kind   string // of the body: "none", "JSON" or "text"
	body   any    // of JSON
	text   string
}

// fill puts UUIDs and kept values where the script names them.
func (s *side) fill(text string) string {
	text = aName.ReplaceAllStringFunc(text, func(name string) string {
		id := uuidOf(name)
		s.names[id] = name
		return id
	})
	return aKept.ReplaceAllStringFunc(text, func(name string) string {
		if v, ok := s.kept[name[1:]]; ok {
			return v
		}
		return "not-given" // by this server
	})
}

func (s *side) send(ctx context.Context, st step, version string) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, requestLimit)
	defer cancel()
	var body io.Reader
	if st.body != "" {
		body = strings.NewReader(s.fill(st.body))
	}
	r, err := http.NewRequestWithContext(ctx, st.method, s.URL+s.fill(st.path), body)
	if err != nil {
		return answer{}, err
	}
	r.Header.Set("Accept", "application/json")
	// Ironic without authentication takes a caller for the administrator of no project, who may own nothing.
	r.Header.Set("OpenStack-System-Scope", "all")
	if body != nil {
		r.Header.Set("Content-Type", st.kind)
	}
	if std, ok := strings.CutPrefix(version, "std:"); ok {
		r.Header.Set("OpenStack-API-Version", "baremetal "+std)
	} else if version != "none" {
		r.Header.Set("X-OpenStack-Ironic-API-Version", version)
	}
	for _, h := range st.headers {
		r.Header.Set(h[0], h[1])
	}
	res, err := http.DefaultTransport.RoundTrip(r) // no redirects: they are answers, too
	if err != nil {
		return answer{}, fmt.Errorf("%s: %s: %w", s.Name, st.place, err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		return answer{}, fmt.Errorf("%s: %s: %w", s.Name, st.place, err)
	}
	return s.read(res, raw), nil
}

func (s *side) read(res *http.Response, raw []byte) answer {
	a := answer{status: res.StatusCode, header: res.Header, kind: "none"}
	if a.header.Get(maximum) != "" { // both say how far they go, which is not the same
		a.header.Set(maximum, "told")
	}
	for k, values := range a.header {
		for i := range values {
			a.header[k][i] = s.plain(values[i])
		}
	}
	s.last = nil
	if len(raw) == 0 {
		return a
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if d.Decode(&s.last) != nil {
		a.kind, a.text = "text", s.plain(string(raw))
		return a
	}
	a.kind, a.body = "JSON", s.tidy(s.last)
	return a
}

// tidy replaces what is bound to differ, and opens the document that errors carry in a string.
func (s *side) tidy(v any) any {
	switch v := v.(type) {
	case string:
		return s.plain(v)
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = s.tidy(v[i])
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			if text, ok := e.(string); ok && k == "error_message" {
				var inner any
				if json.Unmarshal([]byte(text), &inner) == nil {
					out[k] = s.tidy(inner)
					continue
				}
			}
			out[s.plain(k)] = s.tidy(e)
		}
		return out
	}
	return v
}

const maximum = "X-OpenStack-Ironic-API-Maximum-Version"

var (
	aUUID = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)
	aTime = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(\+00:00|Z)`)
)

func (s *side) plain(text string) string {
	text = strings.ReplaceAll(text, s.URL, "BASE")
	text = aUUID.ReplaceAllStringFunc(text, func(id string) string {
		if name, ok := s.names[id]; ok {
			return name
		}
		return "<uuid>"
	})
	return aTime.ReplaceAllStringFunc(text, func(t string) string {
		if strings.HasSuffix(t, "Z") {
			return "<time Z>" // another form of the same, and clients parse forms
		}
		return "<time>"
	})
}

// keep remembers what the last answer has at a path.
func (s *side) keep(name, path string) {
	v := s.last
	for key := range strings.SplitSeq(path, ".") {
		switch at := v.(type) {
		case map[string]any:
			v = at[key]
		case []any:
			i, err := strconv.Atoi(key)
			if err != nil || i >= len(at) {
				v = nil
			} else {
				v = at[i]
			}
		default:
			v = nil
		}
	}
	if text, ok := v.(string); ok {
		s.kept[name] = text
		s.names[text] = "%" + name
	}
}

// wait asks for a node's states until a field has a value and no operation holds the node. It gives up when there is no
// such node, or when nobody works on it.
func (s *side) wait(ctx context.Context, st step) error {
	ctx, cancel := context.WithTimeout(ctx, waitLimit)
	defer cancel()
	ask := step{method: http.MethodGet, place: st.place, path: "/v1/nodes/" + st.name +
		"?fields=reservation,target_provision_state,target_power_state,last_error," + st.field}
	for worked := time.Now(); ; {
		a, err := s.send(ctx, ask, newest)
		if err != nil {
			return err
		}
		node, _ := a.body.(map[string]any)
		if node["reservation"] == nil && fmt.Sprint(node[st.field]) == st.value {
			return nil
		}
		if node["reservation"] != nil || node["target_provision_state"] != nil || node["target_power_state"] != nil {
			worked = time.Now()
		}
		late := fmt.Errorf("%v (%v)", node[st.field], node["last_error"])
		if a.status != http.StatusOK {
			return fmt.Errorf("status %d", a.status)
		}
		if time.Since(worked) > idleLimit {
			return late
		}
		select {
		case <-ctx.Done():
			return late
		case <-time.After(50 * time.Millisecond): // between two looks
		}
	}
}
