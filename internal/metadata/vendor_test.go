package metadata

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"ingot/internal/metal"
	"ingot/internal/secret"
	"ingot/internal/seed"
	"ingot/internal/store"
	"ingot/internal/store/storetest"
	"ingot/internal/vendordata"
)

// target is a vendordata server that counts who asks.
type target struct {
	*httptest.Server

	mu    sync.Mutex
	asked map[string]int // by hostname
	cache string         // its Cache-Control
	fails bool
}

func newTarget(t *testing.T) *target {
	t.Helper()
	s := &target{asked: map[string]int{}, cache: "max-age=3600"}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in struct{ Hostname string }
		_ = json.NewDecoder(r.Body).Decode(&in) // what is not there is counted under ""
		s.mu.Lock()
		defer s.mu.Unlock()
		s.asked[in.Hostname]++
		if s.fails {
			http.Error(w, "the words of the target", http.StatusInternalServerError)
			return
		}
		w.Header().Set("Cache-Control", s.cache)
		fmt.Fprintf(w, `{"role": "of %s", "answer": %d}`, in.Hostname, s.asked[in.Hostname])
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *target) set(cache string, fails bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cache, s.fails = cache, fails
}

func (s *target) times(hostname string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[hostname]
}

// vendor is a vendordata service with one target.
func vendor(t *testing.T, s *target, fatal bool, static string) *vendordata.Service {
	t.Helper()
	c := vendordata.Defaults()
	c.VendordataProviders = []string{vendordata.StaticJSON, vendordata.DynamicJSON}
	c.VendordataDynamicTargets = vendordata.TargetList{"roles@" + s.URL + "/roles"}
	c.VendordataDynamicFailureFatal, c.VendordataJSONFilePath = fatal, static
	v, err := vendordata.New(c, vendordata.Options{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Close)
	return v
}

// fetched deploys a node as a conductor does: the targets are asked, and what they said is sealed with the instance.
func (w *world) fetched(v *vendordata.Service, n *metal.Node, name, at string) {
	w.t.Helper()
	i := w.deploy(n, name, "p1", at)
	r := vendordata.Request{ProjectID: "p1", InstanceID: n.UUID, Hostname: name, UserData: secret.New("#!user data of " + name)}
	a, err := v.Fetch(w.t.Context(), r)
	if err != nil {
		w.t.Fatal(err)
	}
	i.Request, i.Answers = secret.New(string(r.Encode())), secret.New(string(a.Encode()))
	w.save(n, i, at)
}

const vendor2 = "/openstack/latest/vendor_data2.json"

// TestRequirement02TheServiceStartsFromTheDeployment: the first request gets what the deployment fetched, no instance another's answer,
// and no path but vendor_data2.json asks a target.
func TestRequirement02TheServiceStartsFromTheDeployment(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.DB) {
		s := newTarget(t)
		v := vendor(t, s, false, "")
		w := newWorld(t, open(), Defaults(), v, nil)
		one, two := w.node(), w.node()
		w.fetched(v, one, "one", "127.0.0.11")
		w.fetched(v, two, "two", "127.0.0.12")
		is := func(from, name string, answer int) {
			t.Helper()
			want := fmt.Sprintf(`"roles":{"role":"of %s","answer":%d}`, name, answer)
			for _, path := range []string{vendor2, "/openstack/2016-10-06/vendor_data2.json"} {
				if got := w.get(from, path, 200); !strings.Contains(strings.ReplaceAll(got.body, " ", ""), strings.ReplaceAll(want, " ", "")) {
					t.Errorf("%s gets %s, want %s", from, got.body, want)
				}
			}
		}
		is("127.0.0.11", "one", 1)
		is("127.0.0.12", "two", 1)
		for _, path := range []string{"/openstack/latest/", "/openstack/latest/meta_data.json", "/openstack/latest/vendor_data.json", "/latest/meta-data/"} {
			w.get("127.0.0.11", path, 200)
		}
		w.get("127.0.0.11", "/openstack/2015-10-15/vendor_data2.json", 404)
		w.get("127.0.0.1", vendor2, 404)
		if s.times("one") != 1 || s.times("two") != 1 {
			t.Errorf("the target was asked %v", s.asked)
		}
		// A rebuild begins anew, on every server.
		w.fetched(v, one, "rebuilt", "127.0.0.11")
		is("127.0.0.11", "rebuilt", 1)
		// What may not be kept is asked for each time.
		s.set("no-store", false)
		w.fetched(v, two, "each time", "127.0.0.12")
		first, second := w.get("127.0.0.12", vendor2, 200).body, w.get("127.0.0.12", vendor2, 200).body
		if first == second || s.times("each time") != 3 {
			t.Errorf("%s and %s, and the target was asked %d times", first, second, s.times("each time"))
		}
	})
}

