package conductor

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ingot/internal/metal"
	"ingot/internal/osdef"
	"ingot/internal/seed"
	"ingot/internal/store"
)

// given are the parameters of the last command, by name.
func (w *world) given() map[string]string {
	out := map[string]string{}
	for _, p := range w.os.work.Parameters {
		out[p.Name] = p.Class + " " + p.Value
	}
	return out
}

// changed changes the node, whatever works on it.
func (w *world) changed(change func(*metal.Node)) {
	w.t.Helper()
	w.write(func(tx *store.Tx) error {
		n, err := tx.NodeByID(w.node.ID)
		if err != nil {
			return err
		}
		change(n)
		return tx.SaveNode(n)
	})
}

// history are the lines of the node's history.
func (w *world) history() string {
	var out []string
	w.write(func(tx *store.Tx) error {
		events, err := tx.Events(w.node, store.Page{Limit: 1000})
		for _, e := range events {
			out = append(out, e.Why)
		}
		return err
	})
	return strings.Join(out, "\n")
}

// TestExports: parameters are those that the node is installed with, under those of the request; what came of it is told; and nothing hidden
// is kept anywhere.
func TestExports(t *testing.T) {
	onEach(t, func(t *testing.T) {
		w := osWorld(t, "export")
		w.run(w.conductor("c1", nil))
		named(t, "export").arrived(t, w, "export")
		want := map[string]string{"mirror": "public http://other.example", "token": "private " + privateCanary, "license": "private " + defaultCanary, "root-key": "secret " + secretCanary}
		if got := w.given(); len(got) != len(want) || got["mirror"] != want["mirror"] || got["token"] != want["token"] || got["license"] != want["license"] || got["root-key"] != want["root-key"] {
			t.Errorf("the script got %v", got)
		}
		if d := w.os.work.Definition; d == nil || !d.Trusted || d.Unsafe || w.os.work.Timeout <= 0 || w.os.work.Streams.Replace {
			t.Errorf("the agent was told %+v", w.os.work)
		}
		if said := w.history(); !strings.Contains(said, "The disks are exported to https://backup.example.org/n1: disk-0 of 7 bytes, SHA-256 "+testHash) || strings.Contains(said, "canary") {
			t.Errorf("the history says %s", said)
		}
		w.silentOf("export")
		if w.counters["agent export"] != 1 || len(w.held.released) != 1 {
			t.Errorf("%v, released %v", w.counters, w.held.released)
		}
	})
}

// TestAnExportThatFailsLeavesTheInstanceRunning, whatever it failed with: nothing of the machine was changed.
func TestAnExportThatFailsLeavesTheInstanceRunning(t *testing.T) {
	onEach(t, func(t *testing.T) {
		for name, spoil := range map[string]func(*world){
			"the script export ended with 3": func(w *world) {
				w.os.fails = "the script export ended with 3, with token " + privateCanary + " and " + secretCanary
			},
			"the agent was started anew": func(w *world) { w.os.at = func(w *world) { w.os.started++ } },
		} {
			w := osWorld(t, "export")
			spoil(w)
			w.run(w.conductor("c1", nil))
			n, a := w.state()
			if n.ProvisionState != metal.ServiceFailed || !strings.Contains(n.LastError, name) || strings.Contains(n.LastError, "canary") || n.Maintenance || !w.on || w.media != "" || a != nil {
				t.Errorf("%s: state %q, %q, maintenance %v, on %v", name, n.ProvisionState, n.LastError, n.Maintenance, w.on)
			}
			w.silentOf(name)
		}
	})
}

// TestARenameThatComplainsStartsTheInstance: its script has ended by itself. One that broke off is another thing.
func TestARenameThatComplainsStartsTheInstance(t *testing.T) {
	onEach(t, func(t *testing.T) {
		w := osWorld(t, "rename")
		w.os.fails = "the script rename ended with 3"
		w.run(w.conductor("c1", nil))
		if n, _ := w.state(); n.ProvisionState != metal.ServiceFailed || n.Maintenance || !w.on || n.InstanceName != "" {
			t.Errorf("state %q, maintenance %v, called %q", n.ProvisionState, n.Maintenance, n.InstanceName)
		}
		w = osWorld(t, "rename")
		w.os.at = func(w *world) { w.os.started++ }
		w.run(w.conductor("c1", nil))
		if n, _ := w.state(); n.ProvisionState != metal.ServiceFailed || !n.Maintenance || w.on || !strings.Contains(n.LastError, "started anew") {
			t.Errorf("broken off: state %q, maintenance %v, on %v, %q", n.ProvisionState, n.Maintenance, w.on, n.LastError)
		}
	})
}

