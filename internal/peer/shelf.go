package peer

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"time"

	"ingot/internal/fault"
)

// ShelfFile is a file that a conductor pushed to a boot host.
type ShelfFile struct {
	Name    string    `json:"name"` // unguessable: it is the machines' permission to fetch
	Size    int64     `json:"size"`
	SHA256  string    `json:"sha256"` // hex
	Expires time.Time `json:"expires"`
	// Holder is for whom it is there. A file stays until its last holder gave it up, or the time of each is over.
	Holder string `json:"holder,omitempty"`
}

// Shelf keeps pushed files until they expire. Put reads exactly f.Size bytes and keeps the file only if they
// have the checksum; it must refuse names that lead elsewhere and sizes it has no room for.
type Shelf interface {
	Put(ctx context.Context, f ShelfFile, body io.Reader) error
	List() ([]ShelfFile, error)
	Remove(name string) error
	// Hold adds a holder to a file that is there, and tells whether it is.
	Hold(name, holder string, until time.Time) (there bool, err error)
	// Release gives up all that a holder holds.
	Release(holder string) error
}

// The headers of a push.
const (
	headerSHA256  = "Ingot-Sha256"
	headerExpires = "Ingot-Expires"
	headerHolder  = "Ingot-Holder"
)

// pushLimit is how long one file may take, and stallLimit how long a piece of it.
const (
	pushLimit  = 2 * time.Hour
	stallLimit = time.Minute
)

func (c *call) putFile() (any, error) {
	expires, err := time.Parse(time.RFC3339, c.r.Header.Get(headerExpires))
	if err != nil || c.r.ContentLength < 0 {
		return nil, fault.New(fault.Invalid, "A pushed file needs a length and a time of expiry.")
	}
	f := ShelfFile{Name: c.r.PathValue("name"), Size: c.r.ContentLength, SHA256: c.r.Header.Get(headerSHA256), Expires: expires, Holder: c.r.Header.Get(headerHolder)}
	if err := c.o.Shelf.Put(c.r.Context(), f, patient{c}); err != nil {
		return nil, err
	}
	c.o.Log.Info("file pushed", "peer", c.from.Name, "size", f.Size, "expires", f.Expires)
	return struct{}{}, nil
}

// patient reads a body that may take long, but must not stand still.
type patient struct{ *call }

func (p patient) Read(b []byte) (int, error) {
	_ = http.NewResponseController(p.w).SetReadDeadline(p.now().Add(stallLimit)) // a connection that is gone fails when read
	return p.r.Body.Read(b)
}

func (c *call) listFiles() (any, error) {
	all, err := c.o.Shelf.List()
	return map[string][]ShelfFile{"files": all}, err
}

func (c *call) removeFile() (any, error) {
	return struct{}{}, c.o.Shelf.Remove(c.r.PathValue("name"))
}

// Push sends a file to a boot host. body must give exactly f.Size bytes.
func (p *Peer) Push(ctx context.Context, to Server, f ShelfFile, body io.Reader) error {
	ctx, cancel := context.WithTimeout(ctx, pushLimit)
	defer cancel()
	header := http.Header{headerSHA256: {f.SHA256}, headerExpires: {f.Expires.UTC().Format(time.RFC3339)},
		"Content-Length": {strconv.FormatInt(f.Size, 10)}}
	if f.Holder != "" {
		header.Set(headerHolder, f.Holder)
	}
	res, done, err := send(ctx, dialTLS(p.current.Load(), to.Name, p.verified, p.now), to, http.MethodPut, "/v1/files/"+f.Name, body, f.Size, header)
	if err != nil {
		return err
	}
	defer done()
	return answer(res, to, nil)
}

// Pushed lists what is on a boot host's shelf.
func (p *Peer) Pushed(ctx context.Context, at Server) ([]ShelfFile, error) {
	var out struct {
		Files []ShelfFile `json:"files"`
	}
	return out.Files, p.ask(ctx, at, http.MethodGet, "/v1/files", nil, &out)
}

// Unpush removes a file from a boot host's shelf; one that is not there is no error.
func (p *Peer) Unpush(ctx context.Context, at Server, name string) error {
	return p.ask(ctx, at, http.MethodDelete, "/v1/files/"+name, nil, nil)
}

// held is the body and the answer of a hold.
type held struct {
	Until time.Time `json:"until,omitzero"`
	There bool      `json:"there,omitempty"`
}

func (c *call) holdFile() (any, error) {
	var h held
	if err := c.read(&h); err != nil {
		return nil, err
	}
	there, err := c.o.Shelf.Hold(c.r.PathValue("name"), c.r.PathValue("holder"), h.Until)
	return held{There: there}, err
}

func (c *call) releaseFiles() (any, error) {
	return struct{}{}, c.o.Shelf.Release(c.r.PathValue("holder"))
}

// HoldFile adds a holder to a file on a boot host's shelf. Where it is not there, it is to be pushed.
func (p *Peer) HoldFile(ctx context.Context, at Server, name, holder string, until time.Time) (there bool, err error) {
	var h held
	err = p.ask(ctx, at, http.MethodPut, "/v1/holders/"+holder+"/"+name, held{Until: until}, &h)
	return h.There, err
}

// ReleaseFiles gives up all that a holder holds on a boot host.
func (p *Peer) ReleaseFiles(ctx context.Context, at Server, holder string) error {
	return p.ask(ctx, at, http.MethodDelete, "/v1/holders/"+holder, nil, nil)
}
