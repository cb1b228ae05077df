package osinstall

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"ingot/internal/agentapi"
	"ingot/internal/fault"
	"ingot/internal/secret"
	"ingot/internal/source"
)

// manifestFile is the name of the file that makes a folder of dumps an export. It is written last.
const manifestFile = "manifest.json"

// manifestVersion is the form of it that is written and read here.
const manifestVersion = 1

const (
	maxManifest = 1 << 20 // bytes
	maxDumps    = 256
)

// folder is a folder of dumps on an HTTP server.
type folder struct {
	base   *url.URL
	o      source.Options
	client *http.Client
	stall  time.Duration
}

// openFolder judges where dumps go to or come from, and prepares to speak to its server.
func openFolder(s *agentapi.OSStreams) (*folder, error) {
	if s == nil {
		return nil, fault.New(fault.Invalid, "There is no URL of an export.")
	}
	u, err := url.Parse(s.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, fault.New(fault.Invalid, "The URL of the export is not that of a folder on an HTTP server.")
	}
	f := &folder{base: u, o: source.Options{CA: s.CA, User: s.User, Password: secret.New(s.Password), Stall: streamStall}, stall: streamStall}
	if f.o.Refused, err = source.ParseNetworks(s.Refused); err != nil {
		return nil, err
	}
	if err := f.o.Permitted(s.URL); err != nil {
		return nil, err
	}
	f.client, err = f.o.Client()
	return f, err
}

// streamStall is how long a server may neither take nor give anything. One that puts a large file in its place is slow to answer.
const streamStall = 10 * time.Minute

func (f *folder) close() { f.client.CloseIdleConnections() }

// at is the URL of a file of the folder.
func (f *folder) at(name string) string {
	u := *f.base
	return u.JoinPath(name).String()
}

// request sends one request, with the credentials, and gives an answer whose body is to be closed. Redirects are followed as
// source does it: nothing that is sent goes to another server.
func (f *folder) request(ctx context.Context, method, name string, body io.Reader) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, method, f.at(name), body)
	if err != nil {
		return nil, fault.New(fault.Invalid, "The URL of the export cannot be requested.")
	}
	r.Header.Set("User-Agent", "ingot")
	r.Header.Set("Accept-Encoding", "identity")
	r.Header.Set("Cache-Control", "no-cache") // what was just put is asked for
	if body != nil {
		r.Header.Set("Content-Type", "application/octet-stream")
	}
	if f.o.User != "" {
		r.SetBasicAuth(f.o.User, f.o.Password.Expose())
	}
	answer, err := f.client.Do(r)
	switch {
	case err == nil && answer.Request.Method == method:
		return answer, nil
	case err == nil: // a redirect that made a GET of it, and what is answered is of another page
		_ = answer.Body.Close()
		return nil, fault.New(fault.Invalid, "%s %s: the server redirects to another page, and has not taken the file. Give the URL of the folder where it takes files, and a user and a password that it knows.", method, source.Safe(f.at(name)))
	}
	if own := context.Cause(ctx); own != nil {
		return nil, own
	}
	if kind, says := source.Failure(err); says != "" {
		return nil, fault.New(kind, "%s %s: %s.", method, source.Safe(f.at(name)), says)
	}
	return nil, fault.New(fault.Unavailable, "%s %s: the connection was lost.", method, source.Safe(f.at(name)))
}

// answered closes an answer that has nothing to read, and is an error unless it says that all is well.
func (f *folder) answered(method, name string, answer *http.Response) error {
	_, _ = io.CopyN(io.Discard, answer.Body, 64<<10)
	_ = answer.Body.Close()
	code := answer.StatusCode
	if code >= 200 && code < 300 {
		return nil
	}
	hint := ""
	switch code {
	case http.StatusUnauthorized, http.StatusForbidden:
		hint = " (give it a user and a password that it knows)"
	case http.StatusMethodNotAllowed, http.StatusNotImplemented:
		if method == http.MethodPut {
			hint = " (it must take PUT)"
		}
	case http.StatusLengthRequired:
		hint = " (it must take files whose size is not known before: chunked transfer)"
	case http.StatusRequestEntityTooLarge:
		hint = " (its limit for a file is too low)"
	}
	return fault.New(fault.Invalid, "%s %s: the server answered %d %s%s.", method, source.Safe(f.at(name)), code, http.StatusText(code), hint)
}

// errGone is a file that is not there.
var errGone = errors.New("there is no such file")

// manifest reads the manifest. errGone: there is none.
func (f *folder) manifest(ctx context.Context) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, f.stall)
	defer cancel()
	answer, err := f.request(ctx, http.MethodGet, manifestFile, nil)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode == http.StatusNotFound || answer.StatusCode == http.StatusGone {
		return nil, errGone
	}
	if answer.StatusCode != http.StatusOK {
		return nil, f.answered(http.MethodGet, manifestFile, answer)
	}
	b, err := io.ReadAll(io.LimitReader(answer.Body, maxManifest+1))
	switch {
	case err != nil:
		return nil, fault.New(fault.Unavailable, "GET %s: the connection was lost.", source.Safe(f.at(manifestFile)))
	case len(b) > maxManifest:
		return nil, fault.New(fault.Invalid, "GET %s: it has more than %d bytes, which is no manifest.", source.Safe(f.at(manifestFile)), maxManifest)
	}
	return b, nil
}

