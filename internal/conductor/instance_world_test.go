package conductor

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"ingot/internal/metal"
	"ingot/internal/secret"
	"ingot/internal/seed"
	"ingot/internal/store"
	"ingot/internal/vendordata"
)

// target is a vendordata target: each of its answers has a number that no other has.
type target struct {
	*httptest.Server
	mu    sync.Mutex
	asked []map[string]any
	says  func(w http.ResponseWriter) bool // what it does in place of an answer; false: it answers
	onAsk func()
}

func newTarget(t *testing.T) *target {
	t.Helper()
	v := &target{}
	v.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var q map[string]any
		if json.Unmarshal(body, &q) != nil || r.Method != http.MethodPost {
			http.Error(w, "no question", http.StatusBadRequest)
			return
		}
		v.mu.Lock()
		defer v.mu.Unlock()
		v.asked = append(v.asked, q)
		if v.onAsk != nil {
			v.onAsk()
		}
		if v.says == nil || !v.says(w) {
			fmt.Fprintf(w, `{"number": %d}`, len(v.asked))
		}
	}))
	t.Cleanup(v.Close)
	return v
}

func (v *target) questions() []map[string]any {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.asked)
}

// service asks targets, by the names roles and mail.
func asking(t *testing.T, fatal bool, targets ...*target) *vendordata.Service {
	t.Helper()
	c := vendordata.Defaults()
	c.VendordataProviders = []string{"StaticJSON", "DynamicJSON"}
	c.VendordataDynamicFailureFatal = fatal
	for i, v := range targets {
		c.VendordataDynamicTargets = append(c.VendordataDynamicTargets, []string{"roles", "mail"}[i]+"@"+v.URL)
	}
	s, err := vendordata.New(c, vendordata.Options{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// deployWorld is a world whose machine is available. The drive is as a request gives it; nil: none.
func deployWorld(t *testing.T, drive any, targets *vendordata.Service) *world {
	t.Helper()
	w := newWorld(t)
	w.vendor = targets
	w.node.ProvisionState = metal.Available
	info := w.node.InstanceInfo.Expose()
	delete(info, "configdrive")
	if drive != nil {
		info["configdrive"] = drive
	}
	w.node.InstanceInfo = secret.NewMap(info)
	w.save()
	return w
}

const askedBy = `{"ask":{"boot_for":{"roles":["member","mail"],"project":"p1"}}}`

// deploy walks a deployment to its end.
func (w *world) deploy(verb metal.Event, record string) *metal.Node {
	w.t.Helper()
	w.ask(metal.PlanDeploy, verb, record)
	w.run(w.conductor("c1", nil))
	w.node, _ = w.state()
	return w.node
}

// kept is the node's instance, and what it reads; nil for none.
func (w *world) kept() (i *store.Instance, s *seed.Seed) {
	w.t.Helper()
	err := w.db.Read(w.t.Context(), func(tx *store.Tx) (err error) {
		i, err = tx.Instance(w.node)
		return err
	})
	if err == nil && i != nil {
		s, err = seed.Decode([]byte(i.Seed.Expose()))
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return i, s
}

// keptRequest is what is kept for a rebuild.
func (w *world) keptRequest() (out vendordata.Request, any bool) {
	w.t.Helper()
	var kept secret.Secret
	err := w.db.Read(w.t.Context(), func(tx *store.Tx) (err error) {
		kept, err = tx.InstanceRequest(w.node)
		return err
	})
	if err == nil && !kept.Empty() {
		out, err = vendordata.DecodeRequest([]byte(kept.Expose()))
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return out, !kept.Empty()
}

// whys are the sentences of the node's history.
func (w *world) whys() string {
	w.t.Helper()
	var all []string
	err := w.db.Read(w.t.Context(), func(tx *store.Tx) error {
		events, err := tx.Events(w.node, store.Page{})
		for _, e := range events {
			all = append(all, e.Why)
		}
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return strings.Join(all, "\n")
}

func page(t *testing.T, s *seed.Seed, path string) string {
	t.Helper()
	p, err := s.Get(path)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return string(p.Content)
}

// sinceVendorData2 are the versions that have vendor_data2.json.
func sinceVendorData2() []string { return seed.Versions[slices.Index(seed.Versions, "2016-10-06"):] }

var parts = map[string]any{"user_data": "#cloud-config\n", "meta_data": map[string]any{"hostname": "web1.example.org", "meta": map[string]any{"role": "web"}},
	"vendor_data": map[string]any{"roles": "mine", "own": "kept"}}

func canonical(t *testing.T, raw []byte) string {
	t.Helper()
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatalf("%v: %s", err, raw)
	}
	return fmt.Sprint(v)
}
