package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"ingot/internal/fault"
)

// Body is a download in progress. It is for one goroutine.
type Body struct {
	ctx    context.Context // kept because Read has none: a Body lives within the call that opened it
	o      Options
	client *http.Client
	urls   []*url.URL // still to be tried; the first is the current one
	origin *url.URL   // the first of all: the credentials are for it

	stream *stream
	offset int64 // bytes given to the caller
	size   int64 // -1: unknown
	tag    string
	breaks int // connections lost in total
	barren int // failures of the current URL since the last byte
	err    error
}

// Open starts to download the first of urls that answers. It returns when a server has sent its header,
// so Size is known if the server said it. Cancelling ctx ends the download, Close frees it.
func Open(ctx context.Context, urls []string, o Options) (*Body, error) {
	if len(urls) == 0 {
		return nil, fault.New(fault.Invalid, "There is no image URL.")
	}
	b := &Body{ctx: ctx, o: o.withDefaults(), size: -1}
	for _, raw := range urls {
		u, err := parse(raw)
		if err != nil {
			return nil, err
		}
		b.urls = append(b.urls, u)
	}
	b.origin = b.urls[0]
	var err error
	if b.client, err = b.o.client(); err != nil {
		return nil, err
	}
	if err := b.connect(); err != nil {
		b.client.CloseIdleConnections()
		return nil, err
	}
	return b, nil
}

// ErrUnauthorized is in the chain of the error when a server asked for credentials, and got none or wrong ones.
var ErrUnauthorized = errors.New("the server asks for credentials")

// Size is the length of the whole resource in bytes, -1 if the server did not say.
func (b *Body) Size() int64 { return b.size }

// URL is where the bytes come from now, fit for messages.
func (b *Body) URL() string { return Safe(b.urls[0].String()) }

// Breaks counts the connections that were lost and continued.
func (b *Body) Breaks() int { return b.breaks }

// Close ends the download.
func (b *Body) Close() error {
	if b.stream != nil {
		b.stream.close()
	}
	b.client.CloseIdleConnections()
	return nil
}

// Read gives the next bytes, reconnecting as needed. It returns io.EOF only when all bytes came.
func (b *Body) Read(p []byte) (int, error) {
	for b.err == nil {
		if b.stream == nil {
			if b.err = b.connect(); b.err != nil {
				break
			}
		}
		n, err := b.stream.Read(p)
		b.offset += int64(n)
		if n > 0 {
			b.barren = 0
		}
		switch {
		case b.size >= 0 && b.offset > b.size:
			b.err = b.fault(fault.Conflict, nil, "the server sent more than the %d bytes it announced", b.size)
			return 0, b.err
		case b.o.Size > 0 && b.offset > b.o.Size:
			b.err = b.wrongSize("more than", b.o.Size)
			return 0, b.err
		case err == io.EOF && (b.size < 0 || b.offset == b.size):
			if b.err = io.EOF; b.o.Size > 0 && b.offset != b.o.Size {
				b.err = b.wrongSize("only", b.offset)
			}
		case err != nil:
			b.lose(err)
		}
		if n > 0 {
			return n, nil
		}
	}
	return 0, b.err
}

// wrongSize is of a resource that has another length than it must have.
func (b *Body) wrongSize(relation string, n int64) error {
	return b.fault(fault.Invalid, nil, "it has %s %d bytes, and it must have %d", relation, n, b.o.Size)
}

// lose notes a broken connection; the next Read connects again or gives up.
func (b *Body) lose(err error) {
	b.stream.close()
	b.stream = nil
	if b.breaks++; b.breaks > maxBreaks {
		b.err = b.fault(fault.Unavailable, err, "the connection was lost %d times", b.breaks)
		return
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	b.err = b.failed(err)
}

// connect opens a stream at the current offset, retrying and moving on to the next URL as the rules say.
func (b *Body) connect() error {
	for {
		s, err := b.request()
		if err == nil {
			b.stream = s
			return nil
		}
		if err = b.failed(err); err != nil {
			return err
		}
	}
}

// final marks an error that another try at the same URL cannot mend.
type final struct{ error }

// Unwrap gives the cause.
func (f final) Unwrap() error { return f.error }

// failed counts a failure of the current URL, waits before the next try, and moves on to the next URL when
// this one is spent. It returns the error when nothing is left to try, nil to go on.
func (b *Body) failed(err error) error {
	if ctxErr := context.Cause(b.ctx); ctxErr != nil {
		return ctxErr
	}
	b.barren++
	var stop final
	isFinal := errors.As(err, &stop)
	if !isFinal && b.barren < b.o.Tries {
		return b.pause()
	}
	if len(b.urls) > 1 {
		b.urls, b.barren, b.tag = b.urls[1:], 0, ""
		return nil
	}
	var f *fault.Error
	if errors.As(err, &f) {
		return f
	}
	return b.fault(fault.Unavailable, err, "%s (%d tries)", reason(err), b.barren)
}

func (b *Body) pause() error {
	wait := min(b.o.Backoff<<min(b.barren-1, 16), maxBackoff)
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-b.ctx.Done():
		return context.Cause(b.ctx)
	}
}

