package conductor

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"ingot/internal/agentapi"
	"ingot/internal/metal"
	"ingot/internal/store"
)

// polled has agents be only polled, at every conductor of the world.
func (w *world) polled() {
	w.tune = func(c *Config) { c.PollOnly, c.AgentURL, c.AgentCA = true, "https://192.0.2.9:6386", "CA" }
}

// TestAPolledBootSaysWhomToTrust: its medium has the agent's pair and the commander's certificate, and nobody to call. The
// row has what the other side needs; another boot has pairs of its own. A boot from the network cannot carry a key.
func TestAPolledBootSaysWhomToTrust(t *testing.T) {
	w := newWorld(t)
	w.polled()
	c := w.conductor("c1", nil)
	pairs := map[string]bool{}
	for _, own := range []bool{true, true, false} {
		a, err := c.newAgent(w.node, "b", true, own)
		if err != nil {
			t.Fatal(err)
		}
		b, params, err := c.bootConfig(w.node, a)
		if err != nil || params != "" {
			t.Fatal(params, err)
		}
		if !b.PollOnly || b.APIURL != "" || b.CA != "" || b.AgentToken != a.Token.Expose() || b.NodeUUID != w.node.UUID || !a.PollOnly || !a.Pregenerated {
			t.Errorf("own %v: it names %q and %q, token %v", own, b.APIURL, b.CA, b.AgentToken != "")
		}
		if b.Client == "" || b.Client != a.Commander.Certificate || strings.Contains(b.Client, "PRIVATE KEY") {
			t.Errorf("own %v: the commander is %q", own, b.Client)
		}
		if b.Certificate != a.VerifyCA || b.Key != a.AgentKey.Expose() || (b.Key != "") != own || (b.Certificate != "") != own {
			t.Errorf("own %v: the agent's pair is %v, certificate %q", own, b.Key != "", b.Certificate)
		}
		pairs[b.Client], pairs[b.Certificate] = true, true
		raw, err := json.Marshal(b)
		if err != nil || len(raw) > 8<<10 { // 64 KiB are for all, network data too
			t.Errorf("boot.json has %d bytes, %v", len(raw), err)
		}
	}
	if len(pairs) != 6 { // "" of the last is one
		t.Errorf("%d certificates in three boots", len(pairs))
	}
	a, err := c.newAgent(w.node, "b", false, true)
	if err != nil || !a.Commander.Empty() || !a.AgentKey.Empty() || a.VerifyCA != "" {
		t.Errorf("an agent that calls has pairs: %v", err)
	}
	if b, _, err := c.bootConfig(w.node, a); err != nil || b.PollOnly || b.APIURL == "" || b.CA == "" || b.Key+b.Certificate+b.Client != "" {
		t.Errorf("an agent that calls is given %q, poll only %v, %v", b.APIURL, b.PollOnly, err)
	}
}

// TestPairsOutliveTheirBoot, and clocks that are wrong.
func TestPairsOutliveTheirBoot(t *testing.T) {
	w := newWorld(t)
	w.polled()
	c := w.conductor("c1", nil)
	a, err := c.newAgent(w.node, "b", true, true)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []agentapi.Pair{a.Commander, {Certificate: a.VerifyCA, Key: a.AgentKey}} {
		pair, err := p.TLS()
		if err != nil {
			t.Fatal(err)
		}
		from, until := time.Since(pair.Leaf.NotBefore), time.Until(pair.Leaf.NotAfter)
		if from < 23*time.Hour || until < pairLife+c.config.longestCallback()+23*time.Hour || until > 62*24*time.Hour {
			t.Errorf("%s is good since %v and for %v", pair.Leaf.Subject, from, until)
		}
	}
}

// TestPolledMachinesFetchFromBootHosts: what cannot be trusted, or would be fetched from the control plane, is refused before
// the machine is touched, and validate says it too.
func TestPolledMachinesFetchFromBootHosts(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*world)
		says   string
	}{
		"no boot host":      {func(w *world) { w.host = nil }, "[deploy] boot_hosts"},
		"an ISO of its own": {func(w *world) { w.node.DriverInfo = w.node.DriverInfo.With("deploy_iso", "http://192.0.2.7/a.iso") }, "deploy_iso"},
		"not a word":        {func(w *world) { w.node.DriverInfo = w.node.DriverInfo.With("poll_only", "maybe") }, "true or false"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.polled()
			w.pushing()
			c.change(w)
			w.node.ProvisionState = metal.Manageable
			w.save()
			if v := w.validatedKind("boot"); v.Result == nil || *v.Result || !strings.Contains(v.Reason, c.says) {
				t.Errorf("validate says %+v", v)
			}
			w.ask(metal.PlanClean, metal.EventProvide, "{}")
			w.run(w.conductor("c1", nil))
			n, _ := w.state()
			if n.ProvisionState != metal.CleanFailed || !strings.Contains(n.LastError, c.says) || w.counters["power"]+w.counters["insert"] != 0 {
				t.Errorf("state %s, last_error %q, done %v", n.ProvisionState, n.LastError, w.counters)
			}
		})
	}
}

// TestPolledBootsArePushed kills the conductor at every save until the boot medium is pushed: what is on the boot host is
// always what the row has, and an agent of an earlier boot has other pairs.
func TestPolledBootsArePushed(t *testing.T) { onEach(t, testPolledBootsArePushed) }

func testPolledBootsArePushed(t *testing.T) {
	j := named(t, "clean by hand, power")
	for kill := range 12 {
		w := j.begin(t)
		w.polled()
		b := w.pushing()
		b.onPush = func(config agentapi.BootConfig) {
			var a *store.Agent
			w.write(func(tx *store.Tx) (err error) { a, err = tx.Agent(w.node); return err })
			if a == nil || !a.PollOnly || config.Certificate != a.VerifyCA || config.Key != a.AgentKey.Expose() || config.Client != a.Commander.Certificate || config.AgentToken != a.Token.Expose() {
				t.Errorf("kill %d: what is pushed is not what was kept", kill)
			}
		}
		seen, dead := 0, false
		w.run(w.conductor("c1", func(where string) error {
			if dead {
				return errStop
			}
			if where != "dead?" {
				if seen++; seen == kill+1 {
					dead = true
					return errStop
				}
			}
			return nil
		}))
		j.arrived(t, w, "polled")
		if b.tries == 0 || len(b.pushed) != 0 {
			t.Errorf("kill %d: pushed %d times, left %d", kill, b.tries, len(b.pushed))
		}
		w.close()
	}
}
