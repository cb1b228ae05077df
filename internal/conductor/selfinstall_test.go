package conductor

import (
	"strings"
	"testing"
	"time"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/osdef"
	"ingot/internal/secret"
	"ingot/internal/store"
)

// failedInstall checks how a node rests whose installer failed: off, off its user's network, with an empty drive, and its disk as boot
// device.
func (w *world) failedInstall(want ...string) {
	w.t.Helper()
	n, _ := w.state()
	for _, s := range want {
		if !strings.Contains(n.LastError, s) {
			w.t.Errorf("last_error %q, want %q in it", n.LastError, s)
		}
	}
	if n.ProvisionState != metal.DeployFailed || w.on || w.media != "" || w.boot != (metal.BootDevice{Device: "disk", Persistent: true}) || len(w.images.held) != 0 {
		w.t.Errorf("state %s, on %v, media %q, it boots from %+v, of its medium %d are kept", n.ProvisionState, w.on, w.media, w.boot, len(w.images.held))
	}
	if w.wires != nil {
		w.wiredAs(nil, "failed")
	}
	w.nothingToBoot("failed")
	w.channelGone("failed")
	w.silentOf("failed")
}

// No scripts and no agent: the medium is booted once, and with the installer's last word the machine boots from its disk.
func TestREQ29And30AnInstallerIsBootedOnce(t *testing.T) {
	w := selfJourneys[0].begin(t)
	var during *metal.Node
	w.self.at = func(w *world) {
		w.self.at = nil
		during, _ = w.state()
		if w.boot.Persistent || w.wires == nil || !w.wires.on[metal.TenantNetwork] || w.wires.on[metal.ProvisioningNetwork] {
			t.Errorf("it runs the installer from %+v on %v", w.boot, w.wires.on)
		}
	}
	w.run(w.conductor("c1", nil))
	selfJourneys[0].arrived(t, w, "after it")
	if during == nil || during.ProvisionState != metal.DeployWait || w.self.boots != 1 {
		t.Fatalf("during it: %+v, %d boots", during, w.self.boots)
	}
	if n, _ := w.state(); during.InternalInfo[metal.ExecutionModeKey] != osdef.ModeSelfInstall || n.InternalInfo[metal.ExecutionModeKey] != osdef.ModeRun {
		t.Errorf("execution mode %v, then %v", during.InternalInfo[metal.ExecutionModeKey], n.InternalInfo[metal.ExecutionModeKey])
	}
	if p, _ := during.InternalInfo[metal.DeployProgressKey].(map[string]any); p["stage"] != "write" || p["message"] != "half of it" {
		t.Errorf("progress %v", p)
	}
	for what := range w.counters {
		if strings.HasPrefix(what, "agent ") {
			t.Errorf("an agent was asked: %s", what)
		}
	}
}

// Whatever step fails, the boot device is the disk again.
func TestREQ30TheBootDeviceIsTheDiskAgain(t *testing.T) {
	for _, j := range selfJourneys {
		names := j.ran(t)
		from := false
		for _, name := range names {
			from = from || name == "set boot device"
			if !from {
				continue
			}
			t.Run(j.name+"/"+name, func(t *testing.T) {
				t.Parallel()
				w := j.begin(t)
				c := w.conductor("c1", nil)
				c.tamper = breaking(name)
				w.run(c)
				w.failedInstall("broken on purpose")
			})
		}
	}
}

func TestREQ17AnInstallerThatFails(t *testing.T) {
	for _, c := range []struct {
		what string
		set  func(*world)
		want []string
	}{
		{"an exit code", func(w *world) { w.self.code = 3 }, []string{"the installer ended with code 3: done", "partitioning with"}},
		{"silence", func(w *world) { w.self.mute = true; w.shortly(200*time.Millisecond, time.Hour) }, []string{"time is over", "169.254.169.254"}},
		{"no end", func(w *world) { w.self.never = true; w.shortly(time.Hour, 500*time.Millisecond) }, []string{"time is over", `the last that it said was stage "write"`}},
		{"power off without a word", func(w *world) { w.self.at = func(w *world) { w.off() } }, []string{"the machine is off, and its installer had not said that it ended"}},
		{"lost secrets", func(w *world) {
			w.self.at = func(w *world) {
				w.write(func(tx *store.Tx) error {
					c, err := tx.OSChannel(w.node)
					if err != nil || c == nil {
						return err
					}
					return tx.LoseOSSecrets(w.node, c.Deploy, []string{"root-key"})
				})
			}
		}, []string{"the secret OS parameters root-key (os_parameters_secret) are lost"}},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			w := selfJourneys[0].begin(t)
			c.set(w)
			w.run(w.conductor("c1", nil))
			w.failedInstall(c.want...)
			w.self = selfWorld{}
			w.node, _ = w.state()
			w.ask(metal.PlanDeploy, metal.EventDeploy, selfJourneys[0].record)
			w.run(w.conductor("c1", nil))
			selfJourneys[0].arrived(t, w, "second try")
		})
	}
}

// shortly sets the limits of installations.
func (w *world) shortly(start, all time.Duration) {
	w.tune = func(c *Config) { c.OSInstall.StartLimit, c.OSInstall.Limit = start, all }
}

