package api

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"path"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/ops"
	"ingot/internal/policy"
	"ingot/internal/wire"
)

// call is one request on its way through this room.
type call struct {
	*api
	w        http.ResponseWriter
	r        *http.Request
	whole    *http.Request  // as it came, without the limit of one request
	id       string         // request id
	trace    string         // where the request is in a trace, as W3C\'s traceparent; "" for nowhere
	route    string         // the template of the route that took it, "" for none
	hosted   bool           // as of the route
	minor    int            // microversion in effect
	who      policy.Caller  // who asks; nobody on public paths
	rights   *policy.Rights // what the caller may do; set once the route is known
	path     string         // as routed: with /v1, without trailing slash and stripped suffix
	stripped bool           // a ".json" was taken off the path
	query    url.Values
	body     []byte // empty if there is none
	held     int64  // bytes of it that count as large
	status   int
	err      error // what the access log tells besides the status

	conductors []ops.Conductor // loaded when first needed
}

// answer is what a handler wants to be sent. Without json and raw there is no body.
type answer struct {
	status                int
	json                  any
	raw                   []byte // a body that is rendered already
	kind                  string // its Content-Type; "" means application/json
	location              string // path under the base, "" for none
	allow                 string
	challenge, retryAfter string // headers of refusals, "" for none
	private               bool   // must not be kept by anybody on the way
	sent                  bool   // the handler has written it itself
}

// ServeHTTP is the whole way of a request: everything before the route is known happens here, the rest in
// entry.serve.
func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	trace, answered := "", func(string, int) {}
	if a.o.Watch != nil {
		var watched context.Context
		watched, trace, answered = a.o.Watch(r)
		r = r.WithContext(watched)
	}
	ctx, cancel := context.WithTimeout(r.Context(), a.o.RequestLimit)
	defer cancel()
	// Errors here mean the connection cannot have deadlines (a test's recorder): then only ctx limits it.
	_ = http.NewResponseController(w).SetReadDeadline(start.Add(a.o.RequestLimit))

	c := &call{api: a, w: w, r: r.WithContext(ctx), whole: r, trace: trace, id: "req-" + uuid.NewString()}
	h := w.Header()
	h.Set(wire.HeaderRequest, c.id)
	h.Set(wire.HeaderRequestX, c.id)
	h.Set(wire.HeaderMin, wire.Version(wire.MinMinor))
	h.Set(wire.HeaderMax, wire.Version(wire.MaxMinor))
	h.Set("X-Content-Type-Options", "nosniff")
	defer func() {
		if p := recover(); p != nil {
			a.o.Log.Error("request panicked", "request", c.id, "panic", p, "stack", string(debug.Stack()))
			if c.status == 0 {
				c.send(answer{status: http.StatusInternalServerError, json: wire.NewError(http.StatusInternalServerError, internalText(c.id))})
			}
		}
		a.large.Add(-c.held)
		c.log(time.Since(start))
		answered(c.route, c.status)
	}()
	if err := c.begin(); err != nil {
		c.fail(err)
		return
	}
	a.mux.ServeHTTP(exchange{w, c}, c.r)
}

// exchange carries the call through the mux, which knows only the two arguments of ServeHTTP.
type exchange struct {
	http.ResponseWriter
	*call
}

// begin finds the version in effect and the path to route.
func (c *call) begin() error {
	if c.o.LocalOnly {
		if err := checkLocal(c.r); err != nil {
			return err
		}
	}
	if err := c.allow(); err != nil {
		return err
	}
	if err := c.identify(); err != nil {
		return err
	}
	legacy := c.r.Header.Get(wire.HeaderVersion)
	minor, err := wire.Negotiate(c.r.Header.Values(wire.HeaderStandard), legacy)
	if err != nil {
		return err
	}
	c.minor = minor
	c.w.Header().Set(wire.HeaderVersion, wire.Version(minor))

	if c.query, err = url.ParseQuery(c.r.URL.RawQuery); err != nil {
		return fault.New(fault.Invalid, "The query string is not valid: %v.", err)
	}
	p := path.Clean("/" + c.r.URL.EscapedPath())
	if s, ok := strings.CutSuffix(p, ".json"); ok && p != "/openapi.json" && legacy != "" && minor < metal.SinceSuffixes && !strings.EqualFold(legacy, "latest") {
		p, c.stripped = s, true
	}
	if first, _, _ := strings.Cut(p[1:], "/"); first != "" && first != "v1" && first != "ingot" && first != "openapi.json" {
		p = "/v1" + p
	}
	plain, err := url.PathUnescape(p)
	if err != nil {
		return &routeError{status: http.StatusBadRequest, text: "The path is not valid: " + err.Error()}
	}
	c.path = p
	u := *c.r.URL
	u.Path, u.RawPath = plain, p
	c.r.URL = &u // c.r is a copy already: WithContext made it
	return nil
}

