package conductor

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/seed"
	"ingot/internal/store"
)

// wires is the network service of a world: on which networks its machine is. To put it on one takes two calls, as with a
// switch that needs a moment. It minds what must never be.
type wires struct {
	w *world

	mu          sync.Mutex
	on          map[metal.NetworkRole]bool
	asked       map[metal.NetworkRole]bool
	known       map[string]bool              // the VIFs that were attached
	says        map[metal.NetworkRole]string // what is unwise about a role's network
	lacks       map[metal.NetworkRole]bool   // the roles that no network is known for
	described   []seed.VIF                   // what is to be told of its user's networks
	undescribed error
	leased      string // the address of its machine, "" for none

	refuses map[metal.NetworkRole]bool // notes what it began, and then refuses
	seen    []string                   // what was noted when the machine was taken off
}

const testVIF = "aaaaaaaa-0000-4000-8000-000000000001"

// wire gives the world a network service, and its node a port with a VIF. An instance that runs is on its network.
func (w *world) wire(j journey) {
	w.t.Helper()
	w.wires = &wires{w: w, on: map[metal.NetworkRole]bool{}, asked: map[metal.NetworkRole]bool{}, known: map[string]bool{testVIF: true}}
	w.wires.on[metal.TenantNetwork] = hasInstance(j.from)
	w.write(func(tx *store.Tx) error {
		err := tx.CreatePort(&metal.Port{UUID: "22222222-2222-4222-8222-222222222222", NodeUUID: w.node.UUID, Address: "52:54:00:00:00:01", PXEEnabled: true,
			InternalInfo: map[string]any{metal.TenantNetwork.VIFKey(): testVIF}})
		if err != nil || j.plan != metal.PlanAttachVIF {
			return err
		}
		if err := tx.CreatePort(&metal.Port{UUID: elsewhere, NodeUUID: w.node.UUID, Address: "52:54:00:00:00:02", PhysicalNetwork: "other"}); err != nil {
			return err
		}
		return tx.CreatePort(&metal.Port{UUID: freePort, NodeUUID: w.node.UUID, Address: "52:54:00:00:00:03", PhysicalNetwork: "physnet1"})
	})
}

const (
	elsewhere = "22222222-2222-4222-8222-222222222223" // is free, and on another physical network
	freePort  = "22222222-2222-4222-8222-222222222224"
)

var vifJourneys = []journey{
	{"attach vif", metal.PlanAttachVIF, metal.Active, "", `{"ask":{"vif":{"id":"second"}}}`, metal.Active, metal.Active, true, true, "user data"},
	{"detach vif", metal.PlanDetachVIF, metal.Active, "", `{"ask":{"vif":{"id":"` + testVIF + `"}}}`, metal.Active, metal.Active, true, true, "user data"},
}

// vifsArrived checks which port has which VIF, and that the network service was told.
func (w *world) vifsArrived(j journey, label string) {
	w.t.Helper()
	if w.wires == nil { // the test asked for no networks
		return
	}
	want := map[metal.Plan]map[string]string{
		metal.PlanAttachVIF: {"52:54:00:00:00:01": testVIF, "52:54:00:00:00:03": "second"}, metal.PlanDetachVIF: {}, metal.PlanTearDown: {},
	}[j.plan]
	if want == nil {
		want = map[string]string{"52:54:00:00:00:01": testVIF}
	}
	got, vifs := map[string]string{}, map[string]bool{}
	w.write(func(tx *store.Tx) error {
		ports, err := tx.PortsOf(w.node.ID)
		for _, p := range ports {
			if v := metal.VIFOf(p.InternalInfo, p.Extra); v != "" {
				got[p.Address], vifs[v] = v, true
			}
		}
		return err
	})
	if !maps.Equal(got, want) || !maps.Equal(vifs, w.wires.known) {
		w.t.Errorf("%s: VIFs %v, known to the service %v; want %v", label, got, w.wires.known, want)
	}
}

