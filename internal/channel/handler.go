package channel

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"ingot/internal/fault"
	"ingot/internal/osdef"
	"ingot/internal/secret"
)

// Root is where all paths begin.
const Root = "/ganeti/"

// The protocol's versions are dates. The first day is that of the month in which Ganeti's design named these paths, the last is when they
// became what they are here.
const (
	Latest   = "latest"
	firstDay = "2013-12-01"
	lastDay  = "2026-11-27"
)

// known tells whether a version is: the latest, or a day on which there was one.
func known(version string) bool {
	if version == Latest {
		return true
	}
	_, err := time.Parse(time.DateOnly, version)
	return err == nil && version >= firstDay && version <= lastDay
}

// Handler serves the paths from a source.
func Handler(s Source) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = Respond(s, w, r) }) // a Channel has no errors of its own
}

// Respond answers one request from a source, and gives the status, and for the log the error of the source that was answered with 500. Its path is compared as it came, before any decoding: no name that is
// served needs one, so that what is encoded or has dots is no name.
func Respond(s Source, w http.ResponseWriter, r *http.Request) (status int, failed error) {
	page, methods := find(r.URL.EscapedPath())
	switch {
	case page == nil:
		return refuse(w, ErrNone), nil
	case !slices.Contains(methods, r.Method):
		allow := strings.Join(methods, ", ")
		w.Header().Set("Allow", allow)
		return send(w, r, http.StatusMethodNotAllowed, plain, []byte("Only "+allow+" is possible here.\n")), nil
	}
	kind, body, err := page(r.Context(), s, r)
	switch {
	case err != nil:
		if status = refuse(w, err); status == http.StatusInternalServerError {
			failed = err
		}
		return status, failed
	case kind == nothing:
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(http.StatusNoContent)
		return http.StatusNoContent, nil
	}
	return send(w, r, http.StatusOK, kind, body), nil
}

// Types of content.
const (
	plain   = "text/plain; charset=utf-8"
	octets  = "application/octet-stream"
	asJSON  = "application/json"
	nothing = "" // there is none
)

// page answers one request.
type page func(ctx context.Context, s Source, r *http.Request) (kind string, body []byte, err error)

// find is what a path is for, and by which methods; nil: there is no such page.
func find(path string) (page, []string) {
	rest, ours := strings.CutPrefix(path, Root)
	version, at, cut := strings.Cut(rest, "/")
	if !ours || !cut || !known(version) {
		return nil, nil
	}
	get := []string{http.MethodGet, http.MethodHead}
	switch at {
	case "meta_data.json":
		return metaData, get
	case "os/parameters.json":
		return parameters, get
	case "os/package":
		return packaged(PackageURL), get
	case "os/package/user":
		return packaged(PackageUser), get
	case "os/package/password":
		return packaged(PackagePassword), get
	case "read":
		return read, []string{http.MethodGet}
	case "write":
		return write, []string{http.MethodPost}
	}
	if name, is := strings.CutPrefix(at, "os/parameters/"); is && plainName(name, false) {
		return parameter(name), get
	}
	if name, is := strings.CutPrefix(at, "os/scripts/"); is && plainName(name, true) {
		return script(name), get
	}
	return nil, nil
}

// plainName tells whether a name could be one of a parameter or, with slashes, of a script.
func plainName(name string, slashes bool) bool {
	for i := range len(name) {
		c := name[i]
		ok := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-' || c == '/' && slashes
		if !ok {
			return false
		}
	}
	return name != "" && len(name) <= 128
}

func metaData(ctx context.Context, s Source, _ *http.Request) (string, []byte, error) {
	body, err := s.MetaData(ctx)
	return asJSON, body, err
}

func parameters(ctx context.Context, s Source, _ *http.Request) (string, []byte, error) {
	c, err := s.Parameters(ctx)
	if err != nil {
		return "", nil, err
	}
	body, err := encode(c)
	return asJSON, body, err
}

// encode writes parameters with their classes. It exposes values: to whom the channel is.
func encode(c osdef.Classes) ([]byte, error) {
	all := map[string][2]string{}
	for name, v := range c.Public {
		all[name] = [2]string{v, ClassPublic}
	}
	for class, values := range map[string]map[string]secret.Secret{ClassPrivate: c.Private, ClassSecret: c.Secret} {
		for name, v := range values {
			all[name] = [2]string{v.Expose(), class}
		}
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	err := e.Encode(all)
	return out.Bytes(), err
}

func parameter(name string) page {
	return func(ctx context.Context, s Source, _ *http.Request) (string, []byte, error) {
		v, err := s.Parameter(ctx, name)
		return plain, []byte(v.Expose()), err
	}
}

func script(name string) page {
	return func(ctx context.Context, s Source, _ *http.Request) (string, []byte, error) {
		body, err := s.Script(ctx, name)
		return octets, body, err
	}
}

func packaged(what PackagePart) page {
	return func(ctx context.Context, s Source, _ *http.Request) (string, []byte, error) {
		v, err := s.Package(ctx, what)
		return plain, []byte(v.Expose()), err
	}
}

func read(ctx context.Context, s Source, _ *http.Request) (string, []byte, error) {
	message, err := s.Read(ctx)
	if err == nil && message == nil {
		return nothing, nil, nil
	}
	return octets, message, err
}

func write(ctx context.Context, s Source, r *http.Request) (string, []byte, error) {
	if r.ContentLength > MaxBuffered {
		return "", nil, tooLarge()
	}
	message, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, MaxBuffered))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return "", nil, tooLarge()
	case err != nil:
		return "", nil, fault.Wrap(fault.Invalid, err, "The message could not be read.")
	}
	return plain, nil, s.Write(ctx, message)
}

// statuses are those of faults; others are 500.
var statuses = map[fault.Kind]int{
	fault.Invalid:     http.StatusBadRequest,
	fault.Forbidden:   http.StatusForbidden,
	fault.NotFound:    http.StatusNotFound,
	fault.Conflict:    http.StatusConflict,
	fault.TooLarge:    http.StatusRequestEntityTooLarge,
	fault.TooMany:     http.StatusTooManyRequests,
	fault.Unavailable: http.StatusServiceUnavailable,
}

// refuse answers with what is wrong, for people.
func refuse(w http.ResponseWriter, err error) (status int) {
	status, text := http.StatusInternalServerError, "The server met an internal error."
	var g *gone
	if errors.As(err, &g) {
		status, text = http.StatusGone, g.sentence
	} else if said, ok := fault.PublicOf(err); ok {
		if s := statuses[fault.KindOf(err)]; s != 0 {
			status = s
		}
		text = said
	}
	if status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	return send(w, nil, status, plain, []byte(text+"\n"))
}

// send answers; of a HEAD only the headers.
func send(w http.ResponseWriter, r *http.Request, status int, kind string, body []byte) int {
	h := w.Header()
	h.Set("Content-Type", kind)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	if r == nil || r.Method != http.MethodHead {
		_, _ = w.Write(body) //nolint:gosec // G705: it is plain text or JSON, and said to be; whoever asked may be gone
	}
	return status
}