// TestRequirement06TheServiceSaysUnavailable: without an answer that must be there vendor_data2.json is 503 and the rest is served; the
// node's history and the instance's fault tell of it once, and of its end.
func TestRequirement06TheServiceSaysUnavailable(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.DB) {
		s := newTarget(t)
		v := vendor(t, s, true, "")
		w := newWorld(t, open(), Defaults(), v, nil)
		n := w.node()
		s.set("no-store", false)
		w.fetched(v, n, "one", "127.0.0.11")
		w.get("127.0.0.11", vendor2, 200)
		s.set("no-store", true)
		for range 3 {
			got := w.get("127.0.0.11", vendor2, http.StatusServiceUnavailable)
			if got.head.Get("Retry-After") == "" || !strings.Contains(got.body, "roles") || strings.Contains(got.body, "words of the target") || strings.Contains(got.body, s.URL) {
				t.Errorf("the instance is told %q, %v", got.body, got.head)
			}
			w.get("127.0.0.11", "/openstack/latest/meta_data.json", 200)
			w.get("127.0.0.11", "/openstack/latest/user_data", 200)
			w.get("127.0.0.11", "/openstack/latest/", 200)
		}
		w.told(n, "roles", "ERROR The instance gets no vendor_data2.json: ")
		s.set("no-store", false)
		w.get("127.0.0.11", vendor2, 200)
		w.get("127.0.0.11", vendor2, 200)
		w.told(n, "", "ERROR The instance gets no vendor_data2.json: ", "INFO The vendordata targets answer the instance again.")
		if n.ProvisionState != metal.Active {
			t.Errorf("the node is %s", n.ProvisionState)
		}
	})
}

// told compares the instance's fault, of which a part is given, and the node's events about vendordata, of which the begins are.
func (w *world) told(n *metal.Node, fault string, events ...string) {
	w.t.Helper()
	var is string
	if err := w.db.Read(w.t.Context(), func(tx *store.Tx) (err error) { is, err = tx.InstanceFault(n.ID); return err }); err != nil {
		w.t.Fatal(err)
	}
	if (is == "") != (fault == "") || !strings.Contains(is, fault) || strings.Contains(is, "words of the target") {
		w.t.Errorf("the instance's fault is %q, want one of %q", is, fault)
	}
	all := w.events(n)
	if len(all) != len(events) {
		w.t.Errorf("the history tells %q, want %q", all, events)
		return
	}
	for i, e := range events {
		if !strings.HasPrefix(all[i], e) {
			w.t.Errorf("event %d is %q, want %q…", i, all[i], e)
		}
	}
}

