package metadata

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"math"
	"net/http"
	"path"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"ingot/internal/channel"
	"ingot/internal/fault"
	"ingot/internal/seed"
)

// call is one request.
type call struct {
	*Service
	w    http.ResponseWriter
	r    *http.Request
	path string // clean: one slash at its begin, none at its end, no dots
	what string // what is asked for, in a word

	node   string // that asks, once it is known
	status int
	wait   time.Duration // of a refusal: when to ask again; 0: not said
}

// statuses are those of faults; others are 500. Source: reference, metadata §4 and §2.2.
var statuses = map[fault.Kind]int{
	fault.Invalid:      http.StatusBadRequest,
	fault.TooLarge:     http.StatusBadRequest,
	fault.Forbidden:    http.StatusForbidden,
	fault.NotFound:     http.StatusNotFound,
	fault.Conflict:     http.StatusConflict,
	fault.TooMany:      http.StatusTooManyRequests,
	fault.Unavailable:  http.StatusServiceUnavailable,
	fault.NotSupported: http.StatusNotImplemented,
}

// What is asked for, in a word.
const (
	askRoot     = "root"
	askPassword = "password"
	askVendor1  = "vendor_data"
	askVendor2  = "vendor_data2"
	askChannel  = "ganeti" // an installation's channel: internal/channel knows the paths
	askOther    = "page"
)

// ServeHTTP answers one request.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	begun := time.Now()
	// Errors here mean that the connection cannot have deadlines (a test's recorder).
	_ = http.NewResponseController(w).SetReadDeadline(begun.Add(readTime))
	ctx, cancel := context.WithTimeout(r.Context(), answerTime)
	defer cancel()
	c := &call{Service: s, w: w, r: r.WithContext(ctx), path: path.Clean("/" + r.URL.Path)}
	if c.what = asksFor(c.path); strings.HasPrefix(r.URL.EscapedPath(), channel.Root) {
		c.what = askChannel
	}
	defer func() {
		if p := recover(); p != nil {
			s.log.Error("request panicked", "panic", p, "stack", string(debug.Stack()))
			if c.status == 0 {
				c.refuse(errors.New("it panicked"))
			}
		}
		c.over(time.Since(begun))
	}()
	if page, err := c.answer(); err != nil {
		c.refuse(err)
	} else if c.status == 0 {
		c.send(http.StatusOK, page.Type, page.Content)
	}
}

// asksFor says what a clean path is for. Whether there is such a page is seed's to say.
func asksFor(p string) string {
	words := strings.Split(p, "/")
	switch {
	case p == "/":
		return askRoot
	case len(words) == 4 && words[1] == "openstack" && words[3] == "password":
		return askPassword
	case len(words) == 4 && words[1] == "openstack" && words[3] == seed.VendorData:
		return askVendor1
	case len(words) == 4 && words[1] == "openstack" && words[3] == seed.VendorData2:
		return askVendor2
	}
	return askOther
}

// errMethod is for methods that a page has not.
var errMethod = errors.New("the page has no such method")

// answer finds who asks, and what for.
func (c *call) answer() (seed.Page, error) {
	post := c.r.Method == http.MethodPost && c.what == askPassword
	if c.what != askChannel && !post && c.r.Method != http.MethodGet && c.r.Method != http.MethodHead {
		return seed.Page{}, errMethod
	}
	if len(c.path) > maxPath {
		return seed.Page{}, fault.New(fault.NotFound, "There is no such page.")
	}
	if c.what == askRoot { // whoever asks: it tells that the service is there
		page, _ := seed.Listing(c.path)
		return page, nil
	}
	who, err := c.asker(c.r)
	if err != nil {
		return seed.Page{}, err
	}
	leave, wait, full := c.limiter.enter(who.key(), time.Now())
	if leave == nil {
		c.wait = wait
		if full {
			return seed.Page{}, fault.New(fault.Unavailable, "Too many requests are in work; ask again.")
		}
		return seed.Page{}, fault.New(fault.TooMany, "There are too many requests from this instance; ask again in a moment.")
	}
	defer leave()
	if c.what == askChannel {
		return seed.Page{}, c.converse(who)
	}
	i, err := c.find(c.r.Context(), who)
	if err != nil {
		return seed.Page{}, err
	}
	c.node = i.Node
	if i.Young && c.o.Installs != nil { // an installer's first sign may be any page
		if _, err := c.o.Installs.of(c.r.Context(), i.Mark, nil); err != nil {
			return seed.Page{}, err
		}
	}
	return c.page(i, who, post)
}

