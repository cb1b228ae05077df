package depot

import (
	"encoding/hex"
	"io"
	"net/http"
	"time"
)

// maxShelfRequests is how many machines may fetch from a shelf at once.
const maxShelfRequests = 512

// PushedPath is the address of a pushed file, as a path to be put behind the boot host's URL. The last part is for
// BMCs, which look at it for what the file is.
func PushedPath(name, as string) string { return "/pushed/" + name + "/" + as }

// Handler serves what was pushed: GET and HEAD, with ranges, to who knows the name. All else is 404, whatever is
// there; nothing is listed. /healthz answers anyone.
func (s *Shelf) Handler() http.Handler {
	gate := make(chan struct{}, maxShelfRequests)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "ingot boot host\n") // whoever asked may be gone
	})
	mux.HandleFunc("GET /pushed/{name}/{as}", func(w http.ResponseWriter, r *http.Request) {
		select {
		case gate <- struct{}{}:
			defer func() { <-gate }()
		default:
			w.Header().Set("Retry-After", "5")
			refuse(w, http.StatusServiceUnavailable, "Too many requests at once.")
			return
		}
		s.serve(w, r)
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		patience(w)
		mux.ServeHTTP(w, r)
	})
}

func (s *Shelf) serve(w http.ResponseWriter, r *http.Request) {
	file, f, err := s.open(r.PathValue("name"))
	if err != nil {
		refuse(w, http.StatusNotFound, "There is nothing here.")
		return
	}
	defer file.Close() // read-only: nothing is lost
	sum, err := hex.DecodeString(f.SHA256)
	if err != nil {
		refuse(w, http.StatusNotFound, "There is nothing here.")
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("ETag", `"`+hex.EncodeToString(sum[:16])+`"`)
	out := &metered{ResponseWriter: w, book: func(int64) error { return nil }}
	http.ServeContent(out, r, "", time.Time{}, file)
	s.o.Log.Debug("pushed file fetched", "range", r.Header.Get("Range"), "bytes", out.sent, "remote", r.RemoteAddr)
}