// put writes a small file.
func (f *folder) put(ctx context.Context, name string, content []byte) error {
	ctx, cancel := context.WithTimeout(ctx, f.stall)
	defer cancel()
	answer, err := f.request(ctx, http.MethodPut, name, bytes.NewReader(content))
	if err != nil {
		return err
	}
	return f.answered(http.MethodPut, name, answer)
}

// putManifest writes the manifest and reads it again: a server that says that it took one and keeps another would have an older export's
// manifest beside files that are not those of it.
func (f *folder) putManifest(ctx context.Context, content []byte) error {
	if err := f.put(ctx, manifestFile, content); err != nil {
		return err
	}
	there, err := f.manifest(ctx)
	at := source.Safe(f.at(manifestFile))
	switch {
	case errors.Is(err, errGone):
		return fault.New(fault.Invalid, "PUT %s: the server said that it took the file, and does not have it. Name a folder of a server that keeps what it is given.", at)
	case err != nil:
		return fmt.Errorf("whether the server has the manifest that it took: %w", err)
	case !bytes.Equal(there, content):
		return fault.New(fault.Invalid, "PUT %s: the server said that it took the file, and gives another: it keeps what was there before, or a cache stands before it. Name a folder of a server that gives what it was given.", at)
	}
	return nil
}

// size asks how long a file is; -1: the server does not tell. errGone: there is none.
func (f *folder) size(ctx context.Context, name string) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, f.stall)
	defer cancel()
	answer, err := f.request(ctx, http.MethodHead, name, nil)
	if err != nil {
		return 0, err
	}
	_ = answer.Body.Close()
	switch answer.StatusCode {
	case http.StatusOK:
		return answer.ContentLength, nil
	case http.StatusNotFound, http.StatusGone:
		return 0, errGone
	}
	return -1, nil
}

// stream writes a file as it comes. body must end with an error that is not io.EOF where it is not whole: then the server gets no end
// of it. A server that takes nothing for too long is given up; a body that is slow to give is not its fault.
func (f *folder) stream(ctx context.Context, name string, body io.Reader) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stalled := fault.New(fault.Unavailable, "PUT %s: the server took nothing for %s.", source.Safe(f.at(name)), f.stall)
	watched := &taken{Reader: body, watch: time.AfterFunc(f.stall, func() { cancel(stalled) }), stall: f.stall}
	defer watched.watch.Stop()
	answer, err := f.request(ctx, http.MethodPut, name, watched)
	if err != nil {
		return err
	}
	return f.answered(http.MethodPut, name, answer)
}

// taken is a body whose reader is watched: between two reads its time runs.
type taken struct {
	io.Reader
	watch *time.Timer
	stall time.Duration
}

// Read gives the next bytes.
func (t *taken) Read(p []byte) (int, error) {
	t.watch.Stop()
	n, err := t.Reader.Read(p)
	t.watch.Reset(t.stall)
	return n, err
}

// open begins to read a dump, which must have the size that its manifest says.
func (f *folder) open(ctx context.Context, d agentapi.OSDump) (*source.Body, error) {
	o := f.o
	o.Size = d.Bytes
	return source.Open(ctx, []string{f.at(d.Name)}, o)
}

// readManifest judges what a manifest says.
func readManifest(b []byte, limit int64) (*agentapi.OSManifest, error) {
	var m agentapi.OSManifest
	wrong := func(says string, args ...any) (*agentapi.OSManifest, error) {
		return nil, fault.New(fault.Invalid, "The export cannot be imported: %s.", fmt.Sprintf(says, args...))
	}
	if err := json.Unmarshal(b, &m); err != nil {
		return wrong("its %s is not JSON of the form that an export writes", manifestFile)
	}
	switch {
	case m.Version == 0:
		return wrong("its %s is of an export that did not end", manifestFile)
	case m.Version != manifestVersion:
		return wrong("its %s is of version %d, and this agent reads version %d", manifestFile, m.Version, manifestVersion)
	case len(m.Disks) == 0 || len(m.Disks) > maxDumps:
		return wrong("it has %d disks", len(m.Disks))
	}
	for i, d := range m.Disks {
		sum, err := hex.DecodeString(d.SHA256)
		switch {
		case d.Name != dumpName(i):
			return wrong("its disk %d is in a file %.40q, and not in %s", i, d.Name, dumpName(i))
		case err != nil || len(sum) != 32 || d.SHA256 != strings.ToLower(d.SHA256):
			return wrong("its %s has no SHA-256", d.Name)
		case d.Bytes < 0 || d.DiskSize <= 0 || i == 0 && d.Bytes == 0:
			return wrong("its %s has %d bytes, of a disk of %d", d.Name, d.Bytes, d.DiskSize)
		case limit > 0 && d.Bytes > limit:
			return wrong("its %s has %d bytes, and at most %d may be ([os_install] max_export_bytes)", d.Name, d.Bytes, limit)
		}
	}
	return &m, nil
}

// dumpName is the name of the file with the dump of a disk.
func dumpName(disk int) string { return fmt.Sprintf("disk-%d", disk) }