// entry is the routes of one path, by method.
type entry map[string]route

func (e entry) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := w.(exchange).call
	c.r = r
	a, err := e.serve(c)
	if err != nil {
		c.fail(err)
		return
	}
	c.send(a)
}

func (e entry) serve(c *call) (answer, error) {
	method := c.r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	rt, ok := e[method]
	if !ok {
		return answer{}, e.notAllowed(c.r.Method)
	}
	c.route, c.hosted = rt.path, rt.hosted
	if c.minor < rt.min && (!rt.first || c.minor > wire.MinMinor) {
		return answer{}, rt.hidden(c, e)
	}
	c.who.IsPublicAPI = rt.public()
	c.rights = c.o.Rules().For(c.who)
	if !policy.HasObject(rt.rule) {
		if err := c.rights.Check(rt.rule, policy.Target{}); err != nil {
			return answer{}, err
		}
	}
	if err := c.checkIdent(rt); err != nil {
		return answer{}, err
	}
	if err := rt.checkQuery(c.query, c.minor); err != nil {
		return answer{}, err
	}
	if err := c.readBody(rt); err != nil {
		return answer{}, err
	}
	a, err := rt.do(c)
	if err == nil && !c.rights.Asked(rt.rule) { // what was done without asking must not be shown either
		return answer{}, fmt.Errorf("%s %s was answered without judging its rule %s", rt.method, rt.path, rt.rule)
	}
	return a, err
}

func (e entry) notAllowed(method string) *routeError {
	allow := make([]string, 0, len(e)+1)
	for m := range e {
		allow = append(allow, m)
		if m == http.MethodGet {
			allow = append(allow, http.MethodHead)
		}
	}
	slices.Sort(allow)
	list := strings.Join(allow, ", ")
	return &routeError{status: http.StatusMethodNotAllowed, allow: list,
		text: "The method " + clip(method) + " is not allowed here. Allowed: " + list + "."}
}

// checkIdent refuses what cannot be an identifier, so that no stranger's text reaches a query. Names of
// nodes came with 1.5: before, one is as good as unknown.
func (c *call) checkIdent(rt route) error {
	for _, key := range []string{"node", "port", "portgroup", "uuid", "allocation", "runbook"} {
		if !strings.Contains(rt.path, "{"+key+"}") {
			continue
		}
		v := c.r.PathValue(key)
		switch {
		case key == "node" && !wire.IsIdent(v):
			return &routeError{status: http.StatusBadRequest, text: "Expected a UUID or name, and got " + strconv.Quote(clip(v)) + "."}
		case key == "uuid" && !wire.IsUUID(v):
			return invalid("Expected a UUID, and got %q.", clip(v))
		case !wire.IsIdent(v):
			return invalid("Expected a UUID or name, and got %q.", clip(v))
		case key == "node" && c.minor < metal.SinceNodeNames && !wire.IsUUID(v) && !strings.HasPrefix(string(rt.rule), "ingot:"):
			return fault.New(fault.NotFound, "Node %s could not be found. Names of nodes need API version 1.5 or newer.", v)
		case key == "node" && !wire.IsUUID(v) && !wire.IsNodeName(v, c.minor) && !strings.HasPrefix(string(rt.rule), "ingot:"):
			return invalid("Expected a UUID or name of a node, and got %q. Before API version 1.10 names are like those of hosts.", clip(v))
		}
	}
	if c.stripped {
		return c.unstrip(rt)
	}
	return nil
}

