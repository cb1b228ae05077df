package conductor

import (
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"ingot/internal/agentapi"
	"ingot/internal/fault"
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

const testInventory = `{"interfaces": [{"name": "eno1", "mac_address": "52:54:00:00:00:01", "ipv4_address": "192.0.2.10"},
	{"name": "eno2", "mac_address": "52:54:00:00:00:02"}], "cpu": {"count": 4, "architecture": "x86_64"}, "memory": {"physical_mb": 8192},
	"disks": [{"name": "/dev/sda", "size": 107374182400}, {"name": "/dev/sdb", "size": 1099511627776}],
	"system_vendor": {"manufacturer": "ACME"}, "boot": {"current_boot_mode": "uefi", "secure_boot": true}}`

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

// agentTLS is the certificate of every agent here: an elliptic curve's signature costs a tenth of RSA's.
var agentTLS = sync.OnceValue(func() *tls.Config {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	c := x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, &c, &c, key.Public(), key)
	if err != nil {
		panic(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
})

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

func (w *world) Power(context.Context, *metal.Node) (metal.Power, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return map[bool]metal.Power{true: metal.PowerOn, false: metal.PowerOff}[w.on], nil
}

func (w *world) SetPower(_ context.Context, _ *metal.Node, want metal.Power) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.count("power " + string(want))
	if want == metal.PowerOn && w.stuck {
		return fault.New(fault.Unavailable, "the machine does not start")
	}
	if w.on = want == metal.PowerOn; w.on {
		w.firm.boot()
	}
	w.commands, w.user.in, w.user.gone, w.os.verified = nil, false, false, false // an agent that starts remembers nothing
	w.real.startsAnew()
	return nil
}

func (w *world) BootDevice(context.Context, *metal.Node) (metal.BootDevice, error) {
	return w.boot, nil
}

func (w *world) SetBootDevice(_ context.Context, _ *metal.Node, d metal.BootDevice) error {
	w.count("boot " + d.Device)
	w.boot = d
	return nil
}

func (w *world) BootDevices(context.Context, *metal.Node) ([]string, error) {
	if w.net != nil && w.net.http {
		return []string{"disk", "pxe", "uefihttp"}, nil
	}
	return []string{"disk", "cdrom", "pxe"}, nil
}

func (w *world) Media(context.Context, *metal.Node) (string, error) { return w.media, nil }

func (w *world) InsertMedia(_ context.Context, _ *metal.Node, url string) error {
	w.count("insert")
	w.media = url
	return nil
}

func (w *world) EjectMedia(context.Context, *metal.Node) error {
	w.count("eject")
	w.media = ""
	return nil
}

func (w *world) Inspect(context.Context, *metal.Node) (metal.HardwareInfo, error) {
	return metal.HardwareInfo{Manufacturer: "ACME", CPUArch: "x86_64", MACs: []string{"52:54:00:00:00:01"}}, nil
}

// shelf is the depot of one conductor.
type shelf struct {
	*world
	url string
}

func (s shelf) BootISO(node, boot string, _ agentapi.Role, _ time.Time) (string, error) {
	return s.url + "/" + node + "/" + boot, nil
}
func (s shelf) Check(agentapi.BootConfig, string) error { return s.unready }
func (s shelf) File(path string, _ time.Time) (string, error) {
	if s.bases == nil {
		return "", fault.New(fault.Invalid, "%s", path)
	}
	return s.url + path, nil
}
func (s shelf) Reachable(context.Context, *metal.Node, agentapi.Role) error {
	return untried(s.unready)
}

// callBack lets a machine that runs from its boot media do what its agent would: heartbeat.
func (w *world) callBack() {
	w.mu.Lock()
	if w.silent && w.on && w.media != "" && w.onWait != nil {
		w.onWait(w)
		w.onWait = nil
	}
	running := w.on && (w.boot.Device == "cdrom" && w.media != "" || w.byHand || w.fromNet()) && !w.silent
	boot := w.media[strings.LastIndex(w.media, "/")+1:]
	lost := slices.ContainsFunc(w.dead, func(url string) bool { return strings.HasPrefix(w.media, url) })
	w.mu.Unlock()
	if !running || w.asked {
		return
	}
	cert := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: w.agent.Certificate().Raw}))
	w.write(func(tx *store.Tx) error {
		a, err := tx.Agent(w.node)
		if err != nil || a == nil || a.Boot != boot && !w.byHand && w.net == nil || lost && a.LastHeartbeat.IsZero() {
			return err
		}
		w.mu.Lock()
		w.token = a.Token.Expose()
		w.mu.Unlock()
		live, err := tx.LiveOperation(w.node.ID)
		if err != nil {
			return err
		}
		if a.LastHeartbeat.IsZero() || live != nil && live.WaitingFor == metal.WaitAgent { // others change nothing
			a.URL, a.VerifyCA, a.LastHeartbeat = w.agent.URL, cert, time.Now()
			if err := tx.SaveAgent(a); err != nil {
				return err
			}
		}
		return tx.Wake(w.node.ID, metal.WaitAgent)
	})
}

