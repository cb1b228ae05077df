package neutron_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"sync/atomic"
	"testing"

	"ingot/internal/driver/neutron"
	"ingot/internal/driver/neutron/neutrontest"
	"ingot/internal/metal"
	"ingot/internal/secret"
)

func driverInfo(t *testing.T, m map[string]any) secret.Map {
	t.Helper()
	return secret.NewMap(m)
}

// mortal is a way to Neutron on which whoever asks dies with a request: its context ends when Neutron has done what the
// request asked for, and no answer comes.
type mortal struct {
	url  string
	left atomic.Int32 // requests until then
	die  atomic.Pointer[context.CancelFunc]
	// untagged hides that Neutron tags ports as it makes them.
	untagged bool
}

func newMortal(t *testing.T, to string, untagged bool) *mortal {
	t.Helper()
	at, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	m := &mortal{untagged: untagged}
	proxy := httputil.NewSingleHostReverseProxy(at)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if m.untagged && r.URL.Path == "/v2.0/extensions/tag-ports-during-bulk-creation" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		if m.left.Add(-1) != 0 {
			proxy.ServeHTTP(w, r)
			return
		}
		proxy.ServeHTTP(httptest.NewRecorder(), r.WithContext(context.WithoutCancel(r.Context())))
		(*m.die.Load())()
		panic(http.ErrAbortHandler)
	}))
	t.Cleanup(s.Close)
	m.url = s.URL
	return m
}

// testDeath: whoever plugs and unplugs dies after each request in turn, having noted nothing. A new one that does the same
// leaves exactly the ports that there should be.
func testDeath(t *testing.T, cloud *neutrontest.Cloud, nets map[string]string) {
	if os.Getenv("INGOT_LAB_FULL") != "1" {
		t.Skip("skipped: set INGOT_LAB_FULL=1 to die after each request, for some minutes")
	}
	for _, untagged := range []bool{false, true} {
		m := newMortal(t, cloud.URL, untagged)
		act := func(plug bool, die int32) (died bool) {
			r := newRig(t, cloud, func(c *neutron.Config) { c.EndpointOverride, c.Retries = m.url, 0 })
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			m.die.Store(&cancel)
			m.left.Store(die)
			i := neutron.Neutron{Driver: r.d}
			var err error
			if plug {
				_, _, err = i.Plug(ctx, r.n, r.w, metal.ProvisioningNetwork)
			} else {
				_, err = i.Unplug(ctx, r.n, r.w, metal.ProvisioningNetwork)
			}
			if (err != nil) != (ctx.Err() != nil) {
				t.Fatalf("request %d: %v", die, err)
			}
			return err != nil
		}
		count := func() int { return len(cloud.Ports(url.Values{"network_id": {nets["provisioning"]}})) }
		for at := int32(1); act(true, at); at++ {
			act(true, 0)
			if n := count(); n != 2 {
				t.Errorf("died plugging at request %d: %d ports after another did it", at, n)
			}
			act(false, 0)
			if act(true, at); at > 40 {
				t.Fatal("no end")
			}
			act(false, 0)
			if n := count(); n != 0 {
				t.Errorf("died plugging at request %d: %d ports are left behind", at, n)
			}
		}
		for at := int32(1); ; at++ {
			act(true, 0)
			died := act(false, at)
			act(false, 0)
			if n := count(); n != 0 {
				t.Errorf("died unplugging at request %d: %d ports are left behind", at, n)
			}
			if !died {
				break
			}
		}
	}
}