// What cannot be attached is refused as upstream does, and changes nothing.
func TestRefusedVIFs(t *testing.T) {
	for _, c := range []struct {
		plan metal.Plan
		vif  string
		want string
	}{
		{metal.PlanAttachVIF, testVIF, "already attached"},
		{metal.PlanAttachVIF, "unknown", "there is no port unknown"},
		{metal.PlanDetachVIF, "second", "not attached to it"},
	} {
		j := vifJourneys[0]
		j.record, j.plan = `{"ask":{"vif":{"id":"`+c.vif+`"}}}`, c.plan
		w := newWorld(t)
		w.node.ProvisionState = metal.Active
		w.save()
		w.wire(vifJourneys[0])
		w.ask(j.plan, "", j.record)
		w.run(w.conductor("c1", nil))
		if why := w.refusal(); !strings.Contains(why, c.want) {
			t.Errorf("%s %s: %q", c.plan, c.vif, why)
		}
		w.vifsArrived(journey{}, string(c.plan)+" "+c.vif)
	}
}

func hasInstance(s metal.State) bool { return s == metal.Active || s == metal.Rescue }

// networks is where the machine is at the end of a journey.
func (j journey) networks() []metal.NetworkRole {
	if hasInstance(j.end) && (hasInstance(j.from) || j.plan == metal.PlanDeploy) {
		return []metal.NetworkRole{metal.TenantNetwork}
	}
	return nil
}

// networksLeft is where it is when a step of the journey failed: where it was before, but for a tear down.
func (j journey) networksLeft(names []string, failed string) []metal.NetworkRole {
	gone := (j.plan == metal.PlanTearDown || j.plan == metal.PlanDeploy && j.ofOS()) && slices.Index(names, failed) > slices.Index(names, "leave tenant network")
	gone = gone || j.bySelf() && slices.Index(names, failed) >= slices.Index(names, "enter tenant network")
	if hasInstance(j.from) && !gone {
		return []metal.NetworkRole{metal.TenantNetwork}
	}
	return nil
}

// wiredAs checks on which networks the machine is, and that the ports note nothing of others.
func (w *world) wiredAs(want []metal.NetworkRole, label string) {
	w.t.Helper()
	if w.wires == nil {
		return
	}
	var noted []string
	w.write(func(tx *store.Tx) error {
		ports, err := tx.PortsOf(w.node.ID)
		for _, p := range ports {
			for key := range p.InternalInfo {
				noted = append(noted, key)
			}
		}
		return err
	})
	w.wires.mu.Lock()
	defer w.wires.mu.Unlock()
	var is []metal.NetworkRole
	for _, role := range metal.NetworkRoles {
		if w.wires.on[role] {
			is = append(is, role)
		}
		if role != metal.TenantNetwork && slices.Contains(noted, role.VIFKey()) != w.wires.on[role] {
			w.t.Errorf("%s: the ports note %v, and the machine is on %v", label, noted, w.wires.on)
		}
	}
	if !slices.Equal(is, want) {
		w.t.Errorf("%s: the machine is on the networks %v, want %v", label, is, want)
	}
}

// alone minds that a machine which is switched over is off, and on one network at a time.
func (s *wires) alone(what string, role metal.NetworkRole) {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	if s.w.on && !(s.w.user.in && (role == metal.RescuingNetwork || role == metal.TenantNetwork)) { // a rescued machine moves with its user
		s.w.t.Errorf("%s %s while the machine runs", what, role)
	}
	for other, on := range s.on {
		if on && other != role && what == "plug" {
			s.w.t.Errorf("the machine enters the %s network while it is on the %s network", role, other)
		}
	}
}