// unstrip gives what is really named like "a.json" its suffix back, where a path ends in its name.
func (c *call) unstrip(rt route) error {
	ctx := c.r.Context()
	for key, look := range map[string]func(ident string) error{
		"node":      func(ident string) error { _, err := c.s.Node(ctx, c.caller(), ident, "node:get"); return err },
		"portgroup": func(ident string) error { _, err := c.s.Portgroup(ctx, c.caller(), ident); return err },
		"port":      func(ident string) error { _, err := c.s.Port(ctx, c.caller(), ident); return err },
		"template":  func(ident string) error { _, err := c.s.Template(ctx, ident); return err },
	} {
		if !strings.HasSuffix(rt.path, "/{"+key+"}") {
			continue
		}
		short := c.r.PathValue(key)
		if err := look(short); fault.KindOf(err) != fault.NotFound {
			return nil // what is wrong besides, the route itself will say
		}
		if look(short+".json") == nil {
			c.r.SetPathValue(key, short+".json")
		}
	}
	return nil
}

// fail answers an error.
func (c *call) fail(err error) {
	c.err = err
	a := errorAnswer(c.hostless(err), c.id)
	if strings.HasPrefix(c.r.UserAgent(), ironicclient) {
		a.retryAfter = ""
	}
	c.send(a)
}

// send writes an answer. A write that fails means the client is gone; the access log still has the status.
func (c *call) send(a answer) {
	c.status = a.status
	if a.sent {
		return
	}
	h := c.w.Header()
	body := a.raw
	if a.json != nil {
		var err error
		if body, err = json.Marshal(a.json); err != nil {
			c.err, c.status = err, http.StatusInternalServerError
			body, _ = json.Marshal(wire.NewError(c.status, internalText(c.id))) // strings only: always possible
			a = answer{}
		}
	}
	for k, v := range map[string]string{"Location": a.location, "Allow": a.allow, "WWW-Authenticate": a.challenge, "Retry-After": a.retryAfter} {
		if v != "" {
			h.Set(k, v)
		}
	}
	if a.location != "" {
		h.Set("Location", c.base()+a.location)
	}
	if a.private {
		h.Set("Cache-Control", "no-store")
	}
	if body != nil {
		kind := a.kind
		if kind == "" {
			kind = "application/json"
		}
		h.Set("Content-Type", kind)
		h.Set("Content-Length", strconv.Itoa(len(body)))
	}
	// A client that does not read its answer is cut off. Connections are reused: each answer begins with its own time.
	_ = http.NewResponseController(c.w).SetWriteDeadline(time.Now().Add(c.o.AnswerLimit))
	c.w.WriteHeader(c.status)
	if body != nil && c.r.Method != http.MethodHead {
		_, _ = c.w.Write(body)
	}
}

// log is the access log: never a query, a header or a body, which may hold secrets.
func (c *call) log(took time.Duration) {
	level, facts := slog.LevelInfo, []any{"request", c.id, "method", c.r.Method, "path", clip(c.r.URL.Path), "status", c.status,
		"minor", c.minor, "took", took, "from", c.r.RemoteAddr}
	switch {
	case c.err != nil && c.status >= 500 && c.status != http.StatusServiceUnavailable && c.status != http.StatusNotImplemented:
		level = slog.LevelError
		facts = append(facts, "error", c.err.Error())
	case c.err != nil:
		text, _ := fault.PublicOf(c.err)
		if text == "" {
			text = c.err.Error()
		}
		facts = append(facts, "refused", text)
	case c.r.Method == http.MethodGet || c.r.Method == http.MethodHead:
		level = slog.LevelDebug
	}
	c.o.Log.Log(c.r.Context(), level, "request answered", facts...)
}

// base is what links start with.
func (c *call) base() string {
	if c.o.PublicEndpoint != "" {
		return c.o.PublicEndpoint
	}
	if c.r.TLS != nil {
		return "https://" + c.r.Host
	}
	return "http://" + c.r.Host
}

// caller is who asks, for ops.
func (c *call) caller() ops.Caller {
	return ops.Caller{Who: c.name(), Rights: c.rights, RequestID: c.id, Minor: c.minor, Trace: c.trace}
}

// node is the {node} of the path.
func (c *call) node() string { return c.r.PathValue("node") }

// clip keeps a stranger's text short enough to be repeated.
func clip(s string) string {
	if len(s) > 100 {
		return strings.ToValidUTF8(s[:100], "") + "…"
	}
	return s
}
