package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"ingot/internal/client"
	"ingot/internal/metal"
	"ingot/internal/wire"
)

// server is a small control plane with the wire of the real one: what a command sends and what it makes of
// answers is tested against it. An operation goes one step further each time its node's states are read, so
// the tests need no clock. The whole road with the real server is in cmd/ingot/testdata.
type server struct {
	mu     sync.Mutex
	nodes  []*machine
	ports  []wire.Port
	bodies []string // of every request that had one: "METHOD path body"
	old    bool     // answer as an upstream Ironic: no /ingot paths
	gone   int      // answers to hang up on, to play a restart
	wishes
}

type machine struct {
	wire.Node
	op     *operation
	events []metal.HistoryEvent
	logs   []client.Log
}

type operation struct {
	verb  string
	steps []string
	at    int // steps that are done; -1 until somebody looks
	end   metal.State
	power string
	fail  string // last_error; "" ends well
}

func (s *server) handler() http.Handler {
	mux := http.NewServeMux()
	handle := func(pattern string, f func(http.ResponseWriter, *http.Request, *machine)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			m := s.find(r.PathValue("node"))
			if m == nil {
				refuse(w, 404, "Node "+r.PathValue("node")+" could not be found.")
				return
			}
			f(w, r, m)
		})
	}
	mux.HandleFunc("GET /v1/nodes", s.list)
	mux.HandleFunc("POST /v1/nodes", s.create)
	handle("GET /v1/nodes/{node}", func(w http.ResponseWriter, _ *http.Request, m *machine) { answer(w, m.masked()) })
	handle("PATCH /v1/nodes/{node}", s.patch)
	handle("DELETE /v1/nodes/{node}", s.remove)
	handle("GET /v1/nodes/{node}/states", s.states)
	handle("PUT /v1/nodes/{node}/states/provision", s.provision)
	handle("PUT /v1/nodes/{node}/states/power", s.power)
	handle("PUT /v1/nodes/{node}/maintenance", func(w http.ResponseWriter, _ *http.Request, m *machine) {
		m.Maintenance = true
		w.WriteHeader(202)
	})
	handle("DELETE /v1/nodes/{node}/maintenance", func(w http.ResponseWriter, _ *http.Request, m *machine) {
		m.Maintenance = false
		w.WriteHeader(202)
	})
	handle("GET /v1/nodes/{node}/validate", func(w http.ResponseWriter, _ *http.Request, _ *machine) {
		_, _ = io.WriteString(w, `{"power": {"result": true}, "deploy": {"result": false, "reason": "no image_source"}, "raid": {"result": null}}`)
	})
	handle("GET /v1/nodes/{node}/inventory", func(w http.ResponseWriter, _ *http.Request, m *machine) {
		if m.Name != "here" {
			refuse(w, 404, "No inventory of node "+m.UUID+" is known: inspect it first.")
			return
		}
		_, _ = io.WriteString(w, `{"inventory": {"memory": {"physical_mb": 4096}, "boot": {"current_boot_mode": "uefi", "secure_boot": true},
			"interfaces": [{"name": "eno1", "mac_address": "52:54:00:00:00:07", "ipv4_address": "192.0.2.7"}]}, "plugin_data": {}}`)
	})
	mux.HandleFunc("GET /v1/ports", func(w http.ResponseWriter, r *http.Request) {
		var out []wire.Port
		for _, p := range s.ports {
			if a := r.URL.Query().Get("address"); a == "" || a == p.Address {
				out = append(out, p)
			}
		}
		answer(w, map[string]any{"ports": out})
	})
	mux.HandleFunc("POST /v1/ports", s.createPort)
	mux.HandleFunc("DELETE /v1/ports/{port}", func(w http.ResponseWriter, _ *http.Request) { s.ports = nil; w.WriteHeader(204) })
	s.wishes.routes(mux)
	mux.HandleFunc("GET /v1/os_definitions/debian", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"uuid": "os-1", "name": "debian", "digest": "sha256:0123456789abcdef", "trusted": true, "os_parameters_private": {"token": "******"}}`)
	})
	mux.HandleFunc("GET /v1/drivers", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"drivers": [{"name": "redfish", "hosts": ["rack1", "rack2"]}]}`)
	})
	mux.HandleFunc("GET /v1/drivers/redfish", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"name": "redfish", "hosts": ["rack1"], "default_deploy_interface": "direct", "enabled_deploy_interfaces": ["direct"]}`)
	})
	mux.HandleFunc("GET /v1/drivers/redfish/properties", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"redfish_address": "URL of the BMC. Required."}`)
	})
	mux.HandleFunc("GET /v1/conductors", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"conductors": [{"hostname": "rack1", "conductor_group": "", "alive": true, "drivers": ["redfish"]}]}`)
	})
	handle("GET /ingot/v1/nodes/{node}/why", func(w http.ResponseWriter, _ *http.Request, m *machine) { answer(w, m.why()) })
	handle("GET /ingot/v1/nodes/{node}/events", func(w http.ResponseWriter, r *http.Request, m *machine) {
		from := 0
		for i, e := range m.events {
			if e.UUID == r.URL.Query().Get("after") {
				from = i + 1
			}
		}
		answer(w, map[string]any{"events": m.events[from:]})
	})
	handle("GET /ingot/v1/nodes/{node}/logs", func(w http.ResponseWriter, _ *http.Request, m *machine) { answer(w, map[string]any{"logs": m.logs}) })
	handle("GET /ingot/v1/nodes/{node}/logs/{name}", func(w http.ResponseWriter, r *http.Request, _ *machine) {
		fmt.Fprintf(w, "first line of %s\n", r.PathValue("name"))
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { refuse(w, 404, "no such path") })
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.gone > 0 {
			s.gone--
			panic(http.ErrAbortHandler)
		}
		if s.old && strings.HasPrefix(r.URL.Path, "/ingot") {
			refuse(w, 404, "no such path")
			return
		}
		if b, _ := io.ReadAll(r.Body); len(b) > 0 {
			s.bodies = append(s.bodies, r.Method+" "+r.URL.Path+" "+strings.TrimSpace(string(b)))
			r.Body = io.NopCloser(strings.NewReader(string(b)))
		}
		mux.ServeHTTP(w, r)
	})
}

func answer(w http.ResponseWriter, v any) { _ = json.NewEncoder(w).Encode(v) }

func refuse(w http.ResponseWriter, status int, text string) {
	w.WriteHeader(status)
	answer(w, wire.NewError(status, text))
}

func (s *server) find(ident string) *machine {
	for _, m := range s.nodes {
		if m.UUID == ident || m.Name == ident {
			return m
		}
	}
	return nil
}

func (s *server) add(n wire.Node) *machine {
	if n.UUID == "" {
		n.UUID = fmt.Sprintf("00000000-0000-4000-8000-%012d", len(s.nodes)+1)
	}
	m := &machine{Node: n}
	s.nodes = append(s.nodes, m)
	return m
}

func (m *machine) masked() wire.Node {
	n := m.Node
	n.DriverInfo = map[string]any{}
	for k, v := range m.DriverInfo {
		if k == "redfish_password" {
			v = "******"
		}
		n.DriverInfo[k] = v
	}
	return n
}

func (s *server) list(w http.ResponseWriter, r *http.Request) {
	nodes := []wire.Node{}
	for _, m := range s.nodes {
		if of := r.URL.Query().Get("os_definition"); of != "" && (of != "os-1" || m.Name != "installed") {
			continue
		}
		if q := r.URL.Query().Get("provision_state"); q == "" || q == m.ProvisionState {
			nodes = append(nodes, m.masked())
		}
	}
	answer(w, map[string]any{"nodes": nodes})
}

func (s *server) create(w http.ResponseWriter, r *http.Request) {
	var n wire.Node
	if err := json.NewDecoder(r.Body).Decode(&n); err != nil {
		refuse(w, 400, err.Error())
		return
	}
	if s.find(n.Name) != nil {
		refuse(w, 409, "A node with name "+n.Name+" already exists.")
		return
	}
	n.ProvisionState = string(metal.Enroll)
	w.WriteHeader(201)
	answer(w, s.add(n).masked())
}

func (s *server) createPort(w http.ResponseWriter, r *http.Request) {
	var p wire.Port
	_ = json.NewDecoder(r.Body).Decode(&p)
	if _, ok := wire.ParseMAC(p.Address); !ok {
		refuse(w, 400, "Expected a MAC address but received "+p.Address+".")
		return
	}
	p.UUID = "00000000-0000-4000-9000-000000000001"
	s.ports = append(s.ports, p)
	w.WriteHeader(201)
	answer(w, p)
}

// patch knows just enough: fields by way of the node's JSON, and one level below.
func (s *server) patch(w http.ResponseWriter, r *http.Request, m *machine) {
	var ops []wire.PatchOp
	_ = json.NewDecoder(r.Body).Decode(&ops)
	b, _ := json.Marshal(m.Node)
	var doc map[string]any
	_ = json.Unmarshal(b, &doc)
	for _, op := range ops {
		tokens := strings.Split(op.Path, "/")[1:]
		at := doc
		if len(tokens) == 2 {
			at = doc[tokens[0]].(map[string]any)
		}
		last := tokens[len(tokens)-1]
		if op.Op == "remove" {
			delete(at, last)
			continue
		}
		at[last] = op.Value
	}
	b, _ = json.Marshal(doc)
	var n wire.Node
	_ = json.Unmarshal(b, &n)
	m.Node = n
	answer(w, m.masked())
}

func (s *server) remove(w http.ResponseWriter, _ *http.Request, m *machine) {
	if m.ProvisionState == string(metal.Active) && !m.Maintenance {
		refuse(w, 409, "Node "+m.Name+" can not be deleted while it is in state active.")
		return
	}
	kept := s.nodes[:0]
	for _, x := range s.nodes {
		if x != m {
			kept = append(kept, x)
		}
	}
	s.nodes = kept
	w.WriteHeader(204)
}

// states is also the clock: it takes a running operation one step further.
func (s *server) states(w http.ResponseWriter, _ *http.Request, m *machine) {
	if op := m.op; op != nil {
		if op.at >= 0 && op.at < len(op.steps) {
			m.tell("step", op.steps[op.at], fmt.Sprintf("Step %q is done.", op.steps[op.at]))
		}
		if op.at++; op.at > len(op.steps) {
			m.op, m.TargetProvisionState, m.TargetPowerState = nil, "", ""
			if op.power != "" {
				m.PowerState = op.power
			}
			if op.end != "" {
				m.ProvisionState = string(op.end)
			}
			if op.fail != "" {
				m.LastError = op.fail
				m.tell("error", "", op.fail)
			}
		}
	}
	answer(w, m.Node)
}

func (m *machine) tell(kind, step, why string) {
	m.events = append(m.events, metal.HistoryEvent{UUID: fmt.Sprintf("event-%d", len(m.events)+1), Kind: kind, Step: step,
		Who: "rack1", Why: why, At: time.Date(2026, 11, 23, 12, 0, len(m.events), 0, time.UTC), Severity: "INFO"})
}

func (m *machine) why() metal.Why {
	how, _ := m.DriverInternalInfo[metal.OSInstalledKey].(*metal.OSInstalled)
	w := metal.Why{OSInstall: how, Node: m.UUID, State: metal.State(m.ProvisionState), Next: "nothing until somebody asks", LastError: m.LastError}
	if op := m.op; op != nil && op.at < len(op.steps) {
		at := max(0, op.at)
		w.Verb, w.Step, w.StepIndex, w.StepsTotal = op.verb, op.steps[at], at, len(op.steps)
		w.Next = "the step after it"
		since := time.Now().Add(-5 * time.Second)
		w.Since = &since
		switch w.Step {
		case "write image":
			w.Progress = &metal.Progress{What: "writing", Done: 512 << 20, Total: 2 << 30, Unit: "bytes", Rate: 64 << 20}
		case "install os":
			w.Progress = &metal.Progress{What: "packages: unpacking libc6", Done: 40, Total: 100, Unit: "percent"}
		default:
			w.WaitingFor = "the agent to call back"
		}
	}
	return w
}

func (s *server) provision(w http.ResponseWriter, r *http.Request, m *machine) {
	var body struct {
		Target metal.Verb `json:"target"`
		OS     string     `json:"os_definition"`
	}
	_ = json.NewDecoder(r.Body).Decode(&body)
	if why := osRefusals[body.OS]; why != "" {
		refuse(w, 400, why)
		return
	}
	next, ok := metal.Next(metal.State(m.ProvisionState), metal.Verbs[body.Target].Event)
	if !ok {
		refuse(w, 400, fmt.Sprintf("The requested action %q can not be performed on node %q while it is in state %q.", body.Target, m.UUID, m.ProvisionState))
		return
	}
	op := &operation{at: -1, verb: string(body.Target), steps: []string{"boot ramdisk", "write image"}, end: metal.Verbs[body.Target].Target}
	if body.OS != "" {
		op.steps = []string{"boot ramdisk", "install os"}
	}
	if body.Target == metal.VerbAdopt || body.Target == metal.VerbInspect {
		op.steps = []string{"look"}
	}
	if body.Target == metal.VerbManage {
		op.steps, op.end = []string{"check power"}, metal.Manageable
	}
	if why, ok := m.Extra["fail"].(string); ok {
		op.fail, op.end = why, map[metal.Verb]metal.State{metal.VerbManage: metal.Enroll, metal.VerbActive: metal.DeployFailed, metal.VerbRescue: metal.RescueFailed}[body.Target]
	}
	m.tell("transition", "", "asked")
	m.events[len(m.events)-1].From, m.events[len(m.events)-1].To = metal.State(m.ProvisionState), next
	m.op, m.LastError, m.ProvisionState, m.TargetProvisionState = op, "", string(next), string(metal.Target(next, ""))
	w.WriteHeader(202)
}

// theInstall is how the node "installed" was installed.
var theInstall = &metal.OSInstalled{Definition: "debian", Variant: "13", Digest: "sha256:0123456789abcdef", Changed: true, Mode: "install", Package: "https://p.example.com/site.tgz",
	Parameters: map[string]string{"mirror": "http://m", "size": "5"}, Private: []string{"token"}, Again: []string{"disk-key", "root-password"}, At: time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)}

// osRefusals are sentences of the server, by the definition that is asked for.
var osRefusals = map[string]string{
	"again":     "The rebuild of node 00000000-0000-4000-8000-000000000004 needs the secret OS parameters disk-key, root-password again, which were kept nowhere: give them in os_parameters_secret.",
	"mine":      "The OS definition mine is not trusted, so its installation cannot be unsafe: leave safe_install away, or have an administrator trust sha256:00.",
	"other+12":  "Node 00000000-0000-4000-8000-000000000002 has the deploy interface direct, which installs no OS definitions, packages or modes: its interface os-install does.",
	"novariant": "The OS definition has the variants 12, 13, and one must be chosen.",
}

func (s *server) power(w http.ResponseWriter, r *http.Request, m *machine) {
	var body struct {
		Target metal.Power `json:"target"`
	}
	_ = json.NewDecoder(r.Body).Decode(&body)
	end := metal.PowerOn
	if body.Target == metal.PowerOff || body.Target == metal.SoftPowerOff {
		end = metal.PowerOff
	}
	m.op = &operation{at: -1, verb: string(body.Target), steps: []string{"set power"}, power: string(end)}
	m.TargetPowerState, m.LastError = string(end), ""
	w.WriteHeader(202)
}

func logAt(name string, second int) client.Log {
	return client.Log{Name: name, At: time.Date(2026, 11, 23, 12, 0, second, 0, time.UTC), Size: 2048}
}
