package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"ingot/internal/agentapi"
	"ingot/internal/conductor"
	"ingot/internal/courier"
	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/ops"
	"ingot/internal/policy"
	"ingot/internal/secret"
	"ingot/internal/store"
	"ingot/lab/simulate"
)

const (
	walkNodes      = 3
	walkConductors = 3
	// walkLimit is every limit that an operator may set, and the lease is as short: walks wait for both.
	walkLimit = 150 * time.Millisecond
	walkLease = 400 * time.Millisecond
)

var walker = ops.Caller{Who: "walker", Rights: policy.For(policy.Caller{Trusted: true}), Minor: 115}

// walk is one database, some conductors on it, and machines.
type walk struct {
	t          *testing.T
	ctx        context.Context
	db         *store.DB
	service    *ops.Service
	fleet      *simulate.Fleet
	conductors []*conductor.Conductor // nil while dead
	clean      bool                   // automated_clean of the conductors that start from now on
	limit      time.Duration          // and every limit of theirs
	names      []string
	held       *courier.Courier // secret values; they are gone when the process dies that took them
	worked     int              // rounds of conductors
	ended      map[string]int   // nodes by the state they came to rest in
	made       int              // nodes
	first      int              // which state the first node begins in
	port       int              // where agents are polled; 0: they call
	asked      int              // agents that were polled
}

var errKilled = errors.New("killed")

func newWalk(t *testing.T, open func() *store.DB, first int) *walk {
	t.Helper()
	fleet, err := simulate.New()
	if err != nil {
		t.Fatal(err)
	}
	db := open()
	w := &walk{t: t, ctx: t.Context(), db: db, fleet: fleet, clean: true, limit: walkLimit, first: first, names: make([]string, walkNodes), ended: map[string]int{},
		held: courier.New(courier.Defaults()), conductors: make([]*conductor.Conductor, walkConductors)}
	oc := walkOps()
	if oc.PollOnly = first%2 == 1; oc.PollOnly {
		if w.port, err = fleet.ListenPolled(); err != nil {
			t.Fatal(err)
		}
	}
	w.service = ops.New(db, oc, slog.New(slog.DiscardHandler))
	w.service.KeepSecrets(ops.Keeper{Courier: w.held, Server: "walk"})
	for i := range w.conductors {
		w.start(i)
	}
	fleet.BootConfig = w.conductors[0].BootConfig
	fleet.Heartbeat = w.service.Heartbeat
	if err := w.conductors[0].EnsureSweeps(w.ctx); err != nil {
		t.Fatal(err)
	}
	for i := range w.names {
		w.enrol(i)
	}
	return w
}

// end closes what the walk opened, and empties a database that the next walk opens again.
func (w *walk) end() {
	_ = w.fleet.Close()
	for i := range w.names {
		if n := w.node(i); n != nil {
			_ = w.db.Write(w.ctx, func(tx *store.Tx) error { return tx.DeleteNode(n.ID) })
		}
	}
	_ = w.db.Close()
}

