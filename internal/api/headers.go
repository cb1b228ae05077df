package api

import "net/http"

// plain says of every answer of a listener what a browser that has come here, or was sent here by somebody's page, must not do with
// it: guess its type, run or frame it, keep it, tell others the address. A handler may keep what is to be kept. Nothing that we
// serve is a page.
func plain(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := w.Header()
		answer.Set("X-Content-Type-Options", "nosniff")
		answer.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; sandbox")
		answer.Set("X-Frame-Options", "DENY")
		answer.Set("Referrer-Policy", "no-referrer")
		answer.Set("Cross-Origin-Resource-Policy", "same-origin")
		answer.Set("Cache-Control", "no-store")
		if r.TLS != nil {
			answer.Set("Strict-Transport-Security", "max-age=31536000")
		}
		h.ServeHTTP(w, r)
	})
}
