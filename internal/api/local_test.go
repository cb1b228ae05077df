package api

import (
	"net/http/httptest"
	"testing"
)

func TestLocalOnly(t *testing.T) {
	for _, tc := range []struct {
		host, origin string
		ok           bool
	}{
		{"127.0.0.1:6385", "", true},
		{"localhost:6385", "http://localhost:8080", true},
		{"[::1]:6385", "", true},
		{"LOCALHOST", "", true},
		{"evil.example:6385", "", false},
		{"127.0.0.1.evil.example", "", false},
		{"192.0.2.1:6385", "", false},
		{"", "", false},
		{"127.0.0.1:6385", "http://evil.example", false},
		{"127.0.0.1:6385", "null", false},
	} {
		r := httptest.NewRequest("POST", "/v1/nodes", nil)
		r.Host = tc.host
		if tc.origin != "" {
			r.Header.Set("Origin", tc.origin)
		}
		if err := checkLocal(r); (err == nil) != tc.ok {
			t.Errorf("host %q origin %q: %v, want ok %v", tc.host, tc.origin, err, tc.ok)
		}
	}
}
