package vendordata

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pquerna/cachecontrol/cacheobject"
)

// ages bound how long answers are used: longest whatever a target says, unstated where it does not say.
type ages struct{ longest, unstated time.Duration }

// term is how long an answer may be used.
type term struct {
	again bool      // it may be used for a later request at all, if only after asking whether it is still right
	until time.Time // without asking
	stale time.Time // instead of a failure; zero: not at all
}

// cacheHeaders are the headers that decide it, and are kept with an answer.
var cacheHeaders = []string{"Age", "Cache-Control", "Date", "Etag", "Expires", "Last-Modified", "Pragma", "Vary"}

// of reads a reply's headers by RFC 9111, with these words for our case (docs/decisions/0059-vendordata.md has the reasons): the reply to
// a POST is used for a later POST of the same body; what is kept belongs to one instance, so that "private" may be kept; s-maxage goes
// before max-age all the same; and an answer that says nothing about its time is used for a time that the operator sets.
// asked is when the request was sent: the time on the way counts as age.
func (a ages) of(head http.Header, status int, asked time.Time) term {
	directives, err := cacheobject.ParseResponseCacheControl(strings.Join(head.Values("Cache-Control"), ","))
	if err != nil {
		return term{again: true, until: asked} // what cannot be read is not relied on
	}
	o := cacheobject.Object{RespDirectives: directives, RespHeaders: head, RespStatusCode: status, ReqMethod: http.MethodPost,
		ReqHeaders: http.Header{}, NowUTC: asked, RespDateHeader: date(head, "Date"), RespExpiresHeader: date(head, "Expires")}
	if head.Get("Expires") != "" && o.RespExpiresHeader.IsZero() { // "0", "-1": it has expired
		o.RespExpiresHeader, o.RespDateHeader = asked, asked
	}
	o.CacheIsPrivate = directives.SMaxAge < 0
	var r cacheobject.ObjectResults
	if o.CacheIsPrivate {
		cacheobject.CachableResponseObject(&o, &r)
	} else { // its rules for shared caches refuse "private"
		private := o
		private.CacheIsPrivate = true
		cacheobject.CachableResponseObject(&private, &r)
	}
	stated := directives.SMaxAge >= 0 || !slices.Contains(r.OutReasons, cacheobject.ReasonRequestMethodPOST)
	for _, reason := range r.OutReasons {
		if reason != cacheobject.ReasonRequestMethodPOST && reason != cacheobject.ReasonResponseUncachableByDefault {
			return term{} // no-store
		}
	}
	life := a.unstated
	if stated {
		cacheobject.ExpirationObject(&o, &r)
		life = r.OutExpirationTime.Sub(asked)
	}
	never := directives.NoCachePresent || varies(head) || head.Get("Cache-Control") == "" && strings.EqualFold(head.Get("Pragma"), "no-cache")
	if never {
		life = 0
	}
	t := term{again: true, until: asked.Add(min(max(life-age(head), 0), a.longest))}
	if sie := time.Duration(directives.StaleIfError) * time.Second; sie > 0 && !never && !directives.MustRevalidate && !directives.ProxyRevalidate {
		t.stale = t.until.Add(min(sie, a.longest))
	}
	return t
}

// date is a header that is a time, zero where there is none.
func date(head http.Header, name string) time.Time {
	t, err := http.ParseTime(head.Get(name))
	if err != nil {
		return time.Time{}
	}
	return t.UTC()
}

// age is how old the answer was already when a cache on the way gave it.
func age(head http.Header) time.Duration {
	n, err := strconv.ParseUint(strings.TrimSpace(head.Get("Age")), 10, 31)
	if err != nil {
		return 0
	}
	return time.Duration(n) * time.Second
}

// varies tells whether a reply depends on more than what was sent. Single headers do not count: ours are always the same, but for
// the proof of who asks, and that is always the same server.
func varies(head http.Header) bool {
	return strings.Contains(strings.Join(head.Values("Vary"), ","), "*")
}

// conditions are the headers that ask whether an answer is still right; nil: it has nothing to ask by.
func conditions(head http.Header) http.Header {
	out := http.Header{}
	if tag := head.Get("Etag"); tag != "" {
		out.Set("If-None-Match", tag)
	} else if since := head.Get("Last-Modified"); since != "" {
		out.Set("If-Modified-Since", since)
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

// unchanged tells whether a reply to a conditional request says that the answer is still right. By RFC 9110 (13.1.2) that is 412
// for a POST; most servers that know conditions on a POST at all answer 304.
func unchanged(status int, asked http.Header) bool {
	return asked != nil && (status == http.StatusNotModified || status == http.StatusPreconditionFailed && asked.Get("If-None-Match") != "")
}

// renewed are the headers of an answer that is still right: those of the new reply go before the old ones. An age was the old
// reply's.
func renewed(old, fresh http.Header) http.Header {
	out := old.Clone()
	out.Del("Age")
	for _, name := range cacheHeaders {
		if v := fresh.Values(name); len(v) > 0 {
			out[name] = slices.Clone(v)
		}
	}
	return out
}

// cacheable picks the headers that are kept.
func cacheable(head http.Header) http.Header {
	out := http.Header{}
	for _, name := range cacheHeaders {
		if v := head.Values(name); len(v) > 0 {
			out[name] = slices.Clone(v)
		}
	}
	return out
}
