package depot

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"time"

	"ingot/internal/fault"
)

// status is how a fault is answered here; other kinds are 500. Machines read the number, people the log.
var status = map[fault.Kind]int{
	fault.Forbidden:   http.StatusForbidden,
	fault.NotFound:    http.StatusNotFound,
	fault.BadState:    http.StatusNotFound,
	fault.Unavailable: http.StatusServiceUnavailable,
	fault.Conflict:    http.StatusServiceUnavailable,
}

// Handler serves what was offered: GET and HEAD, with ranges. 403: the signature is bad, expired or spent.
// 404: it is good, and there is nothing any more. 405: another method. 503: too many requests at once, or
// nothing built. /healthz answers anyone, for CheckReachable.
func (d *Depot) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", d.health)
	mux.Handle("GET /boot/{node}/{generation}/{terms}/{signature}/boot.iso", d.limited(d.serveBoot))
	mux.Handle("GET /files/{id}/{terms}/{signature}/{name}", d.limited(d.serveFile))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		patience(w)
		mux.ServeHTTP(w, r)
	})
}

// patience gives the client writeLimit for the next piece. Connections are reused, so each request starts
// with it anew.
func patience(w http.ResponseWriter) {
	// A recorder in a test has no deadline to set; a connection that is gone fails when written to.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeLimit))
}

// limited bounds the requests that are worked on at once and turns errors into answers.
func (d *Depot) limited(serve func(http.ResponseWriter, *http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case d.gate <- struct{}{}:
			defer func() { <-d.gate }()
		default:
			w.Header().Set("Retry-After", "5")
			refuse(w, http.StatusServiceUnavailable, "Too many requests at once.")
			return
		}
		err := serve(w, r)
		if err == nil {
			return
		}
		code, ok := status[fault.KindOf(err)]
		public, known := fault.PublicOf(err)
		if !ok || !known {
			code, public = http.StatusInternalServerError, "The server could not make this file."
		}
		d.log.Warn("fetch refused", "status", code, "remote", r.RemoteAddr, "error", err)
		refuse(w, code, public)
	})
}

func refuse(w http.ResponseWriter, code int, why string) {
	w.Header().Set("Cache-Control", "no-store")
	http.Error(w, why, code)
}

// unsigned is the one answer to every address that is not good, whatever is wrong with it.
func unsigned(cause error) error {
	return fault.Wrap(fault.Forbidden, cause, "This address is not valid, or not valid any more.")
}

func (d *Depot) serveBoot(w http.ResponseWriter, r *http.Request) error {
	node, generation := r.PathValue("node"), r.PathValue("generation")
	signature, segment := r.PathValue("signature"), r.PathValue("terms")
	template, of := d.signedTemplate(signature, node, generation, segment)
	if template == nil || d.o.Boot == nil {
		return unsigned(errSignature)
	}
	limits, err := parseTerms(segment, time.Now())
	if err != nil {
		return unsigned(err)
	}
	boot, params, err := d.o.Boot(r.Context(), node, generation)
	if err != nil {
		return fmt.Errorf("boot %s of node %s: %w", generation, node, err)
	}
	if d.folder(boot.Role) != of { // the address is another boot's than this one has become
		return fault.New(fault.NotFound, "This boot of node %s is over.", node)
	}
	boot.Time = d.pins.hold(signature, boot.Time, limits.expires, time.Now())
	iso, size, err := template.Overlay(boot, params)
	if err != nil {
		return fmt.Errorf("boot %s of node %s: %w", generation, node, err)
	}
	w.Header().Set("ETag", d.tag(template.id, boot.Time, signature))
	sent, err := d.send(w, r, signature, limits, "application/x-iso9660-image", time.Time{}, iso, size)
	d.log.Debug("boot ISO fetched", "node", node, "generation", generation, "range", r.Header.Get("Range"),
		"bytes", sent, "remote", r.RemoteAddr)
	return err
}

// signedTemplate is the template that an address was made for, and the folder it is from; nil for none.
func (d *Depot) signedTemplate(signature, node, generation, segment string) (*BootISO, *folder) {
	for _, f := range d.folders {
		for _, t := range f.templates(d.log) {
			if d.signer.fits(signature, "boot", node, generation, segment, t.id) {
				return t, f
			}
		}
	}
	return nil, nil
}

// tag names the content for If-Range without telling anything of it.
func (d *Depot) tag(parts ...string) string {
	sum := mac(d.signer.sign, append([]string{"etag"}, parts...)...)
	return `"` + base64.RawURLEncoding.EncodeToString(sum[:16]) + `"`
}

func (d *Depot) serveFile(w http.ResponseWriter, r *http.Request) error {
	id, name := r.PathValue("id"), r.PathValue("name")
	signature, segment := r.PathValue("signature"), r.PathValue("terms")
	if !d.signer.fits(signature, "file", id, segment, name) {
		return unsigned(errSignature)
	}
	limits, err := parseTerms(segment, time.Now())
	if err != nil {
		return unsigned(err)
	}
	path, err := d.signer.find(id)
	if err != nil {
		return unsigned(err)
	}
	f, err := d.openFile(path)
	if err != nil {
		return err
	}
	defer f.Close() // read-only: nothing is lost
	info, err := f.Stat()
	if err != nil {
		return err
	}
	sent, err := d.send(w, r, signature, limits, "application/octet-stream", info.ModTime(), f, info.Size())
	d.log.Debug("local image fetched", "name", name, "range", r.Header.Get("Range"), "bytes", sent, "remote", r.RemoteAddr)
	return err
}

// send answers with content, or the ranges of it that were asked for, and counts what goes out. Once a
// byte went out nothing can be said any more but by cutting the connection.
func (d *Depot) send(w http.ResponseWriter, r *http.Request, signature string, limits terms, kind string,
	modified time.Time, content io.ReadSeeker, size int64) (int64, error) {
	limit := int64(limits.fetches) * size
	book := func(n int64) error { return d.meter.take(signature, n, limit, limits.expires, time.Now()) }
	if err := d.meter.room(signature, limit); err != nil && r.Method != http.MethodHead {
		return 0, unsigned(err)
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Cache-Control", "no-store")
	out := &metered{ResponseWriter: w, book: book}
	http.ServeContent(out, r, "", modified, content)
	if out.spent {
		d.log.Warn("fetch cut off", "error", errSpent, "remote", r.RemoteAddr, "bytes", out.sent)
		panic(http.ErrAbortHandler)
	}
	return out.sent, nil
}
