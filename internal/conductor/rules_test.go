package conductor

import (
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"ingot/internal/metal"
	"ingot/internal/rules"
	"ingot/internal/store"
)

// TestRulesOfAnInspection kills the conductor at every save of an inspection with rules: what they change happens
// once, and what they call is called at least once.
func TestRulesOfAnInspection(t *testing.T) { onEach(t, testRulesOfAnInspection) }

func testRulesOfAnInspection(t *testing.T) {
	for _, j := range journeys {
		if j.plan != metal.PlanInspect && j.plan != metal.PlanProbe {
			continue
		}
		t.Run(j.name, func(t *testing.T) {
			t.Parallel()
			var calls atomic.Int64
			hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if calls.Add(1) == 1 {
					w.WriteHeader(http.StatusServiceUnavailable) // it is tried again
				} else if r.URL.RawQuery != "maker=ACME" || r.Header.Get("X-Token") != "canary" {
					t.Errorf("asked for %s", r.URL)
				}
			}))
			defer hook.Close()
			built, err := rules.Parse([]byte(`
- conditions: [{op: eq, args: {values: ["{inventory[system_vendor][manufacturer]}", ACME]}}]
  actions:
  - {op: extend-attribute, args: {path: /extra/seen, value: "{inventory[cpu][architecture]}"}}
  - {op: set-attribute, args: {path: /driver_info/redfish_password, value: canary}}
  - {op: add-trait, args: [CUSTOM_ACME]}
  - {op: set-port-attribute, args: {port_id: "{inventory[interfaces][0][mac_address]}", path: physical_network, value: rack1}}
  - {op: set-plugin-data, args: {path: judged, value: "yes"}}
  - {op: api-call, args: {url: "` + hook.URL + `?maker={inventory[system_vendor][manufacturer]}", headers: {X-Token: canary}, backoff_factor: 0}}
`))
			if err != nil {
				t.Fatal(err)
			}
			var p deathPlaces
			p.each(t, func() map[string]int {
				w := j.begin(t)
				defer w.close()
				w.tune = func(c *Config) { c.Inspect.BuiltInRules = built }
				w.heir = p.mortal
				w.run(w.conductor("c1", p.mortal()))
				j.arrived(t, w, p.label())
				w.ruled(p.label())
				return w.effects()
			})
			if calls.Load() < 2 {
				t.Errorf("%d calls", calls.Load())
			}
		})
	}
}

// ruled checks what the rule left.
func (w *world) ruled(label string) {
	w.t.Helper()
	n, _ := w.state()
	if !reflect.DeepEqual(n.Extra["seen"], []any{"x86_64"}) || n.DriverInfo.Secret("redfish_password").Expose() != "canary" {
		w.t.Errorf("%s: extra %v", label, n.Extra)
	}
	w.write(func(tx *store.Tx) error {
		traits, err := tx.Traits(n.ID)
		if err != nil || !slices.Equal(traits[n.ID], []string{"CUSTOM_ACME"}) {
			w.t.Errorf("%s: traits %v %v", label, traits, err)
		}
		port, err := tx.Port("52:54:00:00:00:01")
		if err != nil || port.PhysicalNetwork != "rack1" {
			w.t.Errorf("%s: port %+v %v", label, port, err)
		}
		inv, err := tx.Inventory(n)
		if err != nil || !strings.Contains(string(inv.Plugins), `"judged":"yes"`) {
			w.t.Errorf("%s: plugin data %+v %v", label, inv, err)
		}
		return nil
	})
}

// A rule's fail is the inspection's end, with the rule's words.
func TestARuleFailsAnInspection(t *testing.T) {
	w := newWorld(t)
	w.node.ProvisionState = metal.Manageable
	w.save()
	w.write(func(tx *store.Tx) error {
		return tx.CreateRule(&metal.InspectionRule{UUID: "22222222-2222-4222-8222-222222222222", Description: "two sockets", Phase: metal.PhaseMain,
			Actions: []metal.RuleOp{{Op: "fail", Args: []any{"no second processor"}}}})
	})
	w.ask(metal.PlanProbe, metal.EventInspect, "{}")
	w.run(w.conductor("c1", nil))
	n, _ := w.state()
	if n.ProvisionState != metal.InspectFailed || !strings.Contains(n.LastError, "two sockets") || !strings.Contains(n.LastError, "no second processor") {
		t.Errorf("state %q, last_error %q", n.ProvisionState, n.LastError)
	}
}