func (s *wires) Plug(_ context.Context, n *metal.Node, w metal.Wiring, role metal.NetworkRole) (metal.Notes, string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	notes := metal.Notes{}
	if role != metal.TenantNetwork {
		notes.Note(w.Ports[0].UUID, role.VIFKey(), "port-"+string(role))
	}
	switch {
	case s.refuses[role]:
		return notes, "", fault.New(fault.Invalid, "the switch refuses")
	case s.on[role]:
		return notes, "", nil
	case s.asked[role]:
		s.on[role], s.asked[role] = true, false
		return notes, "", nil
	}
	s.alone("plug", role)
	s.asked[role] = true
	s.w.count("plug " + string(role))
	return notes, "the switch", nil
}

func (s *wires) Unplug(_ context.Context, _ *metal.Node, w metal.Wiring, role metal.NetworkRole) (metal.Notes, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.on[role] || s.asked[role] {
		s.alone("unplug", role)
		s.on[role], s.asked[role] = false, false
		s.w.count("unplug " + string(role))
	}
	notes := metal.Notes{}
	if role != metal.TenantNetwork {
		was, _ := w.Ports[0].InternalInfo[role.VIFKey()].(string)
		s.seen = append(s.seen, was)
		notes.Note(w.Ports[0].UUID, role.VIFKey(), "")
	}
	return notes, nil
}

func (s *wires) AttachVIF(_ context.Context, _ *metal.Node, w metal.Wiring, vif string, live bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Contains(metal.VIFs(w.Ports, w.Groups), vif) {
		return fmt.Errorf("VIF %s is not noted", vif)
	}
	if vif == "unknown" {
		return fault.New(fault.Invalid, "there is no port unknown")
	}
	if !s.known[vif] {
		s.w.count(fmt.Sprint("attach ", live))
	}
	s.known[vif] = true
	return nil
}

func (s *wires) DetachVIF(_ context.Context, _ *metal.Node, w metal.Wiring, vif string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Contains(metal.VIFs(w.Ports, w.Groups), vif) {
		return fmt.Errorf("VIF %s is not noted", vif)
	}
	if s.known[vif] {
		s.w.count("detach")
	}
	delete(s.known, vif)
	return nil
}

func (s *wires) CheckNetwork(_ context.Context, n *metal.Node, _ metal.Wiring, role metal.NetworkRole) (warnings []string, err error) {
	if s.says[role] != "" {
		warnings = append(warnings, s.says[role])
	}
	if s.lacks[role] {
		err = fault.New(fault.Invalid, "No %s network is known for node %s.", role, n.UUID)
	}
	return warnings, err
}

func (s *wires) PhysicalNetworks(context.Context, *metal.Node, string) ([]string, error) {
	return []string{"physnet1"}, nil
}

func (s *wires) Describe(context.Context, *metal.Node, metal.Wiring) ([]seed.VIF, error) {
	return s.described, s.undescribed
}

func (s *wires) Addresses(context.Context, *metal.Node, string, metal.NetworkRole) ([]netip.Addr, error) {
	if s.leased == "" {
		return nil, fault.New(fault.Unavailable, "the network service is away")
	}
	return []netip.Addr{netip.MustParseAddr(s.leased)}, nil
}

