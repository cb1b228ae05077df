package conductor

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"ingot/internal/agentapi"
	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/store"
)

// testCrypt is the hash of a password, as the door makes it.
const testCrypt = "$6$rounds=5000$saltsaltsalt$canarycanarycanarycanarycanarycanarycanarycanary"

const testKeyLine = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKeyKeyKeyKeyKeyKeyKeyKeyKeyKeyKeyKeyKeyKey user@example"

const (
	rescueAsk = `{"ask":{"rescue_keys":["` + testKeyLine + `"],"secrets":{"handle":"h","server":"s","names":["rescue_password_hash"]}}}`
	keysOnly  = `{"ask":{"rescue_keys":["` + testKeyLine + `"]}}`
)

// rescueJourneys are those of nodes whose rescue interface is agent.
var rescueJourneys = []journey{
	{"rescue", metal.PlanRescue, metal.Active, metal.EventRescue, rescueAsk, metal.Rescue, metal.RescueFailed, true, true, "user data"},
	{"rescue again", metal.PlanRescue, metal.Rescue, metal.EventRescue, keysOnly, metal.Rescue, metal.RescueFailed, true, true, "user data"},
	{"rescue with an own ISO", metal.PlanRescue, metal.Active, metal.EventRescue, rescueAsk, metal.Rescue, metal.RescueFailed, true, true, "user data"},
	{"unrescue", metal.PlanUnrescue, metal.Rescue, metal.EventUnrescue, "{}", metal.Active, metal.UnrescueFailed, true, true, "user data"},
	{"unrescue with Secure Boot", metal.PlanUnrescue, metal.Rescue, metal.EventUnrescue, "{}", metal.Active, metal.UnrescueFailed, true, true, "user data"},
	{"undeploy a rescued machine", metal.PlanTearDown, metal.Rescue, metal.EventDelete, "{}", metal.Available, metal.Error, true, false, "erased"},
}

// rescued is what a world's rescue ramdisk was told.
type rescued struct {
	in      bool // the user may log in
	hurried bool // the agent stops as soon as it has answered
	gone    bool // it has stopped
	atOnce  bool // the agent's first answer is its last word: nothing runs on, as with ours
	heard   bool // its commands were asked for after the user was let in
	refuses bool
	status  string // that it answers instead of success
	was     agentapi.FinalizeRescue
}

// letIn is the agent's work of finalize_rescue.
func (w *world) letIn(cmd agentapi.Command, res *agentapi.Result) {
	if err := json.Unmarshal(cmd.Params, &w.user.was); err != nil || !w.user.was.Hashed || w.user.refuses {
		res.CommandStatus, res.CommandError = agentapi.Failed, &agentapi.CommandError{Message: "cannot set " + w.user.was.RescuePassword}
		return
	}
	if w.user.status != "" {
		res.CommandStatus = w.user.status
		return
	}
	w.user.in = true
	if !w.user.hurried && !w.user.atOnce {
		res.CommandStatus = agentapi.Running
	}
}

// rescuable gives the world's node what a journey with a rescue needs.
func (w *world) rescuable(j journey) {
	if !slices.ContainsFunc(rescueJourneys, func(r journey) bool { return r.name == j.name }) {
		return
	}
	w.node.Interfaces["rescue"] = "agent"
	w.node.InstanceInfo = w.node.InstanceInfo.With("configdrive", map[string]any{"network_data": map[string]any{
		"links":    []any{map[string]any{"id": "e", "type": "phy", "ethernet_mac_address": "52:54:00:00:00:01"}},
		"networks": []any{}, "services": []any{}}})
	w.held = &keeping{values: map[string]string{metal.RescueHash: testCrypt}}
	switch j.name {
	case "rescue with an own ISO":
		w.node.DriverInfo = w.node.DriverInfo.With("rescue_iso", "https://192.0.2.3/rescue.iso").With("deploy_iso", "https://192.0.2.3/deploy.iso")
		w.byHand = true // its agent looks itself up
		w.firm.secure = true
	case "unrescue with Secure Boot", "undeploy a rescued machine":
		w.node.InternalInfo = map[string]any{asideKey: true}
	}
}