// The agent: commands that run are found finished at the second look.
func (w *world) serveAgent(rw http.ResponseWriter, req *http.Request) {
	if w.real != nil {
		w.real.serve(rw, req)
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.user.gone {
		panic(http.ErrAbortHandler) // nobody listens any more
	}
	if strings.HasSuffix(req.URL.Path, "/status") {
		fmt.Fprintf(rw, `{"started_at": %d, "version": "1", "ingot_instance": "start-%d"}`, 1+w.os.started, w.os.started)
		return
	}
	if !w.on || req.URL.Query().Get("agent_token") != w.token {
		http.Error(rw, `{"faultstring": "Token invalid."}`, http.StatusUnauthorized)
		return
	}
	if req.Method == http.MethodGet {
		w.user.heard = w.user.heard || w.user.in
		body, _ := json.Marshal(map[string]any{"commands": w.commands})
		for i := range w.commands {
			if w.commands[i].CommandStatus == agentapi.Running && !(w.os.lasts && w.commands[i].CommandName == "install") {
				w.commands[i].CommandStatus = agentapi.Succeeded
			}
		}
		_, _ = rw.Write(body)
		return
	}
	var cmd agentapi.Command
	raw, _ := io.ReadAll(req.Body)
	if err := json.Unmarshal(raw, &cmd); err != nil {
		http.Error(rw, `{"faultstring": "bad"}`, http.StatusBadRequest)
		return
	}
	_, short, _ := strings.Cut(cmd.Name, ".")
	res := agentapi.Result{ID: fmt.Sprint(len(w.commands)), CommandName: short, CommandStatus: agentapi.Succeeded}
	w.count("agent " + short)
	w.runCommand(short, cmd, &res)
	w.commands = append(w.commands, res)
	if w.user.hurried && w.user.in {
		w.user.gone = true
	}
	out, _ := json.Marshal(res)
	_, _ = rw.Write(out)
}

// agentOffers is what the agent lists, for every kind of step.
const agentOffers = `{"KIND_steps":{"M":[{"interface":"deploy","step":"erase_devices","priority":10,"abortable":true},
	{"interface":"deploy","step":"erase_devices_metadata","priority":99,"abortable":true},{"interface":"deploy","step":"never","priority":0},
	{"interface":"deploy","step":"update_nic","priority":0,"reboot_requested":true},{"interface":"deploy","step":"write_image","priority":0},
	{"interface":"deploy","step":"tune","priority":0,"argsinfo":{"password":{"description":"x"}}}]},"hardware_manager_version":{"m":"VERSION"}}`

const erasedResult = `{"clean_result":{"/dev/sda":{"serial":"S1","size":8000000000,"how":"wiped","wwn":"0x5000","model":"M\n1","proof":{"method":"METHOD",
	"partial":PARTIAL,"passes":2,"began":"2026-01-02T03:04:05Z","ended":"2026-01-02T03:05:05Z","read_back":{"whole":true,"samples":2,"length":4096,"offsets":[0,4096],
	"zero":2,"result":"all zero"}}},"/dev/sdb":{"serial":"S2","size":1,"how":"left alone"},"other":{"how":"x","proof":{"method":"overwrite"}}}}`

func (w *world) runCommand(short string, cmd agentapi.Command, res *agentapi.Result) {
	switch short {
	case "collect_system_logs":
		res.CommandResult = json.RawMessage(`{"system_logs":"bG9ncw=="}`)
	case "get_clean_steps", "get_deploy_steps", "get_service_steps":
		kind := strings.TrimSuffix(strings.TrimPrefix(short, "get_"), "_steps")
		offers := strings.NewReplacer("KIND", kind, "VERSION", w.versions).Replace(agentOffers)
		if kind == "deploy" { // nothing runs by itself there
			offers = strings.NewReplacer(`"priority":10,`, `"priority":0,`, `"priority":99,`, `"priority":0,`).Replace(offers)
		}
		if w.variables != nil && kind == "clean" {
			offers = strings.Replace(offers, `"M":[`, `"M":[{"interface":"deploy","step":"clean_uefi_variables","priority":5},`, 1)
		}
		res.CommandResult = json.RawMessage(offers)
	case "execute_clean_step", "execute_service_step", "execute_deploy_step":
		var p agentapi.StepParams
		_ = json.Unmarshal(cmd.Params, &p)
		w.told = p.Node.InternalInfo
		res.CommandStatus = agentapi.Running
		for _, v := range []map[string]string{p.CleanVersion, p.DeployVersion, p.ServiceVersion} {
			if v != nil && v["m"] != w.versions {
				res.CommandStatus = agentapi.VersionMismatch
				return
			}
		}
		w.count("step " + p.Step.Step)
		switch p.Step.Step {
		case "erase_devices", "erase_devices_metadata":
			w.disk = "erased"
			res.CommandResult = json.RawMessage(strings.NewReplacer("METHOD", cmp.Or(map[string]string{"erase_devices": "overwrite"}[p.Step.Step], "metadata only"), "PARTIAL", strconv.FormatBool(p.Step.Step != "erase_devices")).Replace(cmp.Or(w.saysErased, erasedResult)))
		case "clean_uefi_variables":
			kept, _ := json.Marshal(w.variables)
			w.toldVariables, _ = p.Node.InternalInfo[agentapi.KnownVariables].([]any)
			res.CommandResult = json.RawMessage(`{"clean_result":{"uefi-variables":{"how":"2 removed","proof":{"method":"removed","passes":1}},"kept":` + string(kept) + `}}`)
		case "write_image":
			info, _ := p.Step.Args["image_info"].(map[string]any)
			if from := fmt.Sprint(info["urls"]); slices.ContainsFunc(w.dead, func(url string) bool { return strings.Contains(from, url) }) {
				w.count("lost image")
				res.CommandStatus, res.CommandError = agentapi.Failed, &agentapi.CommandError{Message: "the image cannot be fetched"}
				return
			}
			if w.os.badImage != "" {
				res.CommandStatus, res.CommandError = agentapi.Failed, &agentapi.CommandError{Message: w.os.badImage}
				return
			}
			w.wrote = fmt.Sprint(info["urls"])
			if w.os.definition != nil && !w.os.verified {
				w.t.Error("an image is written before the OS parameters were verified")
			}
			w.drive, _ = p.Step.Args["configdrive"].(string)
			w.disk = fmt.Sprint("image ", info["os_hash_value"])
		case "tune":
			w.disk = "serviced"
		}
	case "get_hardware_info":
		res.CommandResult = json.RawMessage(testInventory)
	case "install_bootloader":
		res.CommandStatus = agentapi.Running
	case "power_off":
		w.on = false
	case "finalize_rescue":
		w.letIn(cmd, res)
	case "verify", "install":
		w.osCommand(short, cmd, res)
	case "export", "import", "rename":
		w.osStream(short, cmd, res)
	}
}

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

func (w *world) Steps(*metal.Node, metal.StepKind) []metal.Step {
	return []metal.Step{
		{Interface: "bios", Step: "apply", ArgsInfo: map[string]metal.ArgInfo{"settings": {Required: true}}},
		{Interface: "raid", Step: "create", Abortable: true},
	}
}

func (w *world) RunStep(_ context.Context, _ *metal.Node, kind metal.StepKind, s metal.Step, key string) (string, error) {
	if w.broken {
		return "", fault.New(fault.Invalid, "the BMC refuses")
	}
	if w.stepsRun[key] {
		return "", nil
	}
	w.stepsRun[key] = true
	w.count(string(kind) + " " + s.Name())
	return "the BMC", nil
}

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

// off is a machine that nobody answers for: its agent is gone with its power.
func (w *world) off() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.on = false
}