// The order of an operation's networks, as the reference gives it.
func TestOrderOfNetworks(t *testing.T) {
	for _, j := range journeys {
		want := map[metal.Plan]string{
			metal.PlanDeploy:   "power off, leave tenant network, enter provisioning network, prepare boot, eject boot media, leave provisioning network, enter tenant network, boot from disk, start instance",
			metal.PlanClean:    "power off, enter cleaning network, prepare boot, eject boot media, leave cleaning network",
			metal.PlanManual:   "power off, enter cleaning network, prepare boot, eject boot media, leave cleaning network",
			metal.PlanInspect:  "power off, enter inspection network, prepare boot, eject boot media, leave inspection network",
			metal.PlanService:  "power off, leave tenant network, enter servicing network, prepare boot, eject boot media, leave servicing network, enter tenant network, boot from disk, start instance",
			metal.PlanTearDown: "power off, leave tenant network, leave provisioning network, detach vifs",
			metal.PlanRescue:   "power off, leave tenant network, enter rescuing network, prepare boot, finalize rescue, leave rescuing network, enter tenant network, eject boot media",
			metal.PlanUnrescue: "power off, eject boot media, leave rescuing network, enter tenant network, boot from disk, start instance",
			metal.PlanRestore:  "power off, eject boot media, enter tenant network, boot from disk, start instance",
		}[j.plan]
		if strings.HasPrefix(j.name, "self install") { // its installer runs on its user's network, and boots no ramdisk of ours
			want = "power off, enter tenant network, eject boot media, boot from disk, start instance"
		}
		if want == "" || strings.Contains(j.name, "out of band") || strings.HasPrefix(j.name, "fake") {
			continue
		}
		t.Run(j.name, func(t *testing.T) {
			t.Parallel()
			watched := strings.Split("power off, prepare boot, finalize rescue, eject boot media, boot from disk, start instance, detach vifs", ", ")
			got := slices.DeleteFunc(j.ran(t), func(name string) bool { return !slices.Contains(watched, name) && !strings.HasSuffix(name, " network") })
			if s := strings.Join(got, ", "); s != want {
				t.Errorf("order: %s\nwant:  %s", s, want)
			}
		})
	}
}

// What an operation left its machine on that was put an end to goes with the tear down that took its place.
func TestTearDownLeavesEveryNetwork(t *testing.T) {
	j := journeys[slices.IndexFunc(journeys, func(j journey) bool { return j.name == "service" })]
	j.record = strings.Replace(j.record, `{"interface":"deploy","step":"hold"},`, "", 1)
	w := j.start(newWorld(t))
	w.silent = true
	c := w.conductor("c1", nil)
	for n, _ := w.state(); n.ProvisionState != metal.ServiceWait; n, _ = w.state() {
		row, err := c.claim(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if row != nil {
			c.work(t.Context(), row, time.Now())
		}
	}
	w.wiredAs([]metal.NetworkRole{metal.ServicingNetwork}, "while it waits")
	w.write(func(tx *store.Tx) error { return tx.Supersede(w.node.ID, "ended by a tear down") })
	w.silent = false
	w.ask(metal.PlanTearDown, metal.EventDelete, "{}")
	w.run(w.conductor("c2", nil))
	w.wiredAs(nil, "torn down")
	if n, _ := w.state(); n.ProvisionState != metal.Available {
		t.Errorf("state %q, last_error %q", n.ProvisionState, n.LastError)
	}
}

// What was begun before the network service refused is found again by its note.
func TestNotesOutliveARefusal(t *testing.T) {
	j := journeys[slices.IndexFunc(journeys, func(j journey) bool { return j.plan == metal.PlanManual })]
	w := j.start(newWorld(t))
	w.wires.refuses = map[metal.NetworkRole]bool{metal.CleaningNetwork: true}
	w.run(w.conductor("c1", nil))
	if !slices.Contains(w.wires.seen, "port-cleaning") {
		t.Errorf("the machine was taken off what is noted as %q", w.wires.seen)
	}
}

// A rebuild that fails gives the tenant's network back to an instance that ran, and not to what an earlier deploy left.
func TestFailedRebuildAndTheTenantsNetwork(t *testing.T) {
	for _, c := range []struct {
		from   metal.State
		record string
		want   []metal.NetworkRole
	}{
		{metal.Active, "{}", []metal.NetworkRole{metal.TenantNetwork}},
		{metal.DeployFailed, `{"ask":{"no_instance":true}}`, nil},
	} {
		j := named(t, "rebuild")
		j.from, j.record = c.from, c.record
		w := j.start(newWorld(t))
		w.wires.refuses = map[metal.NetworkRole]bool{metal.ProvisioningNetwork: true}
		w.run(w.conductor("c1", nil))
		w.wiredAs(c.want, "from "+string(c.from))
		if n, _ := w.state(); n.ProvisionState != metal.DeployFailed {
			t.Errorf("from %q: state %q", c.from, n.ProvisionState)
		}
	}
}