// rescueArrived checks what a rescue left of Secure Boot, and that it gave the agent all that it needs.
func (w *world) rescueArrived(j journey, n *metal.Node, label string) {
	w.t.Helper()
	if w.held == nil || wishes[j.name] != "" {
		return
	}
	aside := j.name == "rescue with an own ISO"
	on := j.name == "unrescue with Secure Boot" || j.name == "undeploy a rescued machine"
	if secureAside(n) != aside || w.firm.secure != on {
		w.t.Errorf("%s: Secure Boot is on: %v, noted as put aside: %v", label, w.firm.secure, secureAside(n))
	}
	if j.plan != metal.PlanRescue {
		return
	}
	want := testCrypt
	if j.record == keysOnly {
		want = "*"
	}
	got := w.user.was
	if !w.user.in || got.RescuePassword != want || !slices.Equal(got.SSHKeys, []string{testKeyLine}) || strings.Contains(string(got.NetworkData), "52:54:00:00:00:01") == aside {
		w.t.Errorf("%s: the agent was told %+v", label, got)
	}
	w.nowhere(testCrypt, label)
}

// nowhere looks for a value in everything that is kept of the node and its operations.
func (w *world) nowhere(value, label string) {
	w.t.Helper()
	var all []any
	w.write(func(tx *store.Tx) error {
		n, err := tx.NodeByID(w.node.ID)
		if err != nil {
			return err
		}
		o, err := tx.LastOperation(n.ID)
		if err != nil {
			return err
		}
		events, err := tx.Events(n, store.Page{Limit: 1000})
		all = append(all, n.LastError, n.InstanceInfo.Expose(), n.DriverInfo.Expose(), n.InternalInfo, string(o.Record), o.Error, o.Result, o.Progress, o.WaitingWhy, events)
		return err
	})
	text, err := json.Marshal(all)
	if err != nil {
		w.t.Fatal(err)
	}
	if strings.Contains(string(text), value) {
		w.t.Errorf("%s: the hash is kept", label)
	}
}

// TestWhatCannotBeRescued is found by the question that the API asks before anything is changed: a sentence that says what
// to do, and nothing is done to the machine.
func TestWhatCannotBeRescued(t *testing.T) {
	for name, row := range map[string]struct {
		change func(*world)
		says   string // "": it can be rescued
		asked  string
	}{
		"well":                {func(*world) {}, "", rescueAsk},
		"keys only":           {func(w *world) { w.held = nil }, "", keysOnly},
		"nobody could log in": {func(*world) {}, "give a password, or SSH keys", "{}"},
		"maintenance":         {func(w *world) { w.node.Maintenance = true }, "in maintenance mode", rescueAsk},
		"no hash held":        {func(w *world) { w.held.err = fault.New(fault.Conflict, "gone") }, "give the password again", rescueAsk},
		"no server holds any": {func(w *world) { w.held = nil }, "give the password again", rescueAsk},
		"no ramdisk":          {func(w *world) { w.unready = fault.New(fault.Unavailable, "run \"ingot ramdisk build --kind debian\"") }, "ingot ramdisk build --kind debian", rescueAsk},
		"no ramdisk, network": {func(w *world) {
			w.fromNetwork(metal.BootPXE).ramdisk = fault.New(fault.Unavailable, "run \"ingot ramdisk build --kind debian\"")
		}, "ingot ramdisk build --kind debian", rescueAsk},
		"from the network":    {func(w *world) { w.fromNetwork(metal.BootPXE) }, "", rescueAsk},
		"unsigned iPXE":       {func(w *world) { w.fromNetwork(metal.BootIPXE); w.firm.secure = true }, "", rescueAsk},
		"a kernel of its own": {func(w *world) { w.node.DriverInfo = w.node.DriverInfo.With("rescue_kernel", "http://192.0.2.3/k") }, "rescue_kernel", rescueAsk},
		"an ISO that is none": {func(w *world) { w.node.DriverInfo = w.node.DriverInfo.With("rescue_iso", "file:///etc/passwd") }, "rescue_iso must be", rescueAsk},
		"an ISO, and no ramdisk": {func(w *world) {
			w.node.DriverInfo = w.node.DriverInfo.With("rescue_iso", "https://192.0.2.3/i.iso")
			w.unready = fault.New(fault.Unavailable, "x")
		}, "", rescueAsk},
		"no rescuing network": {func(w *world) { w.wires.lacks = map[metal.NetworkRole]bool{metal.RescuingNetwork: true} }, "No rescuing network is known", rescueAsk},
		"a shared network refused": {func(w *world) {
			w.share("The rescuing network is shared.")
			w.tune = func(c *Config) { c.RefuseSharedRescue = true }
		}, "refuse_shared_rescuing_network", rescueAsk},
		"a shared network": {func(w *world) { w.share("The rescuing network is shared.") }, "", rescueAsk},
		"no way to boot":   {func(w *world) { w.bare = true }, "cannot boot a ramdisk", rescueAsk},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.node.ProvisionState, w.on = metal.Active, true
			w.rescuable(rescueJourneys[0])
			w.wire(journey{from: metal.Active})
			row.change(w)
			w.save()
			w.ask(metal.PlanCheckRescue, "", row.asked)
			w.run(w.conductor("c1", nil))
			n, _ := w.state()
			if why := w.refusal(); (why == "") != (row.says == "") || !strings.Contains(why, row.says) {
				t.Errorf("told %q, want %q", why, row.says)
			}
			if n.ProvisionState != metal.Active || n.LastError != "" || len(w.counters) != 0 || !w.on {
				t.Errorf("state %q, last_error %q, done to the machine: %v", n.ProvisionState, n.LastError, w.counters)
			}
			w.nowhere(testCrypt, name)
		})
	}
}

