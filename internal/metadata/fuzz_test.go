package metadata

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"ingot/internal/secret"
	"ingot/internal/seed"
)

// FuzzRequests: whatever a stranger sends, in whatever headers and on whatever path, it gets no instance's data; and whatever path an
// instance asks for, the service stays up and gives away nothing but that instance's.
func FuzzRequests(f *testing.F) {
	for _, head := range []string{
		"GET /openstack/latest/user_data HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET //latest/../openstack/./latest/meta_data.json HTTP/1.0\r\n\r\n",
		"GET /openstack HTTP/1.1\r\nHost: x\r\nX-Instance-ID: one\r\nX-Tenant-ID: p1\r\nX-Instance-ID-Signature: 00\r\n\r\n",
		"GET /openstack HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 192.0.2.1, 192.0.2.2\r\nX-Forwarded-For: ::1\r\n\r\n",
		"POST /openstack/latest/password HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
		"POST /openstack/latest/password HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
		"HEAD /latest/meta-data/public-keys/0/openssh-key HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		f.Add([]byte(head))
	}
	s, err := seed.Render(seed.Input{UUID: "one", Name: "one", ProjectID: "p1", UserData: secret.New("private"), PublicKeys: map[string]string{"k": "private"}, Meta: map[string]string{"k": "private"}})
	if err != nil {
		f.Fatal(err)
	}
	direct, err := New(Options{Config: Config{CacheSize: 1, TrustedProxies: []string{"192.0.2.2"}}, Instances: only{s}})
	if err != nil {
		f.Fatal(err)
	}
	proxied, err := New(Options{Config: Config{CacheSize: 1, ServiceMetadataProxy: true, SharedSecret: secret.New("s")}, Instances: only{s}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		for _, c := range []struct {
			s     *Service
			from  string
			known bool
		}{{direct, "192.0.2.1:9", true}, {direct, "192.0.2.3:9", false}, {proxied, "192.0.2.1:9", false}} {
			r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(raw)))
			if err != nil {
				return
			}
			r.RemoteAddr = c.from
			w := httptest.NewRecorder()
			c.s.ServeHTTP(w, r)
			if w.Code < 200 || w.Code > 599 || w.Code == http.StatusInternalServerError {
				t.Errorf("%d for %q", w.Code, raw)
			}
			if !c.known && strings.Contains(w.Body.String(), "private") {
				t.Errorf("a stranger gets %q for %q", w.Body, raw)
			}
		}
	})
}

// FuzzForwarded: the hop that is believed is in the header, is an address, and is no proxy.
func FuzzForwarded(f *testing.F) {
	for _, h := range []string{"", "192.0.2.1", "192.0.2.1, 10.0.0.1", "::ffff:10.0.0.1,fe80::1%eth0", ",,,", "10.0.0.1,10.0.0.2", "unknown, 10.0.0.3"} {
		f.Add(h)
	}
	s, err := New(Options{Config: Config{TrustedProxies: []string{"10.0.0.0/8"}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, h string) {
		a, err := s.forwarded([]string{h})
		if err != nil {
			return
		}
		if !a.IsValid() || a.Zone() != "" || s.trusts(a) || a.Is4In6() {
			t.Errorf("%q is %s", h, a)
		}
		for i, hop := range strings.Split(h, ",") {
			if is, err := netip.ParseAddr(strings.TrimSpace(hop)); err == nil && is.Unmap() == a {
				break
			} else if i == strings.Count(h, ",") {
				t.Errorf("%s is none of the hops of %q", a, h)
			}
		}
	})
}

// only is one instance at 192.0.2.1.
type only struct{ s *seed.Seed }

func (o only) At(_ context.Context, a netip.Addr) ([]Mark, error) {
	if a.String() == "192.0.2.1" {
		return []Mark{{Node: "n", ID: "one", Project: "p1"}}, nil
	}
	return nil, nil
}
func (o only) ByID(_ context.Context, id string) ([]Mark, error) {
	if id == "one" {
		return []Mark{{Node: "n", ID: "one", Project: "p1"}}, nil
	}
	return nil, nil
}
func (o only) ByNode(context.Context, string) ([]Mark, error) { return nil, nil }
func (o only) Open(_ context.Context, m Mark) (*Instance, error) {
	return &Instance{Mark: m, Seed: o.s}, nil
}
func (o only) Static(*Instance) json.RawMessage                                { return nil }
func (o only) Password(context.Context, *Instance) ([]byte, error)             { return nil, nil }
func (o only) SetPassword(context.Context, *Instance, []byte) error            { return nil }
func (o only) VendorData2(context.Context, *Instance) (json.RawMessage, error) { return nil, nil }