// fault makes an error that names the URL.
func (b *Body) fault(k fault.Kind, cause error, format string, args ...any) error {
	return fault.Wrap(k, cause, "Download of %s failed: %s.", b.URL(), fmt.Sprintf(format, args...))
}

// request asks the current URL for the rest and checks that the answer continues what we have.
func (b *Body) request() (*stream, error) {
	ctx, cancel := context.WithCancelCause(b.ctx)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, b.urls[0].String(), nil)
	if err != nil {
		cancel(nil)
		return nil, final{b.fault(fault.Invalid, nil, "the URL cannot be requested")}
	}
	if err := b.o.refusedHost(r.URL); err != nil {
		cancel(nil)
		return nil, b.transport(err)
	}
	b.dress(r)
	answer, err := b.client.Do(r)
	if err != nil {
		cancel(nil)
		return nil, b.transport(err)
	}
	s := newStream(answer.Body, cancel, b.o.Stall)
	if err := b.accept(answer, s); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// dress adds credentials and, for the rest of a download, the range with its condition.
func (b *Body) dress(r *http.Request) {
	r.Header.Set("User-Agent", "ingot")
	r.Header.Set("Accept-Encoding", "identity")
	switch {
	case b.origin != nil && !sameOrigin(b.origin, b.urls[0]): // they are not for this one
	case !b.o.Token.Empty():
		r.Header.Set("X-Auth-Token", b.o.Token.Expose())
	case !b.o.Authorization.Empty():
		r.Header.Set("Authorization", b.o.Authorization.Expose())
	case b.o.User != "":
		r.SetBasicAuth(b.o.User, b.o.Password.Expose())
	}
	if b.offset > 0 {
		r.Header.Set("Range", fmt.Sprintf("bytes=%d-", b.offset))
		if b.tag != "" {
			r.Header.Set("If-Range", b.tag)
		}
	}
}

// transport sorts out an error of the connection. *url.Error is dropped: it quotes the URL.
func (b *Body) transport(err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	var refused errRefused
	switch {
	case errors.As(err, &refused):
		return final{b.fault(fault.Forbidden, nil, "%s", refused)}
	case isRedirect(err):
		return final{b.fault(fault.Invalid, nil, "%s", err)}
	case strings.Contains(err.Error(), "Location header"):
		return final{b.fault(fault.Invalid, nil, "the server redirects to a URL that cannot be parsed")}
	case isTLS(err):
		return final{b.fault(fault.Unavailable, err, "%s", reason(err))}
	}
	return err
}

// accept checks status, position and identity of an answer. s is its body, to be advanced if needed.
func (b *Body) accept(answer *http.Response, s *stream) error {
	switch code := answer.StatusCode; {
	case code == http.StatusOK:
		return b.acceptWhole(answer, s)
	case code == http.StatusPartialContent && b.offset > 0:
		return b.acceptRest(answer)
	case code == http.StatusTooManyRequests || code == http.StatusRequestTimeout || code >= 500:
		return b.fault(fault.Unavailable, nil, "the server answered %d %s", code, http.StatusText(code))
	case code == http.StatusRequestedRangeNotSatisfiable:
		return final{b.fault(fault.Conflict, nil, "the file became shorter while it was downloaded")}
	case code == http.StatusUnauthorized:
		return final{b.fault(fault.Invalid, ErrUnauthorized, "the server answered %d %s%s", code, http.StatusText(code), b.missed(answer))}
	case code == http.StatusForbidden:
		return final{b.fault(fault.Invalid, nil, "the server answered %d %s%s", code, http.StatusText(code), b.missed(answer))}
	default:
		return final{b.fault(fault.Invalid, nil, "the server answered %d %s", code, http.StatusText(code))}
	}
}