// TestValidateTellsOfRescue: what a rescue would be refused for is shown before anybody needs one.
func TestValidateTellsOfRescue(t *testing.T) {
	for name, row := range map[string]struct {
		change func(*world)
		says   string
	}{
		"well": {func(*world) {}, ""},
		"no ramdisk": {func(w *world) {
			w.unready = fault.New(fault.Unavailable, "There is no ramdisk to rescue machines with.")
		}, "no ramdisk to rescue"},
		"no rescuing network": {func(w *world) { w.wires.lacks = map[metal.NetworkRole]bool{metal.RescuingNetwork: true} }, "No rescuing network"},
		"fake":                {func(w *world) { w.node.Interfaces["rescue"] = "fake"; w.unready = fault.New(fault.Unavailable, "x") }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.rescuable(rescueJourneys[0])
			w.wire(journey{from: metal.Manageable})
			row.change(w)
			if v := w.validatedKind("rescue"); *v.Result != (row.says == "") || !strings.Contains(v.Reason, row.says) {
				t.Errorf("%v %q, want %q", *v.Result, v.Reason, row.says)
			}
		})
	}
}

// TestTrapRescueRestoresNoNetwork is killed at every save, and with the conductor dies who held the hash, or the agent stops
// as soon as it has answered: the rescue is done, or it failed and asks for the password. Nothing else, and nothing is left.
func TestTrapRescueRestoresNoNetwork(t *testing.T) { onEach(t, testLostPassword) }