// TestWhatKeepsAnExportFromTheMachine is told before anything is done to it.
func TestWhatKeepsAnExportFromTheMachine(t *testing.T) {
	onEach(t, func(t *testing.T) {
		for says, spoil := range map[string]func(*world){
			"the values of root-key are lost":                 func(w *world) { w.held.lost = true },
			"is not installed with an OS definition any more": func(w *world) { w.write(func(tx *store.Tx) error { return tx.DropOSInstall(w.node.ID) }) },
			"a listener of the control plane": func(w *world) {
				w.tune = func(c *Config) { c.PollOnly, c.Listeners = true, []string{"https://backup.example.org"} }
			},
			"which runs no scripts of OS definitions": func(w *world) { w.changed(func(n *metal.Node) { n.Interfaces["deploy"] = "direct" }) },
			"driver_info deploy_iso, and what installs with OS d": func(w *world) {
				w.changed(func(n *metal.Node) { n.DriverInfo = n.DriverInfo.With("deploy_iso", "https://x/y.iso") })
			},
		} {
			w := osWorld(t, "export")
			spoil(w)
			w.run(w.conductor("c1", nil))
			n, _ := w.state()
			if n.ProvisionState != metal.ServiceFailed || !strings.Contains(n.LastError, says) || !w.on || len(w.effects()) != 0 {
				t.Errorf("%s: state %q, %q, on %v, %v", says, n.ProvisionState, n.LastError, w.on, w.effects())
			}
		}
	})
}

// TestAMendedDefinitionExports: the files and the trust of today count, and not those of the installation.
func TestAMendedDefinitionExports(t *testing.T) {
	onEach(t, func(t *testing.T) {
		w := osWorld(t, "export")
		w.replaceFiles()
		w.distrust()
		w.run(w.conductor("c1", nil))
		named(t, "export").arrived(t, w, "export")
		if d := w.os.work.Definition; d.Digest != w.os.definition.Digest || d.Trusted {
			t.Errorf("the agent was told %s, trusted %v", d.Digest, d.Trusted)
		}
	})
}

// TestARenameIsKept: the instance reads its new name from then on, a rebuild keeps it, and INSTANCE_NAME is it.
func TestARenameIsKept(t *testing.T) {
	onEach(t, func(t *testing.T) {
		w := osWorld(t, withScripts)
		w.run(w.conductor("c1", nil))
		w.changed(func(n *metal.Node) {
			n.InstanceInfo = n.InstanceInfo.With("display_name", "web1")
			n.InstanceName = "web1"
		})
		before := w.instance()
		w.ask(metal.PlanService, metal.EventService, renameAsk)
		w.run(w.conductor("c1", nil))
		n, _ := w.state()
		if n.ProvisionState != metal.Active || n.InstanceName != "web2.example.org" || n.InstanceInfo.Public("display_name") != "web2.example.org" || n.Name != "n1" {
			t.Fatalf("state %q (%s), called %q and %q", n.ProvisionState, n.LastError, n.InstanceName, n.InstanceInfo.Public("display_name"))
		}
		if w.os.work.OldName != "n1" || w.os.work.Machine.Name != "web2.example.org" {
			t.Errorf("the script was told %q → %q", w.os.work.OldName, w.os.work.Machine.Name)
		}
		after := w.instance()
		if w.hostname(after) != "web2.example.org" || w.hostname(before) != "n1" || after.Generation == before.Generation || after.ID != before.ID || after.Deploy != before.Deploy {
			t.Errorf("the instance reads %q, generation %s, before %s", w.hostname(after), after.Generation, before.Generation)
		}
		w.node, _ = w.state()
		w.ask(metal.PlanDeploy, metal.EventRebuild, "{}")
		w.run(w.conductor("c1", nil))
		if n, _ := w.state(); n.ProvisionState != metal.Active || w.hostname(w.instance()) != "web2.example.org" || w.os.work.Machine.Name != "web2.example.org" {
			t.Errorf("rebuilt: state %q (%s), it reads %q, the script was told %q", n.ProvisionState, n.LastError, w.hostname(w.instance()), w.os.work.Machine.Name)
		}
	})
}

