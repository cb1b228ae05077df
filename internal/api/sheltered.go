package api

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// sheltered tells whether nobody could read on the way what a request brings: it came by TLS, from this host, or through what ends
// TLS in front of this server, where public_endpoint is https.
func sheltered(r *http.Request, publicEndpoint string) bool {
	if r.TLS != nil || strings.HasPrefix(publicEndpoint, "https://") {
		return true
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return false
	}
	from, err := netip.ParseAddr(host)
	return err == nil && from.Unmap().IsLoopback()
}
