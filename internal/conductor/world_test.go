package conductor

import (
	"cmp"
	"crypto/tls"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"ingot/internal/agentapi"
	"ingot/internal/metal"
	"ingot/internal/secret"
	"ingot/internal/store"
	"ingot/internal/vendordata"
)

// world is one machine with a BMC and, while it runs from boot media, an agent that serves real TLS. It
// counts what is done to it. The database is a real one.
type world struct {
	t    *testing.T
	db   *store.DB
	node *metal.Node
	end  []func()
	dir  string // of a SQLite database

	mu       sync.Mutex
	on       bool
	media    string
	boot     metal.BootDevice
	disk     string // "user data", "erased", "image <hash>"
	counters map[string]int
	agent    *httptest.Server
	token    string
	commands []agentapi.Result
	told     map[string]any // driver_internal_info, as the last clean step's agent got it
	silent   bool           // the agent never calls back
	onWait   func(*world)   // what happens to a machine whose agent does not call, once
	firm     firmware
	side     peripherals
	tune     func(*Config)     // what the test configures, for every conductor
	later    func(*Config)     // what the operator changed while no conductor ran
	stepsRun map[string]bool   // by key: what the driver has done
	versions string            // of the agent's parts
	broken   bool              // the driver's steps fail
	bases    map[string]string // boot URL by conductor; others have one that lives for ever
	dead     []string          // boot URLs whose server is gone
	onDeath  func(host string) // what happens when a conductor is killed
	host     *bootHost         // nil: boot ISOs come from the conductor
	images   *imageHost        // nil: images are fetched where they are
	wrote    string            // the address that an image was last written from

	wires *wires // the network service; nil: the machine stays on the network that it is cabled to

	net *netWorld // nil: the machine boots from media

	held *keeping // the secret values that servers hold; nil: none can be had
	user rescued

	unready error // of the ramdisk; nil: it is there
	bare    bool  // its BMC cannot boot it from anything

	asked  bool             // its agent does not call: it is asked
	poller *poller          // by this one
	shows  *tls.Certificate // the certificate that the agent of this boot shows; nil: that of every other

	variables     []string // that a step of the agent's keeps; nil: it offers none such
	toldVariables []any    // the names that it was given

	firmwareIs metal.FirmwareState // what the BMC tells of it
	button     bool                // its power is switched by pressing a button

	saysErased string // what the agent says that it erased; "": its disk

	vendor *vendordata.Service // nil: nobody asks targets
	drive  string              // the config drive that the agent was given

	slotless bool // operations are asked for as a server does that knows of no slots

	stuck bool // it cannot be switched on

	byHand bool // whoever looks after the machine boots its ramdisk

	os   installing // its part in installations with OS definitions
	self selfWorld  // and where it installs itself
	real *realAgent // in the place of the agent that is a struct; nil: it is that

	heir func() func(where string) error // the hook of who follows a killed conductor; nil: it lives
}

const testHash = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t}
	w.openDatabase()
	return w.make()
}

// make gives the world its machine; it has its database.
func (w *world) make() *world {
	w.t.Helper()
	w.side = newPeripherals(journey{})
	w.disk, w.counters, w.stepsRun, w.versions = "user data", map[string]int{}, map[string]bool{}, "1"
	w.write(func(tx *store.Tx) (err error) { w.node, err = tx.Node("n1"); return err })
	w.agent = httptest.NewUnstartedServer(http.HandlerFunc(w.serveAgent))
	w.agent.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	w.agent.TLS = agentTLS().Clone()
	w.agent.TLS.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.shows == nil {
			return nil, nil
		}
		return &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{*w.shows}}, nil
	}
	w.agent.StartTLS()
	w.end = append(w.end, w.agent.Close)
	w.t.Cleanup(w.close)
	return w
}

// createNode makes the machine's node.
func createNode(tx *store.Tx) error {
	return tx.CreateNode(&metal.Node{UUID: "11111111-1111-4111-8111-111111111111", Name: "n1", Driver: "test", ProvisionState: metal.Enroll, ConsoleEnabled: true,
		DriverInfo: secret.NewMap(nil),
		Interfaces: map[string]string{"deploy": "direct", "management": "test", "console": "test", "bios": "test", "firmware": "test", "vendor": "test"},
		InstanceInfo: secret.NewMap(map[string]any{"image_source": "http://127.0.0.1:1/i.raw", "image_os_hash_value": testHash,
			"configdrive": map[string]any{"user_data": "#cloud-config\n"}})})
}

func (w *world) write(f func(*store.Tx) error) {
	w.t.Helper()
	if err := w.db.Write(w.t.Context(), f); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) conductor(host string, crash func(string) error) *Conductor {
	c := Defaults()
	c.Host, c.Poll, c.Backoff, c.PowerGrace, c.SoftPowerLimit = host, 1, 1, 1, 1
	if w.tune != nil {
		w.tune(&c)
	}
	if host == "successor" && w.later != nil {
		w.later(&c)
	}
	part := Part{Firmware: w, Power: w, Boot: w, Media: w, Inspector: w, Mode: w, Secure: w, Steps: w, Settings: w, Components: w, Drives: w, Terminal: w, Vendor: w}
	if w.wires != nil {
		part.Network = w.wires
	}
	if w.net != nil {
		part.NetBoot, part.Media = w.net.iface, nil
	}
	if w.bare {
		part.Boot, part.Media = nil, nil
	}
	cond := New(w.db, c, map[string]Hardware{"test": {Type: metal.HardwareType{Name: "test"}, Part: part}},
		shelf{w, cmp.Or(w.bases[host], "http://192.0.2.9")}, slog.New(slog.DiscardHandler))
	cond.crash = crash
	if w.net != nil {
		cond.BootFromNetwork(w.net)
	}
	if w.held != nil {
		cond.UseSecrets(w.held)
	}
	if w.host != nil {
		cond.PushTo(w.host)
	}
	if w.images != nil {
		cond.BringImages(w.images)
	}
	cond.UseVendordata(w.vendor)
	return cond
}