// An abort while it installs stops the machine.
func TestAnInstallerIsAborted(t *testing.T) {
	w := selfJourneys[0].begin(t)
	w.self.at = func(w *world) {
		w.self.never = true
		w.write(func(tx *store.Tx) error { return tx.AskAbort(w.node.ID, "alice") })
	}
	w.run(w.conductor("c1", nil))
	w.failedInstall("aborted by request of alice")
}

// An installer that reads hears that it is cancelled while its machine is still on.
func TestREQ21AnInstallerHearsThatItIsCancelled(t *testing.T) {
	w := selfJourneys[0].begin(t)
	w.tune = func(c *Config) { c.Poll = 100 * time.Millisecond }
	heard := make(chan string, 1)
	w.self.at = func(w *world) {
		w.self.at, w.self.never = nil, true
		w.write(func(tx *store.Tx) error { return tx.AskAbort(w.node.ID, "alice") })
		go w.reads(heard)
	}
	w.run(w.conductor("c1", nil))
	if said := <-heard; said != cancelMessage+" while on" {
		t.Errorf("it hears %q", said)
	}
	w.failedInstall("aborted by request of alice")
}

// reads tells of the first message for the machine, or that its channel is gone.
func (w *world) reads(heard chan<- string) {
	for {
		var m []byte
		gone := false
		err := w.db.Write(w.t.Context(), func(tx *store.Tx) error {
			n, err := tx.NodeByID(w.node.ID)
			if err != nil {
				return err
			}
			c, err := tx.OSChannel(n)
			if gone = c == nil; err != nil || gone {
				return err
			}
			m, err = tx.TakeOSMessage(n, c.Deploy, store.ToMachine)
			return err
		})
		w.mu.Lock()
		on := w.on
		w.mu.Unlock()
		switch {
		case err != nil:
			heard <- err.Error()
			return
		case gone:
			heard <- "nothing"
			return
		case m != nil && on:
			heard <- string(m) + " while on"
			return
		case m != nil:
			heard <- string(m)
			return
		}
	}
}

// Before its machine is touched everything is refused that cannot work.
func TestInstallersThatCannotBeBooted(t *testing.T) {
	for _, c := range []struct {
		what string
		set  func(*world)
		want string
	}{
		{"no medium", func(w *world) { w.node.InstanceInfo = secret.NewMap(nil) }, "set boot_iso"},
		{"no URL", func(w *world) { w.node.InstanceInfo = w.node.InstanceInfo.With("boot_iso", "file:///etc/passwd") }, "http or https"},
		{"a user in it", func(w *world) { w.node.InstanceInfo = w.node.InstanceInfo.With("boot_iso", "http://u:p@h/i.iso") }, "fetched without"},
		{"a bad checksum", func(w *world) { w.node.InstanceInfo = w.node.InstanceInfo.With("boot_iso_checksum", "abc") }, "checksum"},
		{"no virtual media", func(w *world) { w.bare = true }, "set it to redfish-virtual-media, http"},
		{"from the network, with boot hosts", func(w *world) { w.net = &netWorld{iface: metal.BootHTTP} }, "by virtual media only"},
		{"the wrong content", func(w *world) { w.images.err = fault.New(fault.Invalid, "it has not the checksum") }, "it has not the checksum"},
		{"lost secrets", func(w *world) { w.held.err = fault.New(fault.NotFound, "gone") }, "the secret OS parameters root-key"},
	} {
		t.Run(c.what, func(t *testing.T) {
			w := newWorld(t)
			j := selfJourneys[0]
			j.start(w)
			c.set(w)
			w.write(func(tx *store.Tx) error {
				n, err := tx.NodeByID(w.node.ID)
				if err == nil {
					n.InstanceInfo = w.node.InstanceInfo
					err = tx.SaveNode(n)
				}
				return err
			})
			w.run(w.conductor("c1", nil))
			n, _ := w.state()
			if n.ProvisionState != metal.DeployFailed || !strings.Contains(n.LastError, c.want) || w.counters["power power off"]+w.counters["power power on"]+w.counters["insert"] > 0 {
				t.Errorf("%s, %q, %v", n.ProvisionState, n.LastError, w.counters)
			}
		})
	}
}

// The server that offered the medium is gone before the installer was heard: another offers it, and the machine boots it anew.
func TestAnInstallerIsBootedAnew(t *testing.T) {
	w := selfJourneys[0].begin(t)
	w.self.mute = true
	stop := w.conductor("c1", nil)
	crashed := false
	stop.crash = func(where string) error {
		if n, _ := w.state(); n.ProvisionState == metal.DeployWait {
			crashed = true
		}
		if crashed {
			return errStop
		}
		return nil
	}
	w.onDeath = func(string) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.images.at, w.self.mute = "http://192.0.2.10", false
	}
	w.write(func(tx *store.Tx) error {
		return tx.SaveServer(store.Server{Name: "successor", Place: "p", Roles: []string{"conductor"}, BootURL: "http://192.0.2.10"}, time.Minute)
	})
	w.run(stop)
	selfJourneys[0].arrived(t, w, "after it")
	if w.counters["insert"] != 2 || w.counters["power power on"] != 3 { // twice the installer, then the instance
		t.Errorf("%v", w.counters)
	}
}
