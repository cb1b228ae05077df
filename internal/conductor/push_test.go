package conductor

import (
	"context"
	"maps"
	"strings"
	"testing"
	"time"

	"ingot/internal/agentapi"
	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/store"
)

// bootHost is a boot host, as conductors know theirs: what was pushed, by node and boot.
type bootHost struct {
	w      *world
	pushed map[string]agentapi.BootConfig
	tries  int
	down   bool
	net    *metal.NetworkBoot // the last boot from the network
	seen   string             // what its machine fetched last
	seeds  map[string]int     // how often each node's metadata was pushed since it was withdrawn; nil: it serves none
	full   bool               // it takes none
	stuck  bool               // the machine cannot be switched on after a push
	onPush func(agentapi.BootConfig)
}

func (b *bootHost) Push(_ context.Context, node, boot string, config agentapi.BootConfig, _ string, until time.Time) (string, error) {
	if b.onPush != nil {
		b.onPush(config)
	}
	b.w.mu.Lock()
	defer b.w.mu.Unlock()
	b.tries++
	if b.down || time.Until(until) < time.Hour {
		return "", fault.New(fault.Unavailable, "the boot host is down")
	}
	b.pushed[node+"/"+boot] = config
	return "http://192.0.2.77/pushed/" + boot, nil
}

func (b *bootHost) Withdraw(_ context.Context, node, boot string) error {
	b.w.mu.Lock()
	defer b.w.mu.Unlock()
	if b.down {
		return fault.New(fault.Unavailable, "the boot host is down")
	}
	delete(b.pushed, node+"/"+boot)
	return nil
}

func (b *bootHost) PushNetBoot(_ context.Context, n *metal.NetworkBoot) error {
	b.w.mu.Lock()
	defer b.w.mu.Unlock()
	b.tries++
	if b.down {
		return fault.New(fault.Unavailable, "the boot host is down")
	}
	b.pushed[n.NodeUUID+"/"+n.Generation] = agentapi.BootConfig{}
	b.net = n
	return nil
}

func (b *bootHost) NetBootSeen(context.Context, string, string) (string, error) {
	if b.down {
		return "", fault.New(fault.Unavailable, "the boot host is down")
	}
	return b.seen, nil
}

func (b *bootHost) PushMetadata(_ context.Context, node string) error {
	b.w.mu.Lock()
	defer b.w.mu.Unlock()
	if b.seeds == nil {
		return nil
	}
	if b.down || b.full {
		return fault.New(fault.TooLarge, "the boot host is full")
	}
	b.seeds[node]++
	b.w.stuck = b.stuck
	return nil
}

func (b *bootHost) WithdrawMetadata(_ context.Context, node string, made time.Time) error {
	b.w.mu.Lock()
	defer b.w.mu.Unlock()
	if b.down || made.IsZero() {
		return fault.New(fault.Unavailable, "the boot host is down")
	}
	delete(b.seeds, node)
	return nil
}

// pushing has every conductor of the world push to a boot host.
func (w *world) pushing() *bootHost {
	w.host = &bootHost{w: w, pushed: map[string]agentapi.BootConfig{}}
	return w.host
}

// TestBootISOsArePushed kills the conductor at every save of plans that boot: each boot has one ISO on the boot host,
// with the token that counts, and none is left in the end.
func TestBootISOsArePushed(t *testing.T) { onEach(t, testBootISOsArePushed) }

func testBootISOsArePushed(t *testing.T) {
	for _, name := range []string{"deploy", "clean by hand, power"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j := named(t, name)
			w := j.begin(t)
			b := w.pushing()
			w.run(w.conductor("c1", nil))
			j.arrived(t, w, "undisturbed")
			want := w.effects()
			if b.tries == 0 || len(b.pushed) != 0 {
				t.Fatalf("pushed %d times, left %v", b.tries, b.pushed)
			}
			w.close()
			for kill, dead := 0, true; dead; kill++ {
				if dead = false; kill%7 != 3 && (onPostgres(t) || kill%2 == 1 && name != "deploy") {
					dead = true
					continue
				}
				w := j.begin(t)
				b := w.pushing()
				seen, label := 0, ""
				w.run(w.conductor("c1", func(where string) error {
					if dead {
						return errStop
					}
					if where != "dead?" {
						if seen++; seen == kill+1 {
							dead, label = true, where
							return errStop
						}
					}
					return nil
				}))
				j.arrived(t, w, "killed "+label)
				if got := w.effects(); !maps.Equal(got, want) {
					t.Errorf("killed %s (%d): effects %v, undisturbed %v", label, kill, got, want)
				}
				if len(b.pushed) != 0 {
					t.Errorf("killed %s: left on the boot host: %v", label, b.pushed)
				}
				w.close()
			}
		})
	}
}

// TestWhatIsPushedIsTheBoot: the ISO on the boot host has the identity of the boot that is under way.
func TestWhatIsPushedIsTheBoot(t *testing.T) {
	w := named(t, "deploy").begin(t)
	b := w.pushing()
	w.tune = func(c *Config) { c.AgentURL = "https://192.0.2.1:6386" }
	w.silent = true
	w.untilItWaits(w.conductor("c1", nil))
	_, a := w.state()
	config, ok := b.pushed[w.node.UUID+"/"+a.Boot]
	if !ok || len(b.pushed) != 1 || config.AgentToken != a.Token.Expose() || config.APIURL != "https://192.0.2.1:6386" || w.media != "http://192.0.2.77/pushed/"+a.Boot {
		t.Errorf("pushed %v, in the drive %q", ok, w.media)
	}
	w.write(func(tx *store.Tx) error { return tx.AskAbort(w.node.ID, "operator") })
	w.run(w.conductor("c1", nil))
	if len(b.pushed) != 0 || w.media != "" {
		t.Errorf("after the abort: %d pushed, in the drive %q", len(b.pushed), w.media)
	}
}