// ask writes an operation and the transition that belongs to it, as ops does.
func (w *world) ask(p metal.Plan, e metal.Event, rec string) {
	w.t.Helper()
	w.write(func(tx *store.Tx) error {
		n, err := tx.NodeByID(w.node.ID)
		if err != nil {
			return err
		}
		if e != "" {
			to, ok := metal.Next(n.ProvisionState, e)
			if !ok {
				return fmt.Errorf("%s does not lead on from %s", e, n.ProvisionState)
			}
			from := n.ProvisionState
			n.ProvisionState, n.TargetProvisionState = to, metal.Target(to, "")
			n.StampInspection(from, time.Now())
		}
		n.LastError = ""
		if err := tx.SaveNode(n); err != nil {
			return err
		}
		slot := p.Slot()
		if w.slotless {
			slot = ""
		}
		return tx.CreateOperation(&store.Operation{UUID: fmt.Sprintf("op-%d", time.Now().UnixNano()), NodeID: n.ID, Exclusive: true,
			Verb: verbOf(e), Plan: string(p), PlanVersion: p.Version(), Record: []byte(rec), Driver: "test", Slot: slot})
	})
}

// verbOf is the verb that ops writes, where a plan asks for it.
func verbOf(e metal.Event) string {
	if e == metal.EventRebuild {
		return string(metal.VerbRebuild)
	}
	return "test"
}

// run works until no operation lives; a conductor that was killed is replaced by another.
func (w *world) run(c *Conductor) {
	w.t.Helper()
	for i := 0; ; i++ {
		if i > 2000 {
			var last *store.Operation
			w.write(func(tx *store.Tx) (err error) { last, err = tx.LastOperation(w.node.ID); return err })
			w.t.Fatalf("the operation does not end: it is %s at step %q, waiting for %q", last.Plan, last.StepName, last.WaitingWhy)
		}
		w.callBack()
		w.installItself()
		w.askAgents(c)
		w.unhold()
		row, err := c.claim(w.t.Context())
		if err != nil {
			w.t.Fatal(err)
		}
		if row != nil {
			ctx := w.t.Context()
			if row.TakenOverFrom != "" || (&runner{c: c}).mayCrash("claimed") == nil {
				c.work(ctx, row, time.Now())
			}
			if c.crash != nil && c.crash("dead?") != nil {
				w.write(func(tx *store.Tx) error { return tx.DropLeases(c.config.Host) })
				if w.onDeath != nil {
					w.onDeath(c.config.Host)
				}
				c = w.conductor("successor", nil)
				if w.heir != nil {
					c.crash = w.heir()
				}
			}
			continue
		}
		if w.live() == nil {
			return
		}
	}
}

// live is the operation of the node that has not ended, or nil.
func (w *world) live() (live *store.Operation) {
	w.t.Helper()
	err := w.db.Read(w.t.Context(), func(tx *store.Tx) (err error) { live, err = tx.LiveOperation(w.node.ID); return err })
	if err != nil {
		w.t.Fatal(err)
	}
	return live
}

func (w *world) state() (*metal.Node, *store.Agent) {
	w.t.Helper()
	var n *metal.Node
	var a *store.Agent
	err := w.db.Read(w.t.Context(), func(tx *store.Tx) (err error) {
		if n, err = tx.NodeByID(w.node.ID); err == nil {
			a, err = tx.Agent(n)
		}
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return n, a
}

func (w *world) count(what string) { w.counters[what]++ }

// The BMC.

// unhold asks for what an operator asks for when a hold step was reached.
func (w *world) unhold() {
	if n, _ := w.state(); metal.States[n.ProvisionState].Kind != metal.Held {
		return
	}
	w.write(func(tx *store.Tx) error {
		n, err := tx.NodeByID(w.node.ID)
		if err != nil || metal.States[n.ProvisionState].Kind != metal.Held {
			return err
		}
		live, err := tx.LiveOperation(n.ID)
		if err != nil || live == nil || live.Undoing || live.Abort != "" {
			return err
		}
		w.count("unhold")
		n.ProvisionState, _ = metal.Next(n.ProvisionState, metal.EventUnhold)
		if err := tx.SaveNode(n); err != nil {
			return err
		}
		return tx.Wake(n.ID, metal.WaitUnhold)
	})
}

// The driver's own steps: each takes two looks.

// unbroken forgets the driver's runs: the next operation has keys of its own anyway.
func (w *world) unbroken() { w.broken = false }

// effects are what was done to the machine, without what was only read.
func (w *world) effects() map[string]int {
	out := maps.Clone(w.counters)
	delete(out, "agent get_clean_steps")
	delete(out, "agent get_deploy_steps")
	delete(out, "agent get_hardware_info")
	delete(out, "agent get_service_steps")
	return out
}
