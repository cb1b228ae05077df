package conductor

import (
	"slices"
	"strings"
	"testing"
	"time"

	"ingot/internal/agentapi"
	"ingot/internal/metal"
	"ingot/internal/osdef"
	"ingot/internal/secret"
	"ingot/internal/store"
)

// TestREQ17HowAnInstallationFails: each way is a failure that says what happened, the machine is off, and nothing is run again.
func TestREQ17HowAnInstallationFails(t *testing.T) { onEach(t, testHowItFails) }

func testHowItFails(t *testing.T) {
	for name, row := range map[string]struct {
		spoil func(*world)
		says  string
	}{
		"a script fails": {func(w *world) {
			w.os.fails = "create ended with 3. It said last:\nno space left\nits token was " + privateCanary
		}, "no space left\nits token was ******"},
		"the agent is silent": {func(w *world) {
			w.os.at = func(w *world) { w.user.gone = true }
			w.tune = func(c *Config) { c.OSInstall.Silence = 1 }
		}, "the agent has not answered for"},
		"the machine is off": {func(w *world) {
			w.os.at = func(w *world) { w.user.gone, w.on = true, false }
		}, "the machine is off, and its agent had not said that it ended"},
		"the agent starts anew": {func(w *world) {
			w.os.lasts, w.os.at = true, func(w *world) { w.os.started++ }
		}, "started anew in the middle of it"},
		"the time is over": {func(w *world) {
			w.os.lasts = true
			w.tune = func(c *Config) { c.OSInstall.Limit = 300 * time.Millisecond }
		}, "[os_install] timeout"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			row.spoil(w)
			named(t, withAll).start(w)
			w.run(w.conductor("c1", nil))
			w.installFailed(name, row.says)
			w.hasLog("os-install-", name == "a script fails")
			if w.counters["agent install"] > 1 || name != "the time is over" && w.counters["agent install"] != 1 {
				t.Errorf("scripts were run %d times", w.counters["agent install"])
			}
		})
	}
}

// TestREQ17AllThatAScriptSaidIsKept where a later step fails, too, without private and secret values.
func TestREQ17AllThatAScriptSaidIsKept(t *testing.T) {
	w := osWorld(t, withAll)
	w.os.unbootable = true
	w.os.archive = archive(t, map[string]string{"agent.log": "the agent's own", "os_install-02-create": "(create)\nits token is " + privateCanary + "\n", "os_install-01-verify": "(verify)\nfine\n"})
	w.run(w.conductor("c1", nil))
	w.installFailed("unbootable", "there is no loader")
	var kept []string
	w.write(func(tx *store.Tx) error {
		logs, err := tx.Logs(w.node)
		for _, l := range logs {
			var data []byte
			if strings.HasPrefix(l.Name, "os-install-") {
				data, err = tx.LogData(w.node, l.Name)
				kept = append(kept, string(data))
			}
		}
		return err
	})
	if want := []string{"(verify)\nfine\n(create)\nits token is ******\n"}; !slices.Equal(kept, want) {
		t.Errorf("kept %q, want %q", kept, want)
	}
	w.hasLog("agent-", true)
}

// hasLog checks whether a log was kept whose name begins so.
func (w *world) hasLog(name string, want bool) {
	w.t.Helper()
	w.write(func(tx *store.Tx) error {
		logs, err := tx.Logs(w.node)
		if has := slices.ContainsFunc(logs, func(l store.Log) bool { return strings.HasPrefix(l.Name, name) }); has != want {
			w.t.Errorf("logs %+v, %v", logs, err)
		}
		return err
	})
}

// TestREQ09ScriptsAreRunOnce: a conductor that is killed while scripts run is followed by one that finds the command and waits for it;
// one that finds another start of the agent fails, wherever it was killed.
func TestREQ09ScriptsAreRunOnce(t *testing.T) { onEach(t, testRunOnce) }

