package metadata

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"ingot/internal/metal"
	"ingot/internal/secret"
	"ingot/internal/store"
	"ingot/internal/store/storetest"
)

// TestRequirement12AnAddressIsAnInstance: an instance is known by its own address and by a lease of its NIC, and by nothing that it
// says; two at one address are nobody.
func TestRequirement12AnAddressIsAnInstance(t *testing.T) {
	each(t, Defaults(), func(t *testing.T, w *world) {
		one, two := w.node(), w.node()
		w.deploy(one, "one", "p1", "127.0.0.11", "127.0.0.33")
		w.deploy(two, "two", "p2", "127.0.0.12", "127.0.0.33")
		w.lease("127.0.0.21", macOf(1))
		w.lease("127.0.0.29", "52:54:00:00:00:99")
		for from, want := range map[string]string{"127.0.0.11": "one", "127.0.0.12": "two", "127.0.0.21": "one", "127.0.0.29": "", "127.0.0.1": "", "127.0.0.33": ""} {
			if got := w.hostname(from); got != want {
				t.Errorf("%s is %q, want %q", from, got, want)
			}
		}
		lie := []string{"X-Forwarded-For: 127.0.0.12", "X-Instance-ID: " + two.UUID, "X-Tenant-ID: p2", "X-Instance-ID-Signature: " + sign("", two.UUID), "Forwarded: for=127.0.0.12", "X-Real-IP: 127.0.0.12"}
		if got := w.hostname("127.0.0.11", lie...); got != "one" {
			t.Errorf("with headers of another it is %q", got)
		}
		if got := w.hostname("127.0.0.1", lie...); got != "" {
			t.Errorf("headers alone make a stranger %q", got)
		}
		if log := w.log.String(); !strings.Contains(log, "more than one instance has the address") || !strings.Contains(log, one.UUID+" "+two.UUID) {
			t.Errorf("the log does not tell of the address of two:\n%s", log)
		}
	})
}

// TestRequirement12TheMatrixOfSignedRequests: what is missing is refused in upstream's order, a wrong signature is forbidden, and an
// instance of another tenant looks as one that is not there.
func TestRequirement12TheMatrixOfSignedRequests(t *testing.T) {
	c := Defaults()
	c.ServiceMetadataProxy, c.SharedSecret = true, secret.New("between us")
	each(t, c, func(t *testing.T, w *world) {
		n, other := w.node(), w.node()
		w.deploy(n, "one", "p1", "127.0.0.11")
		w.deploy(other, "nobodys", "", "127.0.0.12")
		const absent = "00000000-0000-4000-8000-00000000ffff"
		id, tenant, signature := "X-Instance-ID: ", "X-Tenant-ID: ", "X-Instance-ID-Signature: "
		good := signature + sign("between us", n.UUID)
		gone := w.ask("127.0.0.11", "GET", "/openstack", "", id+absent, tenant+"p1", signature+sign("between us", absent))
		for _, r := range []struct {
			name    string
			headers []string
			status  int
			said    string
		}{
			{"all right", []string{id + n.UUID, tenant + "p1", good}, 200, ""},
			{"in capitals", []string{"x-instance-id: " + n.UUID, "X-TENANT-ID: p1", good}, 200, ""},
			{"nothing", nil, 400, "X-Instance-ID is missing"},
			{"no id", []string{tenant + "p1", good}, 400, "X-Instance-ID is missing"},
			{"an empty id", []string{"X-Instance-ID: ", tenant + "p1", good}, 400, "X-Instance-ID is missing"},
			{"no signature, no tenant", []string{id + n.UUID}, 400, "X-Instance-ID-Signature is missing"},
			{"no tenant", []string{id + n.UUID, good}, 400, "X-Tenant-ID is missing"},
			{"no tenant and a wrong signature", []string{id + n.UUID, signature + sign("x", n.UUID)}, 400, "X-Tenant-ID is missing"},
			{"another key", []string{id + n.UUID, tenant + "p1", signature + sign("x", n.UUID)}, 403, "signature"},
			{"an empty key", []string{id + n.UUID, tenant + "p1", signature + sign("", n.UUID)}, 403, "signature"},
			{"signature of another", []string{id + n.UUID, tenant + "p1", signature + sign("between us", other.UUID)}, 403, "signature"},
			{"signature in capitals", []string{id + n.UUID, tenant + "p1", signature + strings.ToUpper(sign("between us", n.UUID))}, 403, "signature"},
			{"half a signature", []string{id + n.UUID, tenant + "p1", good[:len(good)-1]}, 403, "signature"},
			{"another tenant", []string{id + n.UUID, tenant + "p2", good}, 404, gone.body},
			{"nobody's instance", []string{id + other.UUID, tenant + "p1", signature + sign("between us", other.UUID)}, 404, gone.body},
			{"unknown", []string{id + absent, tenant + "p1", signature + sign("between us", absent)}, 404, gone.body},
			{"a long id", []string{id + strings.Repeat("a", 300), tenant + "p1", signature + sign("between us", strings.Repeat("a", 300))}, 404, gone.body},
			{"a load balancer", []string{"X-Metadata-Provider: p", "X-Metadata-Provider-Signature: " + sign("between us", "p"), "X-Forwarded-For: 127.0.0.11"}, 501, "X-Metadata-Provider"},
		} {
			for _, path := range []string{"/openstack", "/openstack/latest/meta_data.json", "/latest/meta-data/hostname"} {
				got := w.ask("127.0.0.11", "GET", path, "", r.headers...)
				if got.status != r.status || !strings.Contains(got.body, r.said) {
					t.Errorf("%s, %s: %d %q, want %d %q", r.name, path, got.status, got.body, r.status, r.said)
				}
				if r.status != 200 && got.head.Get("Content-Type") != gone.head.Get("Content-Type") {
					t.Errorf("%s: it is %q", r.name, got.head.Get("Content-Type"))
				}
			}
		}
		w.get("127.0.0.11", "/", 200)
	})
}

