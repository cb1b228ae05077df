package redfish

import (
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/stmcginnis/gofish/schemas"
)

// call is one capability being run: the client that the Redfish library's objects speak through. It adds to
// each request what the library lacks: login and login again, retries, deadlines, a limit on how many there are.
//
// It keeps a context, against the rule, because the library's interface has no place for one; it lives no
// longer than the call, and one goroutine uses it.
type call struct {
	ctx   context.Context
	bmc   *bmc
	name  string   // path of the machine on the BMC as driver_info has it; "" for the only one
	doing string   // completes "the BMC refuses to …"
	hide  []string // what no error may show
	asked int      // requests so far
	quirk quirk    // of the machine, once it was read
}

var _ schemas.Client = (*call)(nil)

func newCall(ctx context.Context, b *bmc, name, doing string) *call {
	return &call{ctx: ctx, bmc: b, name: name, doing: doing, hide: hidden(b.access)}
}

// do sends one request, and again where that is harmless: after a login when the session has ended, after
// a pause when the BMC stumbled and the method is repeatable. Actions (POST) are repeated by those who can look first.
func (c *call) do(method, uri string, payload any, headers map[string]string) (*http.Response, error) {
	uri, err := c.local(uri)
	if err != nil {
		return nil, err
	}
	renewed := false
	for try := 1; ; {
		resp, proof, err := c.once(method, uri, payload, headers)
		switch {
		case err == nil:
			return resp, nil
		case statusOf(err) == http.StatusUnauthorized && !renewed && c.bmc.forget(proof):
			renewed = true
		case method != http.MethodPost && passing(err) && try < c.bmc.cfg.Attempts:
			if !c.pause(try) {
				return nil, err
			}
			try++
		default:
			return nil, err
		}
	}
}

// once sends one request under its own deadline, and gives the proof it was sent with.
func (c *call) once(method, uri string, payload any, headers map[string]string) (*http.Response, map[string]string, error) {
	if c.asked++; c.asked > maxRequests {
		return nil, nil, errTooMany
	}
	limit := c.bmc.cfg.ActLimit
	if method == http.MethodGet {
		limit = c.bmc.cfg.ReadLimit
	}
	ctx, cancel := context.WithTimeout(c.ctx, limit)
	defer cancel() // the guard has read the body by then
	api, proof, err := c.bmc.ready(ctx)
	if err != nil {
		return nil, nil, err
	}
	all := map[string]string{}
	maps.Copy(all, headers)
	maps.Copy(all, proof)
	if t := proof["X-Auth-Token"]; t != "" && !slices.Contains(c.hide, t) {
		c.hide = append(c.hide, t)
	}
	var resp *http.Response
	switch method {
	case http.MethodGet:
		resp, err = api.GetWithHeaders(uri, all)
	case http.MethodPost:
		resp, err = api.PostWithHeaders(uri, payload, all)
	case http.MethodPatch:
		resp, err = api.PatchWithHeaders(uri, payload, all)
	case http.MethodPut:
		resp, err = api.PutWithHeaders(uri, payload, all)
	case http.MethodDelete:
		resp, err = api.DeleteWithHeaders(uri, all)
	}
	return resp, proof, err
}

// local makes a link from the BMC's answer a path on the BMC, or refuses it.
func (c *call) local(uri string) (string, error) {
	if uri == "" {
		return "", errNoTarget
	}
	uri = strings.TrimPrefix(uri, c.bmc.base)
	if !strings.HasPrefix(uri, "/") || strings.HasPrefix(uri, "//") {
		return "", errElsewhere
	}
	return uri, nil
}

// pause waits before the attempt after try; false when the call's time is over.
func (c *call) pause(try int) bool {
	return c.sleep(c.bmc.cfg.RetryWait << min(try-1, 10))
}

func (c *call) sleep(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-c.ctx.Done():
		return false
	}
}