// TestPushedBootsAnewOnlyWithoutADoor: the medium outlives the conductor, so what counts is the door written on it.
func TestPushedBootsAnewOnlyWithoutADoor(t *testing.T) {
	for door, anew := range map[string]int{"https://192.0.2.1:6386": 1, "https://192.0.2.50:6386": 0} {
		w := named(t, "deploy").begin(t)
		b := w.pushing()
		w.apart()
		w.write(func(tx *store.Tx) error {
			return tx.SaveServer(store.Server{Name: "door", Place: "door", AgentURL: "https://192.0.2.50:6386"}, time.Minute)
		})
		w.tune = func(c *Config) {
			if c.AgentURL = door; c.Host == "successor" {
				c.AgentURL = "https://192.0.2.2:6386"
			}
		}
		w.silent = true
		w.untilItWaits(w.conductor("c1", nil))
		w.onDeath("c1")
		next := w.conductor("successor", nil)
		w.untilItWaits(next)
		w.silent = false
		w.run(next)
		named(t, "deploy").arrived(t, w, door)
		if told := w.boots(); len(told) != anew || anew > 0 && !strings.Contains(told[0].Why, "agents' door") {
			t.Errorf("door %s: %+v", door, told)
		}
		if len(b.pushed) != 0 {
			t.Errorf("door %s: left %v", door, b.pushed)
		}
		w.close()
	}
}

// TestABootHostThatIsDown fails the boot before the machine is switched on, and keeps no operation from ending.
func TestABootHostThatIsDown(t *testing.T) {
	w := named(t, "deploy").begin(t)
	b := w.pushing()
	b.down = true
	w.run(w.conductor("c1", nil))
	if n, _ := w.state(); !strings.Contains(n.LastError, `"prepare boot": the boot host is down`) || w.counters["insert"] != 0 || w.on {
		t.Errorf("last_error %q, %v", n.LastError, w.counters)
	}
	w.close()

	w = named(t, "deploy").begin(t)
	b = w.pushing()
	w.silent = true
	c := w.conductor("c1", nil)
	w.untilItWaits(c)
	b.down, w.silent = true, false
	w.run(c)
	named(t, "deploy").arrived(t, w, "the boot host went down")
	var told bool
	w.write(func(tx *store.Tx) error {
		all, err := tx.Events(w.node, store.Page{Limit: 1000})
		for _, e := range all {
			told = told || strings.Contains(e.Why, "stays on a boot host until it expires")
		}
		return err
	})
	if !told {
		t.Error("nobody is told what stayed on the boot host")
	}
}

// TestNetworkBootsArePushed: what is pushed is the boot that was kept, and it goes with the machine's ramdisk, or with an
// abort.
func TestNetworkBootsArePushed(t *testing.T) {
	for _, abort := range []bool{false, true} {
		w := newWorld(t)
		w.fromNetwork(metal.BootIPXE)
		b := w.pushing()
		w.silent = abort
		named(t, "deploy").start(w)
		c := w.conductor("c1", nil)
		if abort {
			w.untilItWaits(c)
			kept := w.netBoot()
			if b.net == nil || len(b.pushed) != 1 || kept == nil || kept.Generation != b.net.Generation || kept.Key.Expose() != b.net.Key.Expose() || b.net.Config.Expose() == "" {
				t.Fatalf("pushed %v, kept %v", b.net, kept)
			}
			w.write(func(tx *store.Tx) error { return tx.AskAbort(w.node.ID, "operator") })
		}
		w.run(c)
		if n, _ := w.state(); !abort && n.ProvisionState != metal.Active {
			t.Errorf("it is %s: %s", n.ProvisionState, n.LastError)
		}
		if len(b.pushed) != 0 || b.tries != 1 {
			t.Errorf("aborted %v: pushed %d times, left %v", abort, b.tries, b.pushed)
		}
		w.close()
	}
}

// TestSeenByBoth: with boot hosts a server with the role netboot may have served the machine from the row all the same.
// What came further is told.
func TestSeenByBoth(t *testing.T) {
	w := newWorld(t)
	defer w.close()
	w.fromNetwork(metal.BootIPXE)
	b := w.pushing()
	w.silent = true
	named(t, "deploy").start(w)
	c := w.conductor("c1", nil)
	w.untilItWaits(c)
	r, op := &runner{c: c, log: c.log}, &Op{Node: w.node, Rec: record{Boot: w.netBoot().Generation, Pushed: true}}
	for _, s := range []struct {
		row, host string
		down      bool
		want      string
	}{
		{"", "", false, ""},
		{"", "kernel", false, "kernel"},
		{metal.SeenOffer, "", false, metal.SeenOffer},
		{"config", "kernel", false, "config"},
		{"bootx64.efi", "grubx64.efi", false, "grubx64.efi"},
		{"initramfs", metal.SeenOffer, false, "initramfs"},
		{"boot.ipxe", "snponly.efi", false, "boot.ipxe"},
		{"kernel", "", true, "kernel"},
	} {
		b.seen, b.down = s.host, s.down
		w.write(func(tx *store.Tx) error { return tx.SeeNetworkBoot(op.Rec.Boot, s.row) })
		if got, err := r.netSeen(t.Context(), op); got != s.want || err != nil {
			t.Errorf("%+v: %q, %v", s, got, err)
		}
	}
	w.write(func(tx *store.Tx) error { return tx.SeeNetworkBoot(op.Rec.Boot, "") })
	if got, err := r.netSeen(t.Context(), op); got != "" || fault.KindOf(err) != fault.Unavailable {
		t.Errorf("nothing is known, and the boot host is down: %q, %v", got, err)
	}
}