// TestAnotherTenantsInstanceMayHaveTheSameID: whoever owns a node gives it an instance-id that he likes.
func TestAnotherTenantsInstanceMayHaveTheSameID(t *testing.T) {
	c := Defaults()
	c.ServiceMetadataProxy, c.SharedSecret = true, secret.New("between us")
	onSQLite(t, c, func(w *world) {
		n, thief := w.node(), w.node()
		w.deploy(n, "one", "p1")
		stolen := w.deploy(thief, "two", "p2")
		stolen.ID = n.UUID
		w.save(thief, stolen)
		for tenant, want := range map[string]string{"p1": "one", "p2": "two"} {
			if got := w.get("127.0.0.1", "/latest/meta-data/hostname", 200, "X-Instance-ID: "+n.UUID, "X-Tenant-ID: "+tenant, "X-Instance-ID-Signature: "+sign("between us", n.UUID)); got.body != want {
				t.Errorf("the instance of %s is told that it is %q", tenant, got.body)
			}
		}
		w.get("127.0.0.1", "/latest/meta-data/hostname", 404, "X-Instance-ID: "+n.UUID, "X-Tenant-ID: p3", "X-Instance-ID-Signature: "+sign("between us", n.UUID))
	})
}

// TestRequirement13RepeatedHeaders: a header that is there twice, in whatever form, is refused, and never one of the two believed.
func TestRequirement13RepeatedHeaders(t *testing.T) {
	c := Defaults()
	c.ServiceMetadataProxy, c.SharedSecret = true, secret.New("between us")
	onSQLite(t, c, func(w *world) {
		n := w.node()
		w.deploy(n, "one", "p1")
		right := []string{"X-Instance-ID: " + n.UUID, "X-Tenant-ID: p1", "X-Instance-ID-Signature: " + sign("between us", n.UUID)}
		w.get("127.0.0.1", "/openstack", 200, right...)
		for i, h := range right {
			for _, twice := range []string{h, strings.SplitN(h, ": ", 2)[0] + ": other"} {
				w.get("127.0.0.1", "/openstack", 400, append(append([]string{}, right...), twice)...)
				w.get("127.0.0.1", "/openstack", 400, append([]string{twice}, right...)...)
			}
			joined := append([]string{}, right...)
			joined[i] += ", " + strings.SplitN(h, ": ", 2)[1]
			w.get("127.0.0.1", "/openstack", 400, joined...)
		}
	})
}