func (w *walk) start(i int) {
	c := conductor.Defaults()
	c.Host = fmt.Sprintf("c%d", i)
	c.Lease, c.Poll, c.Backoff, c.PowerGrace, c.SoftPowerLimit, c.SoftOffLimit, c.VouchLimit = walkLease, 1, 1, 1, 1, 1, 1
	c.DeployCallbackLimit, c.CleanCallbackLimit, c.InspectCallbackLimit, c.ServiceCallbackLimit = w.limit, w.limit, w.limit, w.limit
	c.RescueCallbackLimit = w.limit
	c.WriteLimit, c.CleanStepLimit, c.DeployStepLimit, c.ServiceStepLimit = w.limit, w.limit, w.limit, w.limit
	c.AutomatedClean = w.clean
	if w.port != 0 {
		c.PollOnly, c.PollInterval, c.AgentPort = true, 1, w.port
	}
	c.Sweep.PowerInterval, c.Sweep.RecoveryInterval, c.Sweep.PowerLimit, c.Sweep.PowerPatience = time.Millisecond, time.Millisecond, 20*time.Millisecond, time.Millisecond
	c.Sweep.LeftInterval = time.Millisecond
	hw := conductor.Hardware{Part: conductor.Part{Power: w.fleet, Boot: w.fleet, Media: w.fleet, Inspector: w.fleet},
		Type: metal.HardwareType{Name: "sim", Interfaces: map[string][]string{"deploy": {"direct"}, "inspect": {"agent", "redfish", "no-inspect"}, "power": {"sim"}, "rescue": {"agent", "no-rescue"}}}}
	w.conductors[i] = conductor.New(w.db, c, map[string]conductor.Hardware{"sim": hw}, walkDepot{}, slog.New(slog.DiscardHandler))
	w.conductors[i].UseSecrets(&values{self: "walk", own: w.held, log: slog.New(slog.DiscardHandler)})
	if w.port != 0 {
		w.conductors[i].PushTo(walkPusher{})
	}
	if err := w.conductors[i].Register(w.ctx); err != nil {
		w.t.Fatal(err)
	}
}

// walkPusher is a boot host from which nobody fetches.
type walkPusher struct{}

func (walkPusher) Push(_ context.Context, node, boot string, _ agentapi.BootConfig, _ string, _ time.Time) (string, error) {
	return "http://198.51.100.77/" + node + "/" + boot, nil
}
func (walkPusher) PushNetBoot(context.Context, *metal.NetworkBoot) error { return nil }
func (walkPusher) NetBootSeen(context.Context, string, string) (string, error) {
	return "", nil
}
func (walkPusher) PushMetadata(context.Context, string) error                { return nil }
func (walkPusher) WithdrawMetadata(context.Context, string, time.Time) error { return nil }
func (walkPusher) Withdraw(context.Context, string, string) error            { return nil }

// walkDepot offers addresses that nobody fetches.
type walkDepot struct{}

func (walkDepot) BootISO(node, boot string, _ agentapi.Role, _ time.Time) (string, error) {
	return "http://198.51.100.9/" + node + "/" + boot, nil
}
func (walkDepot) Check(agentapi.BootConfig, string) error { return nil }
func (walkDepot) File(path string, _ time.Time) (string, error) {
	return "", fault.New(fault.Invalid, "%s", path)
}
func (walkDepot) Reachable(context.Context, *metal.Node, agentapi.Role) error { return nil }