func testRunOnce(t *testing.T) {
	t.Parallel()
	ends, stride := map[metal.State]int{}, 1
	if onPostgres(t) { // which says the same
		stride = 3
	}
	for at := 0; ; at += stride {
		w := newWorld(t)
		w.onDeath = func(string) { // the agent's program ends, and starts again with an empty memory
			w.mu.Lock()
			defer w.mu.Unlock()
			w.os.started++
			w.commands = slices.DeleteFunc(w.commands, func(r agentapi.Result) bool { return r.CommandName == "install" })
		}
		named(t, withScripts).start(w)
		died := w.dieAt(at)
		n, _ := w.state()
		ends[n.ProvisionState]++
		if n.ProvisionState == metal.DeployFailed {
			w.installFailed("another start", "started anew")
		}
		if w.counters["agent install"] > 1 {
			t.Errorf("killed at %d: scripts were run %d times; %s", at, w.counters["agent install"], n.LastError)
		}
		w.close()
		if !died {
			break
		}
	}
	if ends[metal.Active] < 5 || ends[metal.DeployFailed] < 1 {
		t.Errorf("ends: %v", ends)
	}
}

// TestREQ18TheTenantsNetworkComesLast: while scripts run, and after they failed, the machine is not on it, whatever it was before.
func TestREQ18TheTenantsNetworkComesLast(t *testing.T) {
	onEach(t, func(t *testing.T) {
		for _, name := range []string{withAll, rebuilding} {
			for _, fails := range []string{"", "create ended with 1"} {
				w := osWorld(t, name)
				var during []metal.NetworkRole
				w.os.fails, w.os.at = fails, func(w *world) {
					w.wires.mu.Lock()
					defer w.wires.mu.Unlock()
					for role, on := range w.wires.on {
						if on {
							during = append(during, role)
						}
					}
				}
				w.run(w.conductor("c1", nil))
				if !slices.Equal(during, []metal.NetworkRole{metal.ProvisioningNetwork}) {
					t.Errorf("%s: while scripts run it is on %v", name, during)
				}
				if fails != "" {
					w.installFailed(name, fails)
					continue
				}
				w.wiredAs([]metal.NetworkRole{metal.TenantNetwork}, name)
			}
		}
	})
}

// TestREQ18TheStartHasALimit: a machine whose agent never calls is switched off in time.
func TestREQ18TheStartHasALimit(t *testing.T) {
	w := newWorld(t)
	w.silent = true
	w.tune = func(c *Config) { c.OSInstall.StartLimit = 50 * time.Millisecond }
	named(t, withScripts).start(w)
	w.run(w.conductor("c1", nil))
	w.installFailed("never called", "time is over: for 50ms it waited for the agent to call back")
}

// TestREQ25NoScriptAfterABadImage: an image that is not what it should be is the end.
func TestREQ25NoScriptAfterABadImage(t *testing.T) {
	onEach(t, func(t *testing.T) {
		for name, spoil := range map[string]func(*world){
			"another checksum": func(w *world) { w.os.badImage = "the image has another checksum" },
			"a short read":     func(w *world) { w.os.badImage = "the image ended early" },
			"too large":        func(w *world) { w.os.badImage = "the image is larger than the disk" },
			"not fetched":      func(w *world) { w.dead = []string{"http://127.0.0.1:1"} },
			"no address":       func(w *world) { w.node.InstanceInfo = w.node.InstanceInfo.With("image_source", "ftp://x/y") },
		} {
			w := newWorld(t)
			named(t, withAll).start(w)
			spoil(w)
			w.saveInfo()
			w.run(w.conductor("c1", nil))
			n, _ := w.state()
			if n.ProvisionState != metal.DeployFailed || w.counters["agent install"] != 0 || w.on || !strings.Contains(n.LastError, w.os.badImage) {
				t.Errorf("%s: state %q (%s), %v", name, n.ProvisionState, n.LastError, w.counters)
			}
		}
	})
}

// saveInfo writes the instance_info of the world's node, whose state its operation has changed.
func (w *world) saveInfo() {
	w.t.Helper()
	w.write(func(tx *store.Tx) error {
		n, err := tx.NodeByID(w.node.ID)
		if err != nil {
			return err
		}
		n.InstanceInfo = w.node.InstanceInfo
		return tx.SaveNode(n)
	})
}

