package conductor

import (
	"context"
	"encoding/json"
	"net/netip"
	"strings"
	"testing"

	"ingot/internal/metal"
	"ingot/internal/secret"
	"ingot/internal/store"
)

// validated is what validate says about the network of the world's node.
func (w *world) validated() metal.Validation { return w.validatedKind("network") }

func (w *world) validatedKind(kind string) metal.Validation {
	w.t.Helper()
	w.save()
	w.ask(metal.PlanValidate, "", "{}")
	w.run(w.conductor("c1", nil))
	var out map[string]metal.Validation
	w.write(func(tx *store.Tx) error {
		o, err := tx.LastOperation(w.node.ID)
		if err != nil {
			return err
		}
		return json.Unmarshal([]byte(o.Result), &out)
	})
	return out[kind]
}

func TestValidateWarnsOfNetworks(t *testing.T) {
	shared := "The rescuing network prov is the provisioning network, too."
	lacks := func(role metal.NetworkRole) map[metal.NetworkRole]bool { return map[metal.NetworkRole]bool{role: true} }
	for name, c := range map[string]struct {
		change func(*world)
		ok     bool
		says   string // "": nothing
	}{
		"well":                     {func(*world) {}, true, ""},
		"unisolated":               {func(w *world) { w.wires, w.node.Interfaces["network"], w.node.Lessee = nil, "noop", "p1" }, true, "leased to p1"},
		"flat":                     {func(w *world) { w.node.Interfaces["network"], w.node.Owner = "flat", "p2" }, true, "owned by p2"},
		"nobody's":                 {func(w *world) { w.wires, w.node.Interfaces["network"] = nil, "noop" }, true, ""},
		"no address":               {func(w *world) { w.node.DriverInfo = secret.NewMap(map[string]any{"agent_address": "rack1"}) }, true, "is no IP address"},
		"no machine's address":     {func(w *world) { w.node.DriverInfo = secret.NewMap(map[string]any{"agent_address": "169.254.169.254"}) }, true, "is not the address of a machine"},
		"no cleaning network":      {func(w *world) { w.wires.lacks = lacks(metal.CleaningNetwork) }, false, "No cleaning network"},
		"no servicing network":     {func(w *world) { w.wires.lacks = lacks(metal.ServicingNetwork) }, true, "Servicing will not work: No servicing network"},
		"no rescue, no network":    {func(w *world) { w.wires.lacks = lacks(metal.RescuingNetwork) }, true, ""},
		"inspected, no network":    {func(w *world) { w.node.Interfaces["inspect"], w.wires.lacks = "agent", lacks(metal.InspectionNetwork) }, true, "Inspection will not work"},
		"shared":                   {func(w *world) { w.share(shared) }, true, shared},
		"shared, where it may not": {func(w *world) { w.share(shared); w.tune = func(c *Config) { c.RefuseSharedRescue = true } }, false, "refuse_shared_rescuing_network"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.wire(journey{from: metal.Manageable})
			w.node.Interfaces["network"] = "vswitch"
			c.change(w)
			v := w.validated()
			if *v.Result != c.ok || !strings.Contains(v.Reason, c.says) || c.says == "" && v.Reason != "" {
				t.Errorf("%v %q; want %v, %q", *v.Result, v.Reason, c.ok, c.says)
			}
		})
	}
}

func (w *world) share(said string) {
	w.node.Interfaces["rescue"] = "agent"
	w.wires.says = map[metal.NetworkRole]string{metal.RescuingNetwork: said}
}

// leased is a DHCP server that knows one MAC.
type leased map[string]string

func (l leased) Addresses(_ context.Context, mac string) ([]netip.Addr, error) {
	if a := l[mac]; a != "" {
		return []netip.Addr{netip.MustParseAddr(a)}, nil
	}
	return nil, nil
}

// Each source is asked; what two of them say is told once, and one that is away hides no other.
func TestAddresses(t *testing.T) {
	w := newWorld(t)
	w.wire(journey{from: metal.Manageable})
	c := w.conductor("c1", nil)
	op := &Op{Node: w.node, row: &store.Operation{Plan: string(metal.PlanClean)}, Ports: []*metal.Port{{Address: "52:54:00:00:00:01"}, {Address: "52:54:00:00:00:02"}}}
	r := &runner{c: c, log: c.log}
	r.hw, _ = c.hardware["test"].Of(w.node)
	if said := r.whereabouts(t.Context(), op); said != "" {
		t.Errorf("nobody knows, and it says %q", said)
	}
	c.AskLeases(leased{"52:54:00:00:00:02": "192.0.2.4"})
	w.node.DriverInfo = secret.NewMap(map[string]any{"agent_address": "192.0.2.1"})
	w.node.NetworkData = map[string]any{"networks": []any{map[string]any{"ip_address": "192.0.2.2/24"}, map[string]any{"ip_address": "2001:db8::2"}}}
	if said, want := r.whereabouts(t.Context(), op), ". It should be at 192.0.2.1 (driver_info agent_address), 192.0.2.2 (network_data), 2001:db8::2 (network_data), 192.0.2.4 (DHCP lease)"; said != want {
		t.Errorf("without the network service: %q, want %q", said, want)
	}
	for _, odd := range []string{"169.254.169.254", "224.0.0.1", "0.0.0.0", "::", "ff02::1", "fe80::1", "fe80::1%eth0"} {
		w.node.DriverInfo = secret.NewMap(map[string]any{"agent_address": odd})
		if said := r.whereabouts(t.Context(), op); strings.Contains(said, "agent_address") {
			t.Errorf("%s: %q", odd, said)
		}
	}
	w.node.DriverInfo = secret.NewMap(map[string]any{"agent_address": "192.0.2.1"})
	w.wires.leased = "192.0.2.4"
	if said := r.whereabouts(t.Context(), op); !strings.HasSuffix(said, "192.0.2.4 (network service)") {
		t.Errorf("with it: %q", said)
	}
}