func testLostPassword(t *testing.T) {
	for name, spoil := range map[string]func(*world){
		"the hash is gone": func(w *world) {
			w.onDeath = func(string) { w.held.err = fault.New(fault.Conflict, "it keeps them no more") }
		},
		"the agent is in hurry": func(w *world) { w.user.hurried = true },
		"both": func(w *world) {
			w.user.hurried = true
			w.onDeath = func(string) { w.held.err = fault.New(fault.Conflict, "no more") }
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ends := map[metal.State]int{}
			for at := 0; ; at++ {
				w := newWorld(t)
				spoil(w)
				named(t, "rescue").start(w)
				died := w.dieAt(at)
				n, a := w.state()
				ends[n.ProvisionState]++
				switch {
				case n.ProvisionState == metal.Rescue && n.LastError == "" && w.user.in && w.on:
				case n.ProvisionState == metal.RescueFailed && strings.Contains(n.LastError, "give the password again") && w.on == strings.Contains(n.LastError, `step "check rescue"`): // an instance that was not stopped runs on
				default:
					t.Errorf("killed at %d: state %q, last_error %q, on %v", at, n.ProvisionState, n.LastError, w.on)
				}
				if w.media != "" || a != nil || w.counters["agent finalize_rescue"] > 1 {
					t.Errorf("killed at %d: media %q, agent %v, finalize sent %d times", at, w.media, a != nil, w.counters["agent finalize_rescue"])
				}
				w.wiredAs([]metal.NetworkRole{metal.TenantNetwork}, "at the end")
				w.nowhere(testCrypt, name)
				w.close()
				if !died {
					break
				}
			}
			if ends[metal.Rescue] < 5 || ends[metal.RescueFailed] < 1 {
				t.Errorf("ends: %v", ends)
			}
		})
	}
}

// TestAnAgentIsToldThatItWasHeard: one that lets the user in at once stays on the rescuing network until somebody fetches that
// it did, so it is asked once more, and nothing is sent twice.
func TestAnAgentIsToldThatItWasHeard(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.user.atOnce = true
	named(t, "rescue").start(w)
	w.run(w.conductor("c1", nil))
	n, _ := w.state()
	if n.ProvisionState != metal.Rescue || !w.user.heard || w.counters["agent finalize_rescue"] != 1 {
		t.Errorf("state %q, heard %v, sent %d times; %s", n.ProvisionState, w.user.heard, w.counters["agent finalize_rescue"], n.LastError)
	}
}

// dieAt kills the conductor at the place of that number, and has another go on; died is false if it came to its end before.
func (w *world) dieAt(at int) (died bool) {
	passed := -1
	w.run(w.conductor("c1", func(where string) error {
		if !died && where != "dead?" && where != "claimed" {
			passed++
			died = passed == at
		}
		if died {
			return errStop
		}
		return nil
	}))
	return died
}

// TestNetworkRescues kills the conductor at every save of rescues that boot from the network.
func TestNetworkRescues(t *testing.T) { onEach(t, testNetworkRescues) }

func testNetworkRescues(t *testing.T) {
	for iface, name := range map[string]string{metal.BootPXE: "rescue", metal.BootIPXE: "rescue again", metal.BootHTTP: "unrescue"} {
		t.Run(iface+" "+name, func(t *testing.T) {
			t.Parallel()
			j := named(t, name)
			var p deathPlaces
			p.each(t, func() map[string]int {
				w := newWorld(t)
				defer w.close()
				w.fromNetwork(iface)
				j.start(w)
				w.heir = p.mortal
				w.run(w.conductor("c1", p.mortal()))
				if n, a := w.state(); n.ProvisionState != j.end || n.LastError != "" || a != nil || !w.on || w.netBoot() != nil || w.counters["insert"] != 0 {
					t.Errorf("%s: state %q, last_error %q, agent %v, on %v", p.label(), n.ProvisionState, n.LastError, a != nil, w.on)
				}
				if j.plan == metal.PlanRescue && w.net.asked != agentapi.RoleRescue {
					t.Errorf("%s: the ramdisk of role %q was booted", p.label(), w.net.asked)
				}
				w.wiredAs(j.networks(), p.label())
				return w.effects()
			})
		})
	}
}