// TestREQ31EveryCombinationInOrder: image, scripts and package, on creation and on rebuild, always in this order.
func TestREQ31EveryCombinationInOrder(t *testing.T) {
	onEach(t, func(t *testing.T) {
		for _, base := range []string{withScripts, rebuilding} {
			for n := 1; n < 8; n++ {
				image, scripts, pack := n&1 != 0, n&2 != 0, n&4 != 0
				if !image && !scripts {
					continue // refused: there is nothing to install from
				}
				w := osWorld(t, base)
				info := map[string]any{}
				want := "user data"
				if image {
					info["image_source"], info["image_os_hash_value"], want = "http://127.0.0.1:1/i.raw", testHash, "image "+testHash
				}
				w.node.InstanceInfo = secret.NewMap(info)
				w.saveInfo()
				i := w.os.install
				if scripts {
					want += ", scripts"
				} else {
					i.DefinitionID, i.Variant, i.Digest, i.Trusted = 0, "", "", false
					w.os.definition = nil
				}
				if pack {
					i.Package = "https://packages.example/p.tgz"
					want += ", package"
				}
				w.write(func(tx *store.Tx) error { return tx.SaveOSInstall(w.node, &i) })
				w.run(w.conductor("c1", nil))
				if n, _ := w.state(); n.ProvisionState != metal.Active || w.disk != want {
					t.Errorf("%s, image %v, scripts %v, package %v: state %q (%s), disk %q", base, image, scripts, pack, n.ProvisionState, n.LastError, w.disk)
				}
			}
		}
	})
}

// TestREQ31AnOrdinaryDeployment of a node with the interface os-install is one by direct.
func TestREQ31AnOrdinaryDeployment(t *testing.T) {
	for _, mode := range []string{"", osdef.ModeRun} {
		w := newWorld(t)
		w.node.Interfaces["deploy"] = metal.DeployOS
		if mode != "" {
			w.write(func(tx *store.Tx) error {
				return tx.SaveOSInstall(w.node, &store.OSInstall{Mode: mode, Safe: true})
			})
		}
		named(t, "deploy").start(w)
		w.run(w.conductor("c1", nil))
		n, _ := w.state()
		if n.ProvisionState != metal.Active || w.counters["agent install"]+w.counters["agent verify"] != 0 || w.disk != "image "+testHash || n.InternalInfo[metal.ExecutionModeKey] != nil {
			t.Errorf("%q: state %q (%s), %v, %v", mode, n.ProvisionState, n.LastError, w.counters, n.InternalInfo)
		}
	}
}

// TestREQ10ARebuildUsesWhatWasKept: the scripts of a rebuild get the stored values and are told that it is one.
func TestREQ10ARebuildUsesWhatWasKept(t *testing.T) {
	onEach(t, func(t *testing.T) {
		w := osWorld(t, rebuilding)
		for range 2 {
			w.run(w.conductor("c1", nil))
			want := []agentapi.OSParameter{{Name: "license", Value: defaultCanary, Class: "private"}, {Name: "mirror", Value: "http://mirror.example", Class: "public"}, {Name: "token", Value: privateCanary, Class: "private"}}
			if n, _ := w.state(); n.ProvisionState != metal.Active || !slices.Equal(w.os.work.Parameters, want) || !w.os.work.Reinstall {
				t.Errorf("state %q (%s), parameters %v, reinstall %v", n.ProvisionState, n.LastError, w.os.work.Parameters, w.os.work.Reinstall)
			}
			w.node, _ = w.state()
			w.ask(metal.PlanDeploy, metal.EventRebuild, "{}")
		}
		w.run(w.conductor("c1", nil))
	})
}

