package api

import (
	"net"
	"net/http"
	"net/url"
	"strings"

	"ingot/internal/fault"
)

// checkLocal protects a door that asks nobody who they are: it is on loopback, but a browser on this host
// may be led there by a page whose name was pointed at 127.0.0.1 (DNS rebinding), or post across sites. Such
// requests name another host, or come from another origin.
func checkLocal(r *http.Request) error {
	if !loopbackHost(r.Host) {
		return fault.New(fault.Forbidden, "This server has no authentication and so answers only requests for a loopback address, not for %q.", clip(r.Host))
	}
	origin := r.Header.Get("Origin")
	if origin == "" {
		return nil
	}
	if u, err := url.Parse(origin); err != nil || !loopbackHost(u.Host) {
		return fault.New(fault.Forbidden, "This server has no authentication and so refuses requests that a page of another site makes.")
	}
	return nil
}

// loopbackHost tells whether a Host header or the host of an origin, with or without a port, is loopback.
func loopbackHost(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.Trim(host, "[]")
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}