// TestRequirement07TheServiceServesTheRest: of targets that need not answer, one that fails is {}.
func TestRequirement07TheServiceServesTheRest(t *testing.T) {
	s := newTarget(t)
	v := vendor(t, s, false, "")
	w := newWorld(t, storetest.SQLite(t)(), Defaults(), v, nil)
	n := w.node()
	s.set("no-store", true)
	w.fetched(v, n, "one", "127.0.0.11")
	for range 2 {
		if got := w.get("127.0.0.11", vendor2, 200); !strings.Contains(got.body, `"roles":{}`) || !strings.Contains(got.body, `"static":{}`) {
			t.Errorf("it is %s", got.body)
		}
	}
	w.told(n, "roles", "WARN The instance gets vendor_data2.json with parts that are empty: ")
}

// TestRequirement11TheStaticFileIsLost: what it said last is served, and it concerns no other path.
func TestRequirement11TheStaticFileIsLost(t *testing.T) {
	file := filepath.Join(t.TempDir(), "static.json")
	put := func(text string) {
		t.Helper()
		if err := os.WriteFile(file+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
	}
	put(`{"ntp": "192.0.2.1"}`)
	s := newTarget(t)
	v := vendor(t, s, false, file)
	w := newWorld(t, storetest.SQLite(t)(), Defaults(), v, nil)
	n := w.node()
	w.fetched(v, n, "one", "127.0.0.11")
	is := func(want string) {
		t.Helper()
		if got := w.get("127.0.0.11", "/openstack/latest/vendor_data.json", 200); !strings.Contains(got.body, want) {
			t.Errorf("vendor_data.json is %s", got.body)
		}
		if got := w.get("127.0.0.11", vendor2, 200); !strings.Contains(got.body, want) || !strings.Contains(got.body, "of one") {
			t.Errorf("vendor_data2.json is %s", got.body)
		}
	}
	is("192.0.2.1")
	put("no JSON")
	is("192.0.2.1")
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	is("192.0.2.1")
	w.get("127.0.0.11", "/openstack/latest/meta_data.json", 200)
	put(`{"ntp": "192.0.2.22"}`)
	is("192.0.2.22")
}

// TestAServerWithoutTheOptions: a server with the role metadata alone, that was not told of the conductors' file and targets, serves
// what the deployment kept, and nothing empty in its place.
func TestAServerWithoutTheOptions(t *testing.T) {
	v, err := vendordata.New(vendordata.Defaults(), vendordata.Options{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, storetest.SQLite(t)(), Defaults(), v, nil)
	n := w.node()
	i := w.deploy(n, "one", "p1", "127.0.0.11")
	s, err := seed.Decode([]byte(i.Seed.Expose()))
	if err != nil {
		t.Fatal(err)
	}
	i.Seed = secret.New(string(s.WithVendorData2([]byte(`{"static":{"ntp":"192.0.2.1"},"roles":{"of":"one"}}`)).Encode()))
	w.save(n, i, "127.0.0.11")
	for path, want := range map[string]string{vendor2: `{"roles":{"of":"one"},"static":{"ntp":"192.0.2.1"}}`, "/openstack/latest/vendor_data.json": `{"ntp":"192.0.2.1"}`} {
		if got := w.get("127.0.0.11", path, 200); got.body != want {
			t.Errorf("%s is %s", path, got.body)
		}
	}
}

// TestAGivenDriveIsServedAsItIs: about an instance of which nobody was asked, nobody is asked.
func TestAGivenDriveIsServedAsItIs(t *testing.T) {
	s := newTarget(t)
	v := vendor(t, s, true, "")
	w := newWorld(t, storetest.SQLite(t)(), Defaults(), v, nil)
	n := w.node()
	i := w.deploy(n, "one", "p1", "127.0.0.11")
	for _, request := range []secret.Secret{i.Request, {}} { // the roles of the deployment may be kept for a rebuild
		i.Request, i.Answers = request, secret.Secret{}
		w.save(n, i, "127.0.0.11")
		if got := w.get("127.0.0.11", vendor2, 200); got.body != `{"static":{}}` {
			t.Errorf("it is %s", got.body)
		}
	}
	if len(s.asked) != 0 {
		t.Errorf("the target was asked: %v", s.asked)
	}
}
