package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"ingot/internal/fault"
)

// Ranges reads parts of what a Body downloads, at any place and each with a request of its own, while the
// download goes on. It is for one goroutine.
type Ranges struct {
	ctx    context.Context // the Body's
	o      Options
	client *http.Client
	url    *url.URL
	origin *url.URL
	size   int64
	tag    string
}

// Ranges gives a reader of parts from the server that the download comes from now. Take it before another
// goroutine reads the Body; it works until the Body is closed.
func (b *Body) Ranges() *Ranges {
	return &Ranges{ctx: b.ctx, o: b.o, client: b.client, url: b.urls[0], origin: b.origin, size: b.size, tag: b.tag}
}

// Size is the length of the whole resource in bytes. A server that did not say it with the download is asked.
func (r *Ranges) Size() (int64, error) {
	if r.size >= 0 {
		return r.size, nil
	}
	if _, err := r.ReadAt(make([]byte, 1), 0); err != nil {
		return 0, err
	}
	if r.size < 0 {
		return 0, r.one().fault(fault.Invalid, nil, "the server does not say how long the file is")
	}
	return r.size, nil
}

// ReadAt reads p whole or fails, after as many tries as a download has. A server that answers with the whole file is a
// fault.Invalid; a file that is not the one whose download began is a fault.Conflict.
func (r *Ranges) ReadAt(p []byte, off int64) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for b := r.one(); ; {
		err := r.request(b, p, off)
		if err == nil {
			return len(p), nil
		}
		if err = b.failed(err); err != nil {
			return 0, err
		}
	}
}

// one is a download of the same, which knows how to fail and to try again.
func (r *Ranges) one() *Body {
	return &Body{ctx: r.ctx, o: r.o, client: r.client, urls: []*url.URL{r.url}, origin: r.origin, size: r.size, tag: r.tag}
}

func (r *Ranges) request(b *Body, p []byte, off int64) error {
	ctx, cancel := context.WithCancelCause(r.ctx)
	defer cancel(nil)
	ask, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url.String(), nil)
	if err != nil {
		return final{b.fault(fault.Invalid, nil, "the URL cannot be requested")}
	}
	b.dress(ask)
	ask.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", off, off+int64(len(p))-1))
	answer, err := r.client.Do(ask)
	if err != nil {
		return b.transport(err)
	}
	s := newStream(answer.Body, cancel, r.o.Stall)
	defer s.close()
	if err := r.accept(b, answer, off); err != nil {
		return err
	}
	if _, err := io.ReadFull(s, p); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	return nil
}

func (r *Ranges) accept(b *Body, answer *http.Response, off int64) error {
	switch code := answer.StatusCode; {
	case code == http.StatusPartialContent:
		b.offset = off
		if err := b.acceptRest(answer); err != nil {
			return err
		}
		r.size, r.tag = b.size, b.tag
		return nil
	case code == http.StatusOK && off == 0: // what is asked for is its start
		if tag := validator(answer.Header); r.tag != "" && tag != r.tag || r.size >= 0 && answer.ContentLength >= 0 && answer.ContentLength != r.size {
			return final{b.fault(fault.Conflict, nil, "the file changed while it was downloaded")}
		}
		r.size = max(r.size, answer.ContentLength)
		return nil
	case code == http.StatusOK:
		return final{b.fault(fault.Invalid, nil, "the server does not send parts of a file (range requests), which a qcow2 image needs: "+
			"serve it with one that does, give it as a file of the control plane, or give a raw image, compressed with zstd")}
	default:
		return b.accept(answer, nil)
	}
}