// await asks seen until it says yes, for as long as a BMC may take to show what it accepted.
func (c *call) await(seen func() (bool, error)) (bool, error) {
	deadline := time.Now().Add(c.bmc.cfg.EffectWait)
	for try := 1; ; try++ {
		ok, err := seen()
		if ok || err != nil {
			return ok, err
		}
		if time.Now().After(deadline) || !c.pause(min(try, 3)) {
			return false, nil
		}
	}
}

// read gets uri and decodes it into a view of what matters.
func (c *call) read(uri string, view any) error {
	resp, err := c.Get(uri)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return json.NewDecoder(resp.Body).Decode(view)
}

// members gives the links of a collection in the BMC's order, at most limit. The library fetches members
// concurrently, in no order, and follows links to further pages for as long as they come.
func (c *call) members(uri string, limit int) ([]string, error) {
	col, err := schemas.GetCollection(c, uri)
	if err != nil {
		return nil, err
	}
	return col.ItemLinks[:min(len(col.ItemLinks), limit)], nil
}

// patch changes a resource. It matches the resource's ETag where there is one, and tries the ways in which
// BMCs get that wrong: a weak tag that must be sent as a strong one, and one that never matches.
func (c *call) patch(uri string, payload any) error {
	var tags []string
	res, err := schemas.GetObject[schemas.Resource](c, uri)
	if err == nil && res.ODataEtag != "" {
		tags = append(tags, res.ODataEtag)
		if strong, weak := strings.CutPrefix(res.ODataEtag, "W/"); weak {
			tags = append(tags, strong)
		}
	}
	tags = append(tags, "")
	for i, tag := range tags {
		headers := map[string]string{}
		if tag != "" {
			headers["If-Match"] = tag
		}
		var resp *http.Response
		resp, err = c.PatchWithHeaders(uri, payload, headers)
		schemas.DeferredCleanupHTTPResponse(resp)
		if statusOf(err) != http.StatusPreconditionFailed || i == len(tags)-1 {
			break
		}
	}
	return err
}

// What follows is the library's interface.

func (c *call) GetSettings() schemas.ClientSettings { return schemas.ClientSettings{} }

func (c *call) Get(url string) (*http.Response, error) { return c.GetWithHeaders(url, nil) }

func (c *call) GetWithHeaders(url string, headers map[string]string) (*http.Response, error) {
	return c.do(http.MethodGet, url, nil, headers)
}

func (c *call) Post(url string, payload any) (*http.Response, error) {
	return c.PostWithHeaders(url, payload, nil)
}

func (c *call) PostWithHeaders(url string, payload any, headers map[string]string) (*http.Response, error) {
	return c.do(http.MethodPost, url, payload, headers)
}

func (c *call) Patch(url string, payload any) (*http.Response, error) {
	return c.PatchWithHeaders(url, payload, nil)
}

func (c *call) PatchWithHeaders(url string, payload any, headers map[string]string) (*http.Response, error) {
	return c.do(http.MethodPatch, url, payload, headers)
}

func (c *call) Put(url string, payload any) (*http.Response, error) {
	return c.PutWithHeaders(url, payload, nil)
}

func (c *call) PutWithHeaders(url string, payload any, headers map[string]string) (*http.Response, error) {
	return c.do(http.MethodPut, url, payload, headers)
}

func (c *call) Delete(url string) (*http.Response, error) { return c.DeleteWithHeaders(url, nil) }

func (c *call) DeleteWithHeaders(url string, headers map[string]string) (*http.Response, error) {
	return c.do(http.MethodDelete, url, nil, headers)
}

// PostMultipart is for firmware updates, which this driver does not do.
func (c *call) PostMultipart(string, map[string]io.Reader) (*http.Response, error) {
	return nil, http.ErrNotSupported
}

// PostMultipartWithHeaders is like PostMultipart.
func (c *call) PostMultipartWithHeaders(string, map[string]io.Reader, map[string]string) (*http.Response, error) {
	return nil, http.ErrNotSupported
}