func (w *world) instance() (i *store.Instance) {
	w.t.Helper()
	w.write(func(tx *store.Tx) (err error) { i, err = tx.Instance(w.node); return err })
	if i == nil {
		w.t.Fatal("nothing is served of the instance")
	}
	return i
}

func (w *world) hostname(i *store.Instance) string {
	w.t.Helper()
	s, err := seed.Decode([]byte(i.Seed.Expose()))
	if err != nil {
		w.t.Fatal(err)
	}
	raw, _ := s.File(seed.MetaData)
	var meta struct {
		Hostname string `json:"hostname"`
	}
	if err := json.Unmarshal(raw, &meta); err != nil {
		w.t.Fatal(err)
	}
	return meta.Hostname
}

// TestREQ09AnImportWithoutItsCredentials fails before the machine is touched, and names them; a script that fails is told as for an installation.
func TestREQ09AnImportWithoutItsCredentials(t *testing.T) {
	onEach(t, func(t *testing.T) {
		w := osWorld(t, "import")
		w.held.lost = true
		w.run(w.conductor("c1", nil))
		w.installFailed("without its credentials", "user and password for the export", "os_import_password")
		if len(w.effects()) != 0 {
			t.Errorf("done to the machine: %v", w.effects())
		}
		w = osWorld(t, "import")
		w.os.fails = "disk 0: the script import ended with code 3"
		w.run(w.conductor("c1", nil))
		w.installFailed("a script that fails", "importing the disks: disk 0: the script import ended with code 3")
		w = osWorld(t, "import")
		w.changed(func(n *metal.Node) {
			n.InstanceInfo = n.InstanceInfo.With("image_source", "http://127.0.0.1:1/i.raw").With("image_os_hash_value", testHash)
		})
		w.run(w.conductor("c1", nil))
		named(t, "import").arrived(t, w, "beside an image")
		if w.counters["step write_image"]+w.counters["agent install"] != 0 || w.counters["agent import"] != 1 {
			t.Errorf("beside an image: %v", w.counters)
		}
		if said := w.history(); !strings.Contains(said, "The disks are imported: disk-0 of 7 bytes") || strings.Contains(said, "canary") {
			t.Errorf("the history says %s", said)
		}
	})
}

// plant puts other files in the place of the definition's: every script of them would leave a mark.
func (w *world) plant(mark string) {
	w.t.Helper()
	b := osBundle(w.t.Fatal, "\ntouch '"+mark+"'")
	w.write(func(tx *store.Tx) error {
		w.os.definition.Digest, w.os.definition.TrustedDigest = b.Digest(), b.Digest()
		w.os.install.Digest = b.Digest()
		if err := tx.SaveOSDefinition(w.os.definition); err != nil {
			return err
		}
		if err := tx.SaveOSBundle(w.os.definition, b); err != nil {
			return err
		}
		return tx.SaveOSInstall(w.node, &w.os.install)
	})
}

// TestREQ15TheConductorSendsScripts to the agent for every verb, and what it sends is the bundle as it was stored: nothing of it is unpacked or
// started here. TestREQ15NothingHereRunsScripts holds that no code could.
func TestREQ15TheConductorSendsScripts(t *testing.T) {
	onEach(t, func(t *testing.T) {
		for name, commands := range map[string][]string{withScripts: {"verify", "install"}, rebuilding: {"verify", "install"}, "export": {"export"}, "rename": {"rename"}, "import": {"verify", "import"}} {
			w := osWorld(t, name)
			mark := filepath.Join(t.TempDir(), "it-ran-here")
			w.plant(mark)
			w.run(w.conductor("c1", nil))
			named(t, name).arrived(t, w, name)
			if _, err := os.Stat(mark); err == nil {
				t.Errorf("%s: a script ran where the conductor does", name)
			}
			var sent []string
			for _, short := range []string{"verify", "install", "export", "import", "rename"} {
				if w.counters["agent "+short] > 0 {
					sent = append(sent, short)
				}
			}
			if !slices.Equal(sent, commands) {
				t.Errorf("%s: the agent was told to %v, want %v", name, sent, commands)
			}
			b, err := osdef.Read(strings.NewReader(string(w.os.work.Definition.Bundle)), osdef.Usual)
			if err != nil || b.Digest() != w.os.definition.Digest {
				t.Errorf("%s: the agent got other files: %v", name, err)
			}
		}
	})
}