func (w *walk) enrol(i int) {
	w.made++
	w.names[i] = fmt.Sprintf("n%d-%d", i, w.made)
	_, err := w.service.CreateNode(w.ctx, walker, &metal.Node{Name: w.names[i], Driver: "sim", DriverInfo: secret.NewMap(nil),
		Interfaces: map[string]string{"inspect": []string{"agent", "redfish", "agent"}[i%3], "rescue": "agent"},
		InstanceInfo: secret.NewMap(map[string]any{"image_source": "http://127.0.0.1:1/i.raw", "image_os_hash_value": strings.Repeat("ab", 32),
			"configdrive": map[string]any{"user_data": "#cloud-config\n"}})})
	if err == nil { // walks begin all over the table
		err = w.db.Write(w.ctx, func(tx *store.Tx) error {
			n, err := tx.Node(w.names[i])
			if err != nil {
				return err
			}
			if w.port != 0 {
				n.DriverInfo = n.DriverInfo.With(metal.AgentAddress, w.fleet.Address(n.UUID).String())
			}
			n.ProvisionState = []metal.State{metal.Enroll, metal.Manageable, metal.Available, metal.Active, metal.Rescue}[(w.made+w.first)%5]
			return tx.SaveNode(n)
		})
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// node is the node as it is stored, or nil.
func (w *walk) node(i int) (n *metal.Node) {
	err := w.db.Read(w.ctx, func(tx *store.Tx) (err error) {
		n, err = tx.Node(w.names[i])
		return err
	})
	if err != nil && fault.KindOf(err) != fault.NotFound {
		w.t.Fatal(err)
	}
	return n
}

// all does what a walk consists of, and then sees whether everything comes to rest.
func (w *walk) all(actions []action) error {
	for _, a := range actions {
		if err := w.do(a); err != nil {
			return fmt.Errorf("%s: %w", a, err)
		}
	}
	for i := range w.names { // faults stop
		if n := w.node(i); n != nil {
			w.fleet.With(n.UUID, func(m *simulate.Machine) { m.Fault = simulate.None })
		}
	}
	if err := w.rest(); err != nil {
		return err
	}
	w.limit = restLimit // a busy computer is no machine that fails
	for i := range w.conductors {
		if err := w.revive(i, true); err != nil {
			return err
		}
	}
	for i := range w.names {
		if err := w.leadsOn(i); err != nil {
			return err
		}
	}
	return nil
}

// do lets one thing happen. What a caller is refused is no error; what the server itself cannot do is.
func (w *walk) do(a action) error {
	n := w.node(a.node)
	if n == nil {
		w.enrol(a.node)
		return nil
	}
	switch a.kind {
	case "verb":
		return refused(w.verb(n, a.n))
	case "abort":
		return refused(w.service.SetProvision(w.ctx, walker, n.UUID, ops.Provision{Verb: metal.VerbAbort}))
	case "power":
		target := []metal.Power{metal.PowerOn, metal.PowerOff, metal.Reboot, metal.SoftReboot, metal.SoftPowerOff}[a.n%5]
		return refused(w.service.SetPower(w.ctx, walker, n.UUID, target, 0))
	case "maintenance":
		return refused(w.service.SetMaintenance(w.ctx, walker, n.UUID, a.n%2 == 0, "a walk"))
	case "delete":
		return refused(w.service.DeleteNode(w.ctx, walker, n.UUID))
	case "patch":
		return w.patch(n, a.n)
	case "work":
		return w.work(a.n%walkConductors, 1+a.n%7)
	case "kill":
		return w.kill(a)
	case "revive":
		return w.revive(a.n%walkConductors, a.n%2 == 0)
	case "config":
		w.clean = a.n%2 == 0
	case "sweep":
		return w.sweep(a.n%walkConductors, 1+a.n%5)
	case "report":
		return w.report(n, a.n)
	case "call":
		return w.call()
	default:
		w.machine(n, a)
	}
	return nil
}

// machine is what happens to a machine without anybody asking.
func (w *walk) machine(n *metal.Node, a action) {
	w.fleet.With(n.UUID, func(m *simulate.Machine) {
		switch a.kind {
		case "fault":
			m.Fault = simulate.Faults[a.n%len(simulate.Faults)]
		case "mend":
			m.Fault = simulate.None
		case "button":
			m.On = !m.On
		}
	})
	if a.kind == "forget" {
		w.fleet.Restart(n.UUID)
	}
}

// refused is nil for an answer that a caller may get, and the error where the server failed.
func refused(err error) error {
	if fault.KindOf(err) == fault.Internal {
		return err
	}
	return nil
}

// verb asks for one: two of three times one that the node's state knows.
func (w *walk) verb(n *metal.Node, k int) error {
	verbs := []metal.Verb{metal.VerbManage, metal.VerbProvide, metal.VerbInspect, metal.VerbClean, metal.VerbActive, metal.VerbRebuild,
		metal.VerbDeleted, metal.VerbRescue, metal.VerbUnrescue, metal.VerbAdopt, metal.VerbAbort, metal.VerbUnhold, metal.VerbService}
	if k%3 != 0 {
		legal := slices.DeleteFunc(slices.Clone(verbs), func(v metal.Verb) bool {
			_, ok := metal.Next(n.ProvisionState, metal.Verbs[v].Event)
			return !ok
		})
		if len(legal) > 0 {
			verbs = legal
		}
	}
	p := ops.Provision{Verb: verbs[k%len(verbs)]}
	if p.Verb == metal.VerbActive && k%4 == 0 {
		p.ConfigDrive = map[string]any{"user_data": fmt.Sprintf("#cloud-config %d\n", k)}
	}
	if p.Verb == metal.VerbRescue {
		return w.rescue(n, k)
	}
	w.steps(&p, k)
	return w.service.SetProvision(w.ctx, walker, n.UUID, p)
}

// patch changes what an operation may rely on.
func (w *walk) patch(n *metal.Node, k int) error {
	_, err := w.service.UpdateNode(w.ctx, walker, n.UUID, []policy.Rule{"node:update"}, false, func(n *metal.Node) error {
		switch k % 5 {
		case 0:
			on := k%2 == 0
			n.AutomatedClean = &on
		case 1:
			n.Interfaces["inspect"] = []string{"agent", "redfish", "no-inspect"}[k%3]
		case 2:
			n.InstanceInfo = n.InstanceInfo.With("image_source", fmt.Sprintf("http://127.0.0.1:1/%d.raw", k))
		case 3:
			n.Protected = !n.Protected
		case 4:
			n.Retired = !n.Retired
		}
		return nil
	})
	return refused(err)
}

// work lets a conductor work, if it lives.
func (w *walk) work(i, rounds int) error {
	for range rounds {
		if w.conductors[i] == nil {
			return nil
		}
		did, err := w.conductors[i].WorkOne(w.ctx)
		if err != nil || !did {
			return err
		}
		w.worked++
	}
	return nil
}

func (w *walk) sweep(i, rounds int) error {
	for range rounds {
		if w.conductors[i] == nil {
			return nil
		}
		if did, err := w.conductors[i].SweepOne(w.ctx); err != nil || !did {
			return err
		}
	}
	return nil
}

// kill lets a conductor work until it dies at a save.
func (w *walk) kill(a action) error {
	i, left := a.n%walkConductors, 1+a.n%17
	if w.conductors[i] == nil {
		return nil
	}
	if a.n%3 == 0 {
		w.held.Close() // who took the requests dies with it
	}
	dead := false
	w.conductors[i].CrashAt(func(string) error {
		if left--; left <= 0 {
			dead = true
			return errKilled
		}
		return nil
	})
	for range 12 {
		if did, err := w.conductors[i].WorkOne(w.ctx); err != nil || !did || dead {
			break
		}
		w.worked++
	}
	if !dead {
		w.conductors[i].CrashAt(nil)
		return nil
	}
	w.conductors[i] = nil
	return nil
}

// revive starts a conductor that died: under its old name, which frees its leases, as Run does.
func (w *walk) revive(i int, restart bool) error {
	if w.conductors[i] != nil && !restart {
		return nil
	}
	w.start(i)
	return w.db.Write(w.ctx, func(tx *store.Tx) error {
		return errors.Join(tx.DropLeases(fmt.Sprintf("c%d", i)), tx.DropSweepLeases(fmt.Sprintf("c%d", i)))
	})
}

// call lets every agent call back, or be asked by whoever lives.
func (w *walk) call() error {
	for _, c := range w.conductors {
		if c == nil || w.port == 0 {
			continue
		}
		for range w.names {
			did, err := c.AskOne(w.ctx)
			if err != nil {
				return err
			}
			if !did {
				break
			}
			w.asked++
		}
	}
	if w.port != 0 {
		return nil
	}
	for i := range w.names {
		if n := w.node(i); n != nil {
			if _, err := w.fleet.CallBack(w.ctx, n.UUID); refused(err) != nil {
				return err
			}
		}
	}
	return nil
}

// report is what upstream's agents send under inspection, or a stranger.
func (w *walk) report(n *metal.Node, k int) error {
	mac := simulate.MAC(n.UUID)
	if k%3 == 0 {
		mac = "02:00:00:00:00:01"
	}
	q := ops.Inspected{Body: fmt.Appendf(nil, `{"inventory": {"interfaces": [{"name": "eno1", "mac_address": %q}], "cpu": {"architecture": "x86_64"}}}`, mac)}
	if k%2 == 0 {
		q.NodeUUID = n.UUID
	}
	_, err := w.service.ContinueInspection(w.ctx, q)
	return refused(err)
}