// missed says why a server that asks for credentials did not get those that there are.
func (b *Body) missed(answer *http.Response) string {
	given := b.o.User != "" || !b.o.Authorization.Empty() || !b.o.Token.Empty()
	if r := answer.Request; given && r != nil && r.Response != nil && !slices.ContainsFunc(credentials, func(h string) bool { return r.Header.Get(h) != "" }) {
		return ", after a redirect to " + r.URL.Scheme + "://" + r.URL.Host + ": credentials are sent to the server that they are for, and to no other"
	}
	return ""
}

// acceptWhole takes a 200. In mid-way it means that the server knows no ranges, or that the file changed:
// what we have already is skipped if it still can be the same file.
func (b *Body) acceptWhole(answer *http.Response, s *stream) error {
	tag := validator(answer.Header)
	if b.offset == 0 {
		if want := b.o.Size; want > 0 && answer.ContentLength >= 0 && answer.ContentLength != want {
			return final{b.fault(fault.Invalid, nil, "it has %d bytes, and it must have %d", answer.ContentLength, want)}
		}
		b.size, b.tag = answer.ContentLength, tag
		return nil
	}
	changed := b.size >= 0 && answer.ContentLength >= 0 && answer.ContentLength != b.size
	if changed || b.tag != "" && b.tag != tag {
		return final{b.fault(fault.Conflict, nil, "the file changed while it was downloaded")}
	}
	b.tag = tag
	if n, err := io.CopyN(io.Discard, s, b.offset); err != nil {
		return fmt.Errorf("skip to byte %d, reached %d: %w", b.offset, n, err)
	}
	return nil
}

// acceptRest takes a 206, which must start where we are and be of a file as long as ours.
func (b *Body) acceptRest(answer *http.Response) error {
	start, total, err := contentRange(answer.Header.Get("Content-Range"))
	if err != nil || start != b.offset {
		return final{b.fault(fault.Invalid, err, "the server answered with another range than asked for")}
	}
	tag := validator(answer.Header)
	if b.size >= 0 && total >= 0 && total != b.size || b.tag != "" && tag != "" && tag != b.tag {
		return final{b.fault(fault.Conflict, nil, "the file changed while it was downloaded")}
	}
	if b.size < 0 {
		b.size = total
	}
	if b.tag == "" {
		b.tag = tag
	}
	return nil
}

// validator gives what If-Range accepts: a strong ETag, else the modification time (RFC 9110, 13.1.5).
func validator(h http.Header) string {
	if tag := h.Get("ETag"); tag != "" && !strings.HasPrefix(tag, "W/") {
		return tag
	}
	return h.Get("Last-Modified")
}

// contentRange parses "bytes 5-9/10"; total is -1 for "*".
func contentRange(v string) (start, total int64, err error) {
	spec, ok := strings.CutPrefix(v, "bytes ")
	span, size, ok2 := strings.Cut(spec, "/")
	first, _, ok3 := strings.Cut(span, "-")
	if !ok || !ok2 || !ok3 {
		return 0, 0, fmt.Errorf("content range %.40q", v)
	}
	if start, err = strconv.ParseInt(first, 10, 64); err != nil {
		return 0, 0, fmt.Errorf("content range %.40q", v)
	}
	if size == "*" {
		return start, -1, nil
	}
	if total, err = strconv.ParseInt(size, 10, 64); err != nil {
		return 0, 0, fmt.Errorf("content range %.40q", v)
	}
	return start, total, nil
}

// reason says in a few public words what went wrong with a connection.
func reason(err error) string {
	var dns *net.DNSError
	var op *net.OpError
	var timeout net.Error
	switch {
	case errors.As(err, &dns):
		return "the name of the server cannot be resolved"
	case isTLS(err):
		return "the certificate of the server is not trusted"
	case errors.Is(err, errStalled):
		return "the server stopped sending"
	case errors.As(err, &op) && op.Op == "dial":
		return "the server cannot be reached"
	case errors.As(err, &timeout) && timeout.Timeout():
		return "the server does not answer in time"
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "the server sent less than it announced"
	}
	return "the connection was lost"
}

// Failure says in public words why a request of Options' Client failed, and what kind of fault that is; "" for what is not
// the connection's.
func Failure(err error) (fault.Kind, string) {
	var wrapped *url.Error
	var refused errRefused
	switch {
	case errors.As(err, &refused):
		return fault.Forbidden, refused.Error()
	case isRedirect(err):
		for _, known := range redirects {
			if errors.Is(err, known) {
				return fault.Invalid, known.Error()
			}
		}
	case errors.As(err, &wrapped):
		return fault.Unavailable, reason(wrapped.Err)
	}
	return fault.Invalid, ""
}
