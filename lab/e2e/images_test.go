package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"

	"ingot/internal/image"
	"ingot/internal/image/imagetest"
)

// mib in bytes.
const mib = 1 << 20

// images serves one image under several names, each with its own way to go wrong.
type images struct {
	url  string // ends with a slash
	good []byte
	mux  *http.ServeMux
	half chan struct{} // the gate: what is past the middle of "gated" is sent once this is closed

	mu   sync.Mutex
	open bool
}

// serveImages serves the image on an address that the machine reaches:
//
//	good       all of it, with ranges
//	gated      the first half at once, the rest when the gate is opened
//	truncated  three quarters; who asks for more gets nothing, however often
//	large      an image of the same kind that says it has large bytes, more than the disk
//	qcow2      the beginning of one, and then nothing that makes sense
//	noise      no format at all
func serveImages(t *testing.T, host string, good []byte, large int64) *images {
	t.Helper()
	mux := http.NewServeMux()
	i := &images{good: good, mux: mux, half: make(chan struct{})}
	i.file("good", func() io.ReadSeeker { return bytes.NewReader(good) })
	i.file("qcow2", func() io.ReadSeeker { return bytes.NewReader(qcow2()) })
	i.file("noise", func() io.ReadSeeker { return bytes.NewReader(noise(3*mib, 7)) })
	i.file("large", func() io.ReadSeeker {
		return io.NewSectionReader(padded{good}, 0, large)
	})
	mux.HandleFunc("GET /truncated", i.truncated)
	mux.HandleFunc("GET /gated", i.gated)
	i.url = serveHandler(t, host, mux)
	t.Cleanup(i.openGate)
	return i
}

// serveHandler serves it on an address that the machine reaches, until the test ends, and gives its URL with a slash at its end.
func serveHandler(t *testing.T, host string, h http.Handler) string {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	srv := &httptest.Server{Listener: l, Config: &http.Server{Handler: h}}
	srv.Start()
	t.Cleanup(srv.Close)
	return srv.URL + "/"
}

// file serves content whole and by range.
func (i *images) file(name string, content func() io.ReadSeeker) {
	i.mux.HandleFunc("GET /"+name, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", strconv.Quote(name))
		http.ServeContent(w, r, name, time.Time{}, content())
	})
}

// openGate lets the rest of "gated" out.
func (i *images) openGate() {
	i.mu.Lock()
	defer i.mu.Unlock()
	if !i.open {
		i.open = true
		close(i.half)
	}
}

func (i *images) truncated(w http.ResponseWriter, r *http.Request) {
	from := 0
	w.Header().Set("ETag", `"truncated"`)
	if _, err := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &from); err == nil {
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(i.good)-1, len(i.good)))
		w.Header().Set("Content-Length", strconv.Itoa(len(i.good)-from))
		w.WriteHeader(http.StatusPartialContent)
	} else {
		w.Header().Set("Content-Length", strconv.Itoa(len(i.good)))
	}
	end := len(i.good) * 3 / 4
	_, _ = w.Write(i.good[min(from, end):end]) // and net/http closes the connection: too little was written
}

func (i *images) gated(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Length", strconv.Itoa(len(i.good)))
	if _, err := w.Write(i.good[:len(i.good)/2]); err != nil {
		return
	}
	if err := http.NewResponseController(w).Flush(); err != nil {
		return
	}
	select {
	case <-i.half:
		_, _ = w.Write(i.good[len(i.good)/2:]) // who asked may be gone
	case <-r.Context().Done():
	}
}

// padded is a file with zeros behind it, as far as anybody reads.
type padded struct{ b []byte }

func (p padded) ReadAt(out []byte, off int64) (int, error) {
	clear(out)
	if off < int64(len(p.b)) {
		copy(out, p.b[off:])
	}
	return len(out), nil
}

// wholeDisk is a raw image of a whole disk, of size bytes: a GPT, an EFI system partition's place and a root
// file system's, full of what cannot be compressed.
func wholeDisk(size int) []byte {
	b := noise(size, 1)
	clear(b[:mib])
	clear(b[size-mib:])
	last := uint64(size/512 - 1)
	imagetest.GPT(b, 512, imagetest.Part{Type: image.TypeESP, First: 2048, Last: 4095, Name: "esp"},
		imagetest.Part{Type: image.TypeLinuxRoot, First: 4096, Last: last - 2048, Name: "root"})
	return b
}

// noise is the same bytes for the same seed.
func noise(size int, seed byte) []byte {
	b := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(b) // it never fails
	return b
}

// qcow2 begins as a qcow2 of version 3 does (magic, version, no backing file, 64 KiB clusters).
func qcow2() []byte {
	b := noise(3*mib, 2)
	copy(b, "QFI\xfb\x00\x00\x00\x03\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x10")
	return b
}

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}