// page gives what an instance asks for. What changes while it runs comes from where that is kept.
func (c *call) page(i *Instance, who asker, post bool) (seed.Page, error) {
	s := i.Seed.WithPassword([]byte{})                                                                                  // so that there is the page
	if who.address.IsValid() && (strings.HasSuffix(c.path, "/local-ipv4") || strings.HasSuffix(c.path, "/meta-data")) { // the page, and the list that it is in
		s = s.WithAddress(who.address)
	}
	page, err := s.Get(c.path)
	if err != nil {
		return seed.Page{}, err
	}
	switch {
	case post:
		page.Content = nil
		return page, c.keepPassword(i)
	case c.what == askPassword:
		page.Content, err = c.o.Instances.Password(c.r.Context(), i)
	case c.what == askVendor1:
		if static := c.o.Instances.Static(i); static != nil {
			page.Content = static
		}
	case c.what == askVendor2:
		select {
		case c.waiting <- struct{}{}:
			defer func() { <-c.waiting }()
		default:
			return seed.Page{}, fault.New(fault.Unavailable, "Too many requests wait for vendordata; ask again.")
		}
		var data json.RawMessage
		if data, err = c.o.Instances.VendorData2(c.r.Context(), i); err == nil && data != nil {
			return s.WithVendorData2(data).Get(c.path)
		}
	}
	return page, err
}

// keepPassword takes what the instance posts, once.
func (c *call) keepPassword(i *Instance) error {
	body, err := io.ReadAll(http.MaxBytesReader(c.w, c.r.Body, maxPassword))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return fault.New(fault.TooLarge, "The password has more than %d bytes.", maxPassword)
	case err != nil:
		return fault.Wrap(fault.Invalid, err, "The password could not be read.")
	case len(body) == 0:
		return fault.New(fault.Invalid, "There is no password in the request.")
	}
	return c.o.Instances.SetPassword(c.r.Context(), i, body)
}

// send answers. A client that does not read its answer is cut off.
func (c *call) send(status int, kind string, body []byte) {
	h := c.w.Header()
	h.Set("Content-Type", kind)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	_ = http.NewResponseController(c.w).SetWriteDeadline(time.Now().Add(writeTime)) // as for reading
	c.status = status
	c.w.WriteHeader(status)
	if c.r.Method != http.MethodHead {
		_, _ = c.w.Write(body) // whoever asked may be gone
	}
}

// refuse answers with what is wrong, for people.
func (c *call) refuse(err error) {
	if errors.Is(err, errMethod) {
		allow := "GET, HEAD"
		if c.what == askPassword {
			allow += ", POST"
		}
		c.w.Header().Set("Allow", allow)
		c.send(http.StatusMethodNotAllowed, "text/plain; charset=utf-8", []byte("Only "+allow+" are possible here.\n"))
		return
	}
	status, text := http.StatusInternalServerError, "The server met an internal error; its log has the cause."
	if said, ok := fault.PublicOf(err); ok {
		if known := statuses[fault.KindOf(err)]; known != 0 {
			status = known
		}
		text = said
	} else if c.r.Context().Err() != nil { // the time was over, or the client has gone
		status, text = http.StatusServiceUnavailable, "The answer took too long; ask again."
	} else {
		c.log.Error("metadata request failed", "what", c.what, "node", c.node, "error", err)
	}
	if c.wait == 0 && status == http.StatusServiceUnavailable {
		c.wait = time.Second
	}
	if c.wait > 0 {
		c.w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(c.wait.Seconds()))))
	}
	c.send(status, "text/plain; charset=utf-8", []byte(text+"\n"))
}

// over tells of the request: never of a header, a body or an answer.
func (c *call) over(took time.Duration) {
	if c.o.Count != nil {
		c.o.Count(c.what, c.status, took)
	}
	c.log.Log(c.r.Context(), slog.LevelDebug, "metadata request answered", "method", c.r.Method, "path", clip(c.path), "status", c.status, "node", c.node, "from", c.r.RemoteAddr, "took", took)
}

// clip keeps a stranger's text short enough to be repeated.
func clip(s string) string {
	if len(s) > 100 {
		return strings.ToValidUTF8(s[:100], "") + "…"
	}
	return s
}
