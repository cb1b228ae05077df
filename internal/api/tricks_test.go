package api

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"ingot/internal/fault"
)

// TestPathTricks: no spelling of a path gets behind the log-in, whatever is public beside it.
func TestPathTricks(t *testing.T) {
	r := newRig(t, func(o *Options) {
		o.Identity, o.AgentOnPublic = guard{fault.New(fault.Unauthenticated, "Log in.")}, true
	})
	host := strings.TrimPrefix(r.url, "http://")
	for _, target := range []string{"/v1/lookup/../nodes", "/v1/lookup/..%2fnodes", "/v1/lookup%2f..%2fnodes", "//v1/nodes", "/v1/%6eodes", "/v1/nodes/", "/V1/nodes",
		"/v1;/nodes", "/v1/nodes;x", "/.json/../v1/nodes", "/v1.json/nodes", "/v1/nodes.json", "/v1/nodes.xml", "/v1/heartbeat/../nodes", "/v1/heartbeat/%2e%2e/nodes",
		"/v1/heartbeat/..%5cnodes", "/v1/heartbeat/a/../../nodes", "/./v1/./nodes", "/v1/lookup/%2e%2e/nodes", "http://x/v1/nodes", "http://x/v1/lookup/../nodes", "/v1/nodes%00", "/v1/nodes%3f", "/%76%31/nodes"} {
		for _, method := range []string{"GET", "HEAD", "POST", "OPTIONS", "CONNECT", "TRACE"} {
			c, err := net.Dial("tcp", host)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(c, "%s %s HTTP/1.1\r\nHost: %s\r\nX-OpenStack-Ironic-API-Version: 1.80\r\nX-HTTP-Method-Override: GET\r\nX-Original-URL: /v1/lookup\r\nConnection: close\r\n\r\n", method, target, host)
			b, err := io.ReadAll(c)
			_ = c.Close()
			if err != nil {
				t.Fatal(err)
			}
			line, _, _ := strings.Cut(string(b), "\r\n")
			status := ""
			if f := strings.Fields(line); len(f) > 1 {
				status = f[1]
			}
			switch status {
			case "401", "400", "404", "405", "":
			default:
				t.Errorf("%s %s: %s", method, target, b)
			}
		}
	}
}
