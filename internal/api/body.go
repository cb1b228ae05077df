package api

import (
	"cmp"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"

	"ingot/internal/agentapi"
	"ingot/internal/fault"
)

// Limits of one field of a node, patched: what upstream allows a request, whatever this server allows.
const (
	maxBody  = 1 << 20
	maxDepth = 25
)

// maxBundle is a packed OS definition in base64, and what is said of it.
const maxBundle = 12 << 20

// BodyLimits are what a request may carry, in bytes and in levels of JSON. Zero means upstream's.
type BodyLimits struct {
	Depth                       int
	Size, Provision, Inspection int64
}

// fill puts upstream's limits in the place of zeros. Source: rest-api reference §1.4.
func (l *BodyLimits) fill() {
	l.Depth = cmp.Or(l.Depth, maxDepth)
	l.Size, l.Provision, l.Inspection = cmp.Or(l.Size, int64(maxBody)), cmp.Or(l.Provision, agentapi.MaxConfigDrive), cmp.Or(l.Inspection, agentapi.MaxReport)
}

// together is how much of large bodies all requests of a door may hold at a time.
func (l *BodyLimits) together() int64 { return 4 * max(l.Size, l.Provision, l.Inspection, maxBundle) }

// of is the limit of one route.
func (l *BodyLimits) of(c size) int64 {
	switch c {
	case provisionSize:
		return l.Provision
	case inspectionSize:
		return l.Inspection
	case bundleSize:
		return maxBundle
	}
	return l.Size
}

// size is a class of bodies.
type size int

const (
	usualSize      size = iota
	provisionSize       // states/provision carries config drives
	inspectionSize      // continue_inspection carries what a machine is
	bundleSize          // os_definitions carries files
)

// readBody takes the body in, within the route's limit and checked for depth, before anything parses it.
// GET and DELETE have none: what a client sends with them is left unread.
func (c *call) readBody(rt route) error {
	if rt.method == http.MethodGet || rt.method == http.MethodDelete {
		return nil
	}
	limit := c.o.Body.of(rt.limit)
	if c.r.ContentLength > limit {
		return tooLarge(limit)
	}
	body, err := c.readWithin(http.MaxBytesReader(c.w, c.r.Body, limit))
	var over *http.MaxBytesError
	switch {
	case errors.Is(err, errCrowded):
		return fault.Wrap(fault.Unavailable, err, "Too many large requests are in work; try again in a moment.")
	case errors.As(err, &over):
		return tooLarge(limit)
	case err != nil:
		return fault.Wrap(fault.Invalid, err, "The request body could not be read to its end.")
	}
	if len(strings.TrimSpace(string(body))) == 0 {
		return nil
	}
	// A web page can make a browser send anything anywhere, but not with this type unless we say so: it is
	// what protects an API without authentication on a loopback address. PATCH never comes unasked.
	if rt.method != http.MethodPatch && !rt.untold && !isJSON(c.r.Header.Get("Content-Type")) {
		return fault.New(fault.Invalid, "The request has a body that does not say it is JSON: send the header Content-Type: application/json.")
	}
	if deeper(body, c.o.Body.Depth) {
		return fault.New(fault.Invalid, "The JSON in the request body is nested too deeply: at most %d levels are allowed.", c.o.Body.Depth)
	}
	c.body = body
	return nil
}

// errCrowded: what is large of all requests together would be too much.
var errCrowded = errors.New("no room for another large body")

// readWithin reads a body. What is beyond a usual one's size is counted for all requests of this door together, until each is
// answered: strangers with large bodies take memory from each other, not from the machine.
func (c *call) readWithin(r io.Reader) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r, maxBody))
	for read := len(body); err == nil && read == maxBody; {
		if c.large.Add(maxBody) > c.largeLimit {
			c.large.Add(-maxBody)
			return nil, errCrowded
		}
		c.held += maxBody
		var more []byte
		more, err = io.ReadAll(io.LimitReader(r, maxBody))
		read, body = len(more), append(body, more...)
	}
	return body, err
}

func tooLarge(limit int64) error {
	return fault.New(fault.TooLarge, "Request body is too large: at most %d KiB are allowed here.", limit>>10)
}

func isJSON(contentType string) bool {
	kind, _, err := mime.ParseMediaType(contentType)
	return err == nil && (kind == "application/json" || strings.HasSuffix(kind, "+json"))
}

// deeper tells whether JSON text nests more than limit levels. It looks at brackets outside strings only, so
// it is right for valid JSON and harmless for other bytes.
func deeper(text []byte, limit int) bool {
	depth, quoted, escaped := 0, false, false
	for _, b := range text {
		switch {
		case escaped:
			escaped = false
		case quoted:
			escaped, quoted = b == '\\', b != '"'
		case b == '"':
			quoted = true
		case b == '{' || b == '[':
			if depth++; depth > limit {
				return true
			}
		case b == '}' || b == ']':
			depth--
		}
	}
	return false
}

// object parses the body as one JSON object.
func (c *call) object() (map[string]any, error) {
	if c.body == nil {
		return nil, fault.New(fault.Invalid, "The request needs a JSON object as its body.")
	}
	var v any
	if err := json.Unmarshal(c.body, &v); err != nil {
		return nil, badJSON(err)
	}
	m, ok := v.(map[string]any)
	if !ok {
		return nil, fault.New(fault.Invalid, "The request body must be a JSON object.")
	}
	return m, nil
}

func badJSON(err error) error {
	var at *json.SyntaxError
	if errors.As(err, &at) {
		return fault.New(fault.Invalid, "The request body is not valid JSON: %v, at byte %d.", at, at.Offset)
	}
	return fault.Wrap(fault.Invalid, err, "The request body is not valid JSON.")
}

// args merges the body's keys with the query's, which action endpoints take alike; the body wins. Keys the
// route does not know, or the request is too old for, are refused. A missing body is an empty one.
func (c *call) args(rt string) (map[string]any, error) {
	out := map[string]any{}
	for k, v := range c.query {
		out[k] = v[len(v)-1]
	}
	if c.body != nil {
		m, err := c.object()
		if err != nil {
			return nil, err
		}
		for k, v := range m {
			out[k] = v
		}
	}
	if err := unexpected(out, rt); err != nil {
		return nil, err
	}
	for name, v := range out {
		if p := parameterOf(c.route, name); v != nil && !p.late {
			if err := p.tooNew(c.minor); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// textArg takes a string argument; a missing or null one is an error if need is set, else "".
func textArg(args map[string]any, name string, need bool) (string, error) {
	switch v := args[name].(type) {
	case nil:
		if need {
			return "", fault.New(fault.Invalid, "Missing mandatory parameter: %s", name)
		}
		return "", nil
	case string:
		return v, nil
	default:
		return "", fault.New(fault.Invalid, "Invalid input for %s: it must be a string.", name)
	}
}