// TestREQ05WhatTheAgentIsTold is all that there is to know, and what it says on the way is told without values.
func TestREQ05WhatTheAgentIsTold(t *testing.T) {
	w := osWorld(t, withAll)
	w.tune = func(c *Config) { c.CollectLogs = LogsAlways }
	w.run(w.conductor("c1", nil))
	got := w.os.work
	if d := got.Definition; d == nil || d.Name != "debian" || d.Variant != "12" || d.Digest != w.os.definition.Digest || !d.Trusted || d.Unsafe || len(d.Bundle) == 0 {
		t.Errorf("the definition: %+v", got.Definition)
	}
	if p := got.Package; p == nil || p.URL != "https://packages.example/p.tar.gz" || p.User != "" || p.Password != "canary-password-123" {
		t.Errorf("the package: %+v", got.Package)
	}
	if m := got.Machine; m.Name != "n1" || m.UUID != w.node.UUID || len(m.NICs) != 1 || m.NICs[0].MAC != "52:54:00:00:00:01" || got.Timeout < 7000 || got.Timeout > 7200 || !strings.Contains(string(got.MetaData), `"uuid"`) {
		t.Errorf("the machine: %+v, timeout %d, %s", m, got.Timeout, got.MetaData)
	}
	var said []string
	w.hasLog("os-install-", true)
	w.write(func(tx *store.Tx) error {
		events, err := tx.Events(w.node, store.Page{Limit: 1000})
		for _, e := range events {
			said = append(said, e.Why)
		}
		return err
	})
	for _, want := range []string{`The installation is at stage "unpack ******".`, "The system is installed. Create (trusted) ended with 0 after 1.5 s; the personalization package"} {
		if !slices.ContainsFunc(said, func(s string) bool { return strings.HasPrefix(s, want) }) {
			t.Errorf("nothing says %q in %q", want, said)
		}
	}
	w.silentOf("with logs")
}

// TestInstallationsBootInEveryWay: from the network, and with agents that are only polled, killed at every save.
func TestInstallationsBootInEveryWay(t *testing.T) { onEach(t, testBootsOfInstallations) }

func testBootsOfInstallations(t *testing.T) {
	for name, way := range map[string]func(*world){metal.BootPXE: func(w *world) { w.fromNetwork(metal.BootPXE) }, "polled": func(w *world) { w.polls() }} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var p deathPlaces
			p.each(t, func() map[string]int {
				w := newWorld(t)
				defer w.close()
				way(w)
				j := named(t, withScripts)
				j.start(w)
				w.heir = p.mortal
				w.run(w.conductor("c1", p.mortal()))
				if n, a := w.state(); n.ProvisionState != j.end || n.LastError != "" || a != nil || !w.on || w.disk != j.disk {
					t.Errorf("%s: state %q, last_error %q, agent %v, on %v, disk %q", p.label(), n.ProvisionState, n.LastError, a != nil, w.on, w.disk)
				}
				if w.net != nil && w.net.asked != agentapi.RoleInstall {
					t.Errorf("%s: the ramdisk of role %q was booted", p.label(), w.net.asked)
				}
				return w.effects()
			})
		})
	}
}

// TestAddressesOfNICs: what network data say of a NIC is told to scripts.
func TestAddressesOfNICs(t *testing.T) {
	nics := []agentapi.OSNIC{{MAC: "52:54:00:00:00:01"}, {MAC: "52:54:00:00:00:02"}}
	addressed(nics, []byte(`{"links": [{"id": "a", "ethernet_mac_address": "52:54:00:00:00:01"}, {"id": "b"}], "networks": [
		{"link": "a", "network_id": "n", "type": "ipv4", "ip_address": "192.0.2.7", "netmask": "255.255.255.128", "routes": [{"network": "0.0.0.0", "netmask": "0.0.0.0", "gateway": "192.0.2.1"}]},
		{"link": "a", "type": "ipv6", "ip_address": "2001:db8::7/64", "gateway": "2001:db8::1"}, {"link": "b", "ip_address": "192.0.2.8"}, {"link": "a", "type": "ipv4_dhcp"}]}`))
	want := agentapi.OSNetwork{UUID: "n", Family: "4", Subnet: "192.0.2.0/25", Gateway: "192.0.2.1", Subnet6: "2001:db8::/64", Gateway6: "2001:db8::1"}
	if n := nics[0]; n.IP != "192.0.2.7" || n.Network == nil || *n.Network != want || nics[1].Network != nil {
		t.Errorf("%+v, %+v", nics, nics[0].Network)
	}
	for _, mask := range []string{"", "255.0.255.0", "33", "x", "ffff::"} {
		addressed([]agentapi.OSNIC{{MAC: "52:54:00:00:00:01"}}, []byte(`{"links": [{"id": "a", "ethernet_mac_address": "52:54:00:00:00:01"}], "networks": [{"link": "a", "ip_address": "192.0.2.7", "netmask": "`+mask+`"}]}`))
	}
	addressed(nics, []byte(`[`))
}