// TestAbortThatLeavesSomething: what an abort could not clean up is somebody's to look at.
func TestAbortThatLeavesSomething(t *testing.T) {
	for _, fails := range []bool{false, true} {
		w := named(t, "rescue").start(newWorld(t))
		w.silent = true
		c := w.conductor("c1", nil)
		if fails {
			c.tamper = func(steps []step) {
				for i := range steps {
					if steps[i].name == "insert boot media" {
						steps[i].undo = func(*runner, context.Context, *Op) error { return fault.New(fault.Invalid, "the BMC refuses") }
					}
				}
			}
		}
		w.untilItWaits(c)
		if n, _ := w.state(); n.ProvisionState != metal.RescueWait {
			t.Fatalf("state %q: %s", n.ProvisionState, n.LastError)
		}
		w.write(func(tx *store.Tx) error { return tx.AskAbort(w.node.ID, "operator") })
		w.run(c)
		n, _ := w.state()
		if n.ProvisionState != metal.RescueFailed || !strings.Contains(n.LastError, "aborted by request of operator") || n.Maintenance != fails || (n.Fault == "rescue abort failure") != fails {
			t.Errorf("state %q, last_error %q, maintenance %v, fault %q", n.ProvisionState, n.LastError, n.Maintenance, n.Fault)
		}
		w.wiredAs([]metal.NetworkRole{metal.TenantNetwork}, "aborted")
	}
}

// TestRescueLimits: the request's own limit goes before the configuration's, and 0 is for ever.
func TestRescueLimits(t *testing.T) {
	c := Defaults()
	if c.RescueCallbackLimit != 30*time.Minute {
		t.Errorf("default %s", c.RescueCallbackLimit)
	}
	for _, row := range []struct {
		own        *int
		configured time.Duration
		want       time.Duration
	}{{nil, time.Hour, time.Hour}, {nil, 0, 0}, {new(int), time.Hour, 0}, {seconds(90), 0, 90 * time.Second}, {seconds(7200), time.Hour, 2 * time.Hour}} {
		op := &Op{row: &store.Operation{Plan: string(metal.PlanRescue)}}
		op.Rec.Ask.RescueSeconds, c.RescueCallbackLimit = row.own, row.configured
		if got := rescueCallback(&c, op); got != row.want {
			t.Errorf("%v, configured %s: %s", row.own, row.configured, got)
		}
		r := &runner{c: &Conductor{config: c}}
		if left := time.Until(r.bootUntil(op)); left < row.want || row.want == 0 && left < longestBoot {
			t.Errorf("%v, configured %s: its boot is there for %s", row.own, row.configured, left)
		}
	}
}

func seconds(n int) *int { return &n }

// TestAgentsWordsAreScrubbed: an agent that repeats the hash in its complaint tells it to nobody.
func TestAgentsWordsAreScrubbed(t *testing.T) {
	w := named(t, "rescue").start(newWorld(t))
	w.user.refuses = true
	w.run(w.conductor("c1", nil))
	n, _ := w.state()
	if n.ProvisionState != metal.RescueFailed || !strings.Contains(n.LastError, "cannot set ******") || w.on {
		t.Errorf("state %q, last_error %q, on %v", n.ProvisionState, n.LastError, w.on)
	}
	w.nowhere(testCrypt, "refused")
}

// TestAnOddStatusEndsTheRescue: what no database takes as text keeps no operation from being saved.
func TestAnOddStatusEndsTheRescue(t *testing.T) { onEach(t, testAnOddStatus) }

func testAnOddStatus(t *testing.T) {
	w := named(t, "rescue").start(newWorld(t))
	w.user.status = "ODD\x00"
	w.run(w.conductor("c1", nil))
	if n, _ := w.state(); n.ProvisionState != metal.RescueFailed || !strings.Contains(n.LastError, "the agent answered ODD") {
		t.Errorf("state %q, last_error %q", n.ProvisionState, n.LastError)
	}
}

// TestUnpinnedAgentsGetNothing: without TLS and a certificate that was told under the token nothing is sent.
func TestUnpinnedAgentsGetNothing(t *testing.T) {
	token := store.NewToken()
	for name, a := range map[string]store.Agent{
		"plain http":     {URL: "http://192.0.2.1:9999", VerifyCA: "x", Token: token},
		"no certificate": {URL: "https://192.0.2.1:9999", Token: token},
		"no token":       {URL: "https://192.0.2.1:9999", VerifyCA: "x"},
	} {
		if err := pinned(&a); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := pinned(&store.Agent{URL: "https://192.0.2.1:9999", VerifyCA: "x", Token: token}); err != nil {
		t.Error(err)
	}
}