// TestRequirement13AnEmptySecretEndsTheStart: who has no secret cannot tell who signed.
func TestRequirement13AnEmptySecretEndsTheStart(t *testing.T) {
	c := Defaults()
	c.ServiceMetadataProxy = true
	if _, err := New(Options{Config: c}); err == nil || !strings.Contains(err.Error(), "metadata_proxy_shared_secret") {
		t.Errorf("with an empty secret: %v", err)
	}
	c.SharedSecret = secret.New("x")
	if _, err := New(Options{Config: c}); err != nil {
		t.Errorf("with a secret: %v", err)
	}
	for _, bad := range []Config{{TrustedProxies: []string{"proxy"}}, {Listen: []string{"169.254.169.254"}}} {
		if err := bad.Check(); err == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
}

// TestForwardedIsBelievedFromProxiesOnly: and of what they say only the last hop that is none of them.
func TestForwardedIsBelievedFromProxiesOnly(t *testing.T) {
	c := Defaults()
	c.TrustedProxies = []string{"127.0.0.100", "127.0.1.0/24", "2001:db8::/32"}
	onSQLite(t, c, func(w *world) {
		one, two := w.node(), w.node()
		w.deploy(one, "one", "p1", "127.0.0.11", "2001:db9::11")
		w.deploy(two, "two", "p1", "127.0.0.12")
		for _, r := range []struct {
			from   string
			header []string
			want   string
			status int
		}{
			{"127.0.0.100", []string{"127.0.0.11"}, "one", 200},
			{"127.0.1.7", []string{"127.0.0.11"}, "one", 200},
			{"127.0.0.100", []string{"::ffff:127.0.0.11"}, "one", 200},
			{"127.0.0.100", []string{"2001:db9::11"}, "one", 200},
			{"127.0.0.100", []string{"127.0.0.12, 127.0.0.11"}, "one", 200},
			{"127.0.0.100", []string{"127.0.0.12", "127.0.0.11"}, "one", 200},
			{"127.0.0.100", []string{"127.0.0.12, 127.0.0.11, 127.0.1.1,127.0.0.100"}, "one", 200},
			{"127.0.0.11", []string{"127.0.0.12"}, "one", 200},
			{"127.0.0.100", nil, "", 400},
			{"127.0.0.100", []string{""}, "", 400},
			{"127.0.0.100", []string{"127.0.0.11, unknown"}, "", 400},
			{"127.0.0.100", []string{"127.0.0.11:80"}, "", 400},
			{"127.0.0.100", []string{"fe80::1%eth0"}, "", 400},
			{"127.0.0.100", []string{"127.0.1.1"}, "", 400},
			{"127.0.0.100", []string{strings.Repeat("127.0.0.11,", 40) + "127.0.1.1"}, "", 400},
			{"127.0.0.100", []string{"127.0.0.99"}, "", 404},
			{"127.0.0.101", []string{"127.0.0.11"}, "", 404},
		} {
			var headers []string
			for _, h := range r.header {
				headers = append(headers, "X-Forwarded-For: "+h)
			}
			got := w.get(r.from, "/latest/meta-data/hostname", r.status, headers...)
			if r.status == 200 && got.body != r.want {
				t.Errorf("%s for %q is %q, want %q", r.from, r.header, got.body, r.want)
			}
		}
	})
}

// TestOnlyProxiesMaySign: where proxies are configured, nobody else is asked for a signature.
func TestOnlyProxiesMaySign(t *testing.T) {
	c := Defaults()
	c.ServiceMetadataProxy, c.SharedSecret, c.TrustedProxies = true, secret.New("between us"), []string{"127.0.0.100"}
	onSQLite(t, c, func(w *world) {
		n := w.node()
		w.deploy(n, "one", "p1")
		right := []string{"X-Instance-ID: " + n.UUID, "X-Tenant-ID: p1", "X-Instance-ID-Signature: " + sign("between us", n.UUID)}
		w.get("127.0.0.100", "/openstack", 200, right...)
		w.get("127.0.0.101", "/openstack", 403, right...)
	})
}

// TestARamdiskIsNoInstance: nothing is served while the machine may run something else than the instance, or is no more its.
func TestARamdiskIsNoInstance(t *testing.T) {
	each(t, Defaults(), func(t *testing.T, w *world) {
		n := w.node()
		w.deploy(n, "one", "p1", "127.0.0.11")
		for s := range metal.States {
			w.state(n, s)
			want := ""
			if s == metal.Active {
				want = "one"
			}
			if got := w.hostname("127.0.0.11"); got != want {
				t.Errorf("a machine whose node is %s is %q", s, got)
			}
			if got := w.get("127.0.0.11", "/openstack", map[bool]int{true: 200, false: 404}[want != ""]); want == "" && strings.Contains(got.body, string(s)) {
				t.Errorf("in %s it is told %q", s, got.body)
			}
		}
		op := func(p metal.Plan, step string, undoing bool) {
			w.write(func(tx *store.Tx) error {
				if err := tx.Supersede(n.ID, "another"); err != nil {
					return err
				}
				w.nodes++
				o := &store.Operation{UUID: storetestID(w.nodes), NodeID: n.ID, Exclusive: true, Verb: "x", Plan: string(p), StepName: step, Undoing: undoing, Driver: "fake"}
				return tx.CreateOperation(o)
			})
		}
		for _, r := range []struct {
			state   metal.State
			plan    metal.Plan
			step    string
			undoing bool
			want    string
		}{
			{metal.Deploying, metal.PlanDeploy, "write image", false, ""},
			{metal.Deploying, metal.PlanDeploy, "start instance", false, "one"},
			{metal.Deploying, metal.PlanDeploy, "start instance", true, ""},
			{metal.Unrescuing, metal.PlanUnrescue, "see secure boot", false, "one"},
			{metal.Active, metal.PlanRestore, "power off", false, ""},
			{metal.Active, metal.PlanPower, "switch on", false, "one"},
		} {
			w.state(n, r.state)
			op(r.plan, r.step, r.undoing)
			if got := w.hostname("127.0.0.11"); got != r.want {
				t.Errorf("%s, at %q of %s: it is %q, want %q", r.state, r.step, r.plan, got, r.want)
			}
		}
	})
}

func storetestID(i int) string {
	return "00000000-0000-4000-a000-" + strings.Repeat("0", 10) + string(rune('0'+i/10)) + string(rune('0'+i%10))
}

// TestOtherSourcesOfAddresses: they are asked about addresses that the database does not know, and what they say is not kept.
func TestOtherSourcesOfAddresses(t *testing.T) {
	db := storetest.SQLite(t)()
	other := &source{}
	w := newWorld(t, db, Defaults(), nil, []Addresses{other})
	one, two := w.node(), w.node()
	w.deploy(one, "one", "p1", "127.0.0.11")
	w.deploy(two, "two", "p1")
	other.nodes = []string{two.UUID, two.UUID}
	if got := w.hostname("127.0.0.11"); got != "one" || other.asked != 0 {
		t.Errorf("an address of the database's is %q, and others were asked %d times", got, other.asked)
	}
	if got := w.hostname("127.0.0.12"); got != "two" {
		t.Errorf("the other's is %q", got)
	}
	other.nodes = []string{one.UUID}
	if got := w.hostname("127.0.0.12"); got != "one" {
		t.Errorf("when it says another it is %q", got)
	}
	other.nodes = []string{one.UUID, two.UUID}
	if got := w.hostname("127.0.0.12"); got != "" {
		t.Errorf("two are %q", got)
	}
	other.nodes = []string{"00000000-0000-4000-8000-00000000ffff"}
	if got := w.hostname("127.0.0.12"); got != "" {
		t.Errorf("an unknown node is %q", got)
	}
	other.err = errors.New("it is down")
	if got := w.get("127.0.0.12", "/openstack", http.StatusServiceUnavailable); got.head.Get("Retry-After") == "" || strings.Contains(got.body, "down") {
		t.Errorf("while it is down: %v", got)
	}
}

// source says what a test wants.
type source struct {
	nodes []string
	err   error
	asked int
}

// NodesAt implements Addresses.
func (s *source) NodesAt(context.Context, netip.Addr) ([]string, error) {
	s.asked++
	return s.nodes, s.err
}

// TestAUserCannotClaimAnAddress: what an instance's user says of its addresses takes none from others, and is nothing by itself; where the
// kernel sees a machine's MAC at an address, that decides.
func TestAUserCannotClaimAnAddress(t *testing.T) {
	each(t, Defaults(), func(t *testing.T, w *world) {
		thief, leased, planned, given := w.node(), w.node(), w.node(), w.node()
		w.deploy(thief, "thief", "p1")
		w.deploy(leased, "leased", "p2")
		w.deploy(planned, "planned", "p3", "127.0.0.22")
		w.deploy(given, "given", "p4")
		w.lease("127.0.0.21", macOf(2))
		claims := func(n *metal.Node, source string, all ...string) {
			t.Helper()
			var list []store.InstanceAddress
			for _, a := range all {
				list = append(list, store.InstanceAddress{Address: at(a)})
			}
			w.write(func(tx *store.Tx) error { return tx.SaveInstanceAddresses(n.ID, source, list) })
		}
		claims(given, store.FromNetworkService, "127.0.0.23")
		claims(thief, store.FromNetworkData, "127.0.0.21", "127.0.0.22", "127.0.0.23", "127.0.0.24")
		for from, want := range map[string]string{"127.0.0.21": "leased", "127.0.0.22": "planned", "127.0.0.23": "given", "127.0.0.24": ""} {
			if got := w.hostname(from); got != want {
				t.Errorf("%s is %q, want %q", from, got, want)
			}
		}
		if log := w.log.String(); !strings.Contains(log, "claim") || !strings.Contains(log, thief.UUID) {
			t.Errorf("the log does not name who claims:\n%s", log)
		}
		claims(planned, store.FromNode, "127.0.0.21", "127.0.0.22") // who owns a node goes before a user, and not before a lease
		if got := w.hostname("127.0.0.21"); got != "leased" {
			t.Errorf("what is planned takes the address of a lease: %q", got)
		}
		stored := w.service.o.Instances.(*Stored)
		stored.TrustUsers = true
		for from, want := range map[string]string{"127.0.0.21": "leased", "127.0.0.22": "planned", "127.0.0.23": "given", "127.0.0.24": "thief"} {
			if got := w.hostname(from); got != want {
				t.Errorf("where users are trusted %s is %q, want %q", from, got, want)
			}
		}
		stored.TrustUsers = false
		for mac, want := range map[string]map[string]string{
			macOf(1):            {"127.0.0.21": "thief", "127.0.0.24": "thief", "127.0.0.25": ""}, // it is its own that it reads
			macOf(2):            {"127.0.0.21": "leased", "127.0.0.22": "", "127.0.0.24": ""},
			"52:54:00:00:00:99": {"127.0.0.21": "", "127.0.0.22": "", "127.0.0.24": ""},
		} {
			stored.Neighbor = func(netip.Addr) string { return mac }
			for from, name := range want {
				if got := w.hostname(from); got != name {
					t.Errorf("%s with the MAC %s is %q, want %q", from, mac, got, name)
				}
			}
		}
	})
}

// TestALinkLocalAddressIsItsMAC: nobody gave it out, so the kernel says whose it is.
func TestALinkLocalAddressIsItsMAC(t *testing.T) {
	onSQLite(t, Defaults(), func(w *world) {
		one := w.node()
		w.deploy(one, "one", "p1")
		asked := ""
		s := &Stored{DB: w.db, Neighbor: func(a netip.Addr) string {
			asked = a.String()
			return macOf(1)
		}}
		found, err := s.At(t.Context(), netip.MustParseAddr("fe80::5054:ff:fe00:1%eth7"))
		if err != nil || len(found) != 1 || found[0].Node != one.UUID || asked != "fe80::5054:ff:fe00:1%eth7" {
			t.Errorf("%v, %v; the kernel was asked for %s", found, err, asked)
		}
		for name, s := range map[string]*Stored{"unknown": {DB: w.db, Neighbor: func(netip.Addr) string { return "" }}, "nobody to ask": {DB: w.db},
			"of nobody": {DB: w.db, Neighbor: func(netip.Addr) string { return macOf(77) }}} {
			if found, err := s.At(t.Context(), netip.MustParseAddr("fe80::1%eth7")); err != nil || len(found) != 0 {
				t.Errorf("%s: %v, %v", name, found, err)
			}
		}
	})
}

// TestWhatIsThereIsListed: an address that is known of the request alone is in the list of what can be asked for, too.
func TestWhatIsThereIsListed(t *testing.T) {
	onSQLite(t, Defaults(), func(w *world) {
		w.deploy(w.node(), "one", "p1", "127.0.0.11")
		if got := w.get("127.0.0.11", "/latest/meta-data/local-ipv4", 200); got.body != "127.0.0.11" {
			t.Errorf("it is %q", got.body)
		}
		for _, path := range []string{"/latest/meta-data", "/latest/meta-data/", "/ec2/1.0/meta-data"} {
			if got := w.get("127.0.0.11", path, 200); !strings.Contains(got.body, "local-ipv4") {
				t.Errorf("%s lists %q", path, got.body)
			}
		}
	})
}
