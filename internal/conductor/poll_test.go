package conductor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"ingot/internal/agentapi"
	"ingot/internal/metal"
	"ingot/internal/secret"
	"ingot/internal/store"
)

// asker is a database with nodes whose agents are awaited, and the agents: each node's machine has an address of its own on
// the loopback interface, where one listener is for all.
type asker struct {
	*testing.T
	db   *store.DB
	c    *Conductor
	door net.Listener

	mu     sync.Mutex
	doing  map[string]string // by address: what the machine there does; "" or absent: nothing listens to a word
	calls  map[string]int    // by "<address> <command>"
	born   int               // how often agents were started anew
	silent int               // connections that are held and never answered
	change chan struct{}     // closed and made anew when any of these changes
}

const polledInventory = `{"interfaces": [%s], "cpu": {}, "memory": {}, "disks": [], "system_vendor": {}, "boot": {}}`

// testCommander is who commands the agents of all boots here.
var testCommander = sync.OnceValue(func() agentapi.Pair {
	pair, err := agentapi.NewPair("commander", time.Now(), time.Now().Add(time.Hour))
	if err != nil {
		panic(err)
	}
	return pair
})

// newAsker makes one on the engine that its test names.
func newAsker(t *testing.T) *asker {
	t.Helper()
	w := newWorld(t)
	a := &asker{T: t, db: w.db, doing: map[string]string{}, calls: map[string]int{}, change: make(chan struct{})}
	lc := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) (err error) {
		return errors.Join(raw.Control(func(fd uintptr) {
			err = syscall.SetsockoptString(int(fd), syscall.SOL_SOCKET, syscall.SO_BINDTODEVICE, "lo")
		}), err)
	}}
	door, err := lc.Listen(t.Context(), "tcp4", "0.0.0.0:0") // bound to the loopback interface: each of its addresses
	if err != nil {
		t.Fatal(err)
	}
	a.door = door
	s := httptest.NewUnstartedServer(http.HandlerFunc(a.serve))
	_ = s.Listener.Close()
	s.Listener = &picky{door, a}
	s.TLS = agentTLS().Clone()
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	s.StartTLS()
	t.Cleanup(s.Close)
	a.c = a.conductor("c1")
	return a
}

func (a *asker) conductor(host string) *Conductor {
	c := Defaults()
	c.Host, c.PollOnly, c.PollInterval, c.AgentPort, c.PollWorkers = host, true, time.Hour, a.door.Addr().(*net.TCPAddr).Port, 8
	return New(a.db, c, map[string]Hardware{"test": {Type: metal.HardwareType{Name: "test"}}}, nil, slog.New(slog.DiscardHandler))
}

// picky holds the connections to machines that say nothing.
type picky struct {
	net.Listener
	a *asker
}

func (p *picky) Accept() (net.Conn, error) {
	for {
		conn, err := p.Listener.Accept()
		if err != nil {
			return nil, err
		}
		p.a.mu.Lock()
		at := conn.LocalAddr().(*net.TCPAddr).IP.String()
		p.a.calls[at+" connected"]++
		if p.a.doing[at] != "" {
			p.a.mu.Unlock()
			return conn, nil
		}
		p.a.silent++
		p.a.changed()
		p.a.mu.Unlock()
		go func() { // until the other side gives up
			_, _ = io.Copy(io.Discard, conn)
			_ = conn.Close()
		}()
	}
}

func (a *asker) changed() {
	close(a.change)
	a.change = make(chan struct{})
}

// serve is every agent: what it does is a list of its MACs, "old" or "restarted".
func (a *asker) serve(w http.ResponseWriter, r *http.Request) {
	at := r.Context().Value(http.LocalAddrContextKey).(net.Addr).(*net.TCPAddr).IP.String()
	body, _ := io.ReadAll(r.Body)
	var cmd agentapi.Command
	_ = json.Unmarshal(body, &cmd) // a GET has none
	a.mu.Lock()
	defer a.mu.Unlock()
	defer a.changed()
	a.calls[at+" "+r.Method+" "+cmd.Name]++
	if r.URL.Query().Has("agent_token") && a.calls[at+" POST "+agentapi.CommandHardwareInfo] == 0 {
		a.Errorf("%s was shown the token before it told what it is", at)
	}
	if strings.HasSuffix(r.URL.Path, "/status") {
		fmt.Fprintf(w, `{"started_at": %d, "version": "1"}`, 1+a.born)
		return
	}
	switch does := a.doing[at]; {
	case does == "old":
		w.WriteHeader(http.StatusNotFound)
		_, _ = w.Write([]byte(`{"faultcode":"Client","faultstring":"Not found: Extension with id poll not found."}`))
	case does == "another boot":
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = w.Write([]byte(`{"faultcode":"Client","faultstring":"401 Unauthorized: Token invalid."}`))
	case does == "rude" && cmd.Name == agentapi.CommandHardwareInfo:
		_, _ = w.Write([]byte(`{"command_name": "get_hardware_info", "command_status": "FAILED", "command_error": {"details": "\u0000` + strings.Repeat("é", 200) + `"}}`))
	case r.Method == http.MethodGet:
		list := `{"command_name": "node_info", "command_status": "SUCCEEDED"}`
		if a.calls[at+" POST "+agentapi.CommandNodeInfo] == 0 {
			list = ""
		}
		fmt.Fprintf(w, `{"commands": [%s]}`, list)
	case cmd.Name == agentapi.CommandHardwareInfo:
		var nics []string
		for i, mac := range strings.Split(does, " ") {
			nics = append(nics, fmt.Sprintf(`{"name": "eno%d", "mac_address": %q}`, i, mac))
		}
		result, _ := json.Marshal(agentapi.Result{CommandName: "get_hardware_info", CommandStatus: agentapi.Succeeded, CommandResult: fmt.Appendf(nil, polledInventory, strings.Join(nics, ", "))})
		_, _ = w.Write(result)
	default:
		_, _ = w.Write([]byte(`{"command_name": "node_info", "command_status": "SUCCEEDED"}`))
	}
}

// awaits makes a node whose agent is awaited at an address; the port's MAC is its own.
func (a *asker) awaits(tx *store.Tx, i int, at, mac string) (*metal.Node, error) {
	n := &metal.Node{UUID: fmt.Sprintf("%08d-0000-4000-8000-000000000000", i), Driver: "test", ProvisionState: metal.CleanWait,
		DriverInfo: secret.NewMap(map[string]any{metal.AgentAddress: at}), InstanceInfo: secret.NewMap(nil)}
	return n, errors.Join(tx.CreateNode(n), tx.CreatePort(&metal.Port{UUID: fmt.Sprintf("%08d-0000-4000-8000-000000000001", i), NodeUUID: n.UUID, Address: mac}),
		tx.SaveAgent(&store.Agent{NodeID: n.ID, NodeUUID: n.UUID, Boot: "b", Token: store.NewToken(), PollOnly: true, Commander: testCommander()}),
		tx.CreateOperation(&store.Operation{UUID: "op" + n.UUID, NodeID: n.ID, Exclusive: true, Verb: "test", Plan: string(metal.PlanClean), PlanVersion: metal.PlanClean.Version(),
			Driver: "test", Slot: metal.SlotClean, WaitingFor: metal.WaitAgent, DueAt: time.Now().Add(time.Hour)}),
		tx.AwaitAgent(&store.Poll{NodeID: n.ID, Boot: "b", Awaits: store.AwaitAnswer, Wait: "w", Driver: "test", DueAt: time.Now().Add(time.Duration(i-1000) * time.Millisecond)}))
}

func (a *asker) node(i int, at, mac string) (n *metal.Node) {
	a.Helper()
	err := a.db.Write(a.Context(), func(tx *store.Tx) (err error) { n, err = a.awaits(tx, i, at, mac); return err })
	if err != nil {
		a.Fatal(err)
	}
	return n
}

func (a *asker) does(at, what string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.doing[at] = what
}

func (a *asker) count(what string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.calls[what]
}

// agent is the row of a node's agent, with what was asked.
func (a *asker) agent(n *metal.Node) (agent *store.Agent, poll *store.Poll, said string) {
	a.Helper()
	err := a.db.Read(a.Context(), func(tx *store.Tx) (err error) {
		var events []metal.HistoryEvent
		var errs [3]error
		agent, errs[0] = tx.Agent(n)
		poll, errs[1] = tx.PollOf(n.ID)
		events, errs[2] = tx.Events(n, store.Page{})
		for _, e := range events {
			said += e.Why + "\n"
		}
		return errors.Join(errs[:]...)
	})
	if err != nil {
		a.Fatal(err)
	}
	return agent, poll, said
}

// ask asks everybody who is due, once.
func (a *asker) ask(p *poller) {
	a.Helper()
	if err := p.round(a.Context()); err != nil {
		a.Fatal(err)
	}
}

// hurry makes a node's agent due.
func (a *asker) hurry(n *metal.Node) {
	a.Helper()
	_, p, _ := a.agent(n)
	err := a.db.Write(a.Context(), func(tx *store.Tx) error {
		p.DueAt = time.Now().Add(-time.Second)
		return tx.SavePoll(p)
	})
	if err != nil {
		a.Fatal(err)
	}
}

// TestSilentMachinesDelayNobody: 500 machines that take connections and say nothing are due before one that answers, and
// there are eight quick lanes.
func TestSilentMachinesDelayNobody(t *testing.T) {
	a := newAsker(t)
	const silent = 500
	var live *metal.Node
	err := a.db.Write(t.Context(), func(tx *store.Tx) (err error) {
		for i := range silent {
			if _, err := a.awaits(tx, i+1, fmt.Sprintf("127.7.%d.%d", i/250, 1+i%250), fmt.Sprintf("52:54:00:07:%02x:%02x", i/250, i%250)); err != nil {
				return err
			}
		}
		live, err = a.awaits(tx, silent+1, "127.8.0.1", "52:54:00:08:00:01")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	a.does("127.8.0.1", "52:54:00:08:00:01")
	run := start(t, a.c)
	defer run()
	for {
		a.mu.Lock()
		change, held, told := a.change, a.silent, a.calls["127.8.0.1 POST "+agentapi.CommandNodeInfo]
		a.mu.Unlock()
		if told > 0 {
			if held <= a.c.config.PollWorkers {
				t.Errorf("the machine was told after %d silent ones: that many lanes there are", held)
			}
			break
		}
		<-change
	}
	for changed := a.db.Changed(); ; changed = a.db.Changed() {
		if agent, _, _ := a.agent(live); agent.URL != "" {
			return
		}
		<-changed
	}
}

// start runs a conductor's poller; what it gives ends it.
func start(t *testing.T, c *Conductor) (end func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var run sync.WaitGroup
	run.Go(func() { c.poll(ctx) })
	return func() {
		cancel()
		run.Wait()
	}
}

// TestAnotherMachineIsToldNothing: it lacks a port's NIC, or has one of another node. The search goes on, each reason is
// told once, and when the right machine is there it is told its node.
func TestAnotherMachineIsToldNothing(t *testing.T) { onEach(t, testAnotherMachineIsToldNothing) }

func testAnotherMachineIsToldNothing(t *testing.T) {
	a := newAsker(t)
	const at, mine, other = "127.9.0.1", "52:54:00:09:00:01", "52:54:00:09:00:02"
	n := a.node(1, at, mine)
	a.does("127.9.0.2", "old") // who is asked once and never again
	a.node(2, "127.9.0.2", other)
	p := newPoller(a.c)
	defer p.forgetAll()
	for _, c := range []struct {
		does, want string
	}{
		{"52:54:00:09:00:99", "it lacks the node's " + mine},
		{mine + " " + other, "it has " + other + " of another node's ports"},
		{other, "it lacks the node's " + mine + " and it has " + other + " of another node's ports"},
		{"another boot", "refused the commander of this boot"},
	} {
		a.does(at, c.does)
		for range 2 {
			a.hurry(n)
			a.ask(p)
		}
		agent, poll, said := a.agent(n)
		if agent.URL != "" || !agent.LastHeartbeat.IsZero() || a.count(at+" POST "+agentapi.CommandNodeInfo) != 0 {
			t.Fatalf("%s: the machine was taken for the node's: %+v", c.does, agent)
		}
		if strings.Contains(said, "00000002-") {
			t.Errorf("%s: the history names another node: %s", c.does, said)
		}
		if strings.Count(said, c.want+".") != 1 && strings.Count(said, c.want+":") != 1 || !strings.Contains(poll.Said(), c.want) || poll.Refusal != "" {
			t.Errorf("%s: the events say\n%s\nthe row %q; want once %q", c.does, said, poll.Said(), c.want)
		}
	}
	a.does(at, mine+" 52:54:00:09:00:77") // a NIC more that is nobody's
	a.hurry(n)
	a.ask(p)
	agent, poll, said := a.agent(n)
	if agent.URL != "https://"+poll.Address || agent.VerifyCA == "" || agent.LastHeartbeat.IsZero() || a.count(at+" POST "+agentapi.CommandNodeInfo) != 1 || !strings.Contains(said, "it was told its node") {
		t.Errorf("the right machine: %+v, %+v, %s", agent, poll, said)
	}
	op := a.live(n)
	if op.DueAt.After(time.Now()) {
		t.Error("the operation that waits was not woken")
	}

	a.does(at, mine) // the same agent, started anew: it remembers no command
	a.mu.Lock()
	a.calls[at+" POST "+agentapi.CommandNodeInfo] = 0
	a.born++
	a.mu.Unlock()
	a.hurry(n)
	a.ask(p)
	if _, _, said := a.agent(n); a.count(at+" POST "+agentapi.CommandNodeInfo) != 1 || strings.Count(said, "was started anew") != 1 {
		t.Errorf("an agent that was started anew: told %d times; %s", a.count(at+" POST "+agentapi.CommandNodeInfo), said)
	}
	a.hurry(n)
	a.ask(p)
	if a.count(at+" POST "+agentapi.CommandNodeInfo) != 1 {
		t.Error("an agent that goes on was told its node again")
	}
}

func (a *asker) live(n *metal.Node) (op *store.Operation) {
	a.Helper()
	err := a.db.Read(a.Context(), func(tx *store.Tx) (err error) { op, err = tx.LiveOperation(n.ID); return err })
	if err != nil {
		a.Fatal(err)
	}
	return op
}

// TestWordsOfOneMachineHarmNobody: what a machine says is written beside what others said, and a database takes no text that is none.
func TestWordsOfOneMachineHarmNobody(t *testing.T) { onEach(t, testWordsOfOneMachineHarmNobody) }

func testWordsOfOneMachineHarmNobody(t *testing.T) {
	a := newAsker(t)
	a.does("127.9.2.1", "rude")
	rude := a.node(1, "127.9.2.1", "52:54:00:09:02:01")
	a.does("127.9.2.2", "52:54:00:09:02:02")
	good := a.node(2, "127.9.2.2", "52:54:00:09:02:02")
	p := newPoller(a.c)
	defer p.forgetAll()
	rows, err := p.claim(t.Context(), 2)
	if err != nil || len(rows) != 2 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	for _, row := range rows {
		p.ask(t.Context(), row, time.Now())
	}
	close(p.heard)
	p.write()
	if told, _, _ := a.agent(good); told.URL == "" {
		t.Error("the other machine's answer is lost")
	}
	if _, said, _ := a.agent(rude); said.Failures != 1 || !strings.Contains(said.Error, "éé") || !utf8.ValidString(said.Error) {
		t.Errorf("of the rude one it says %q, after %d failures", said.Error, said.Failures)
	}
}

// TestAPanicInsideAPollIsOneAgents: the process goes on, and who was asked is asked again.
func TestAPanicInsideAPollIsOneAgents(t *testing.T) {
	a := newAsker(t)
	n := a.node(1, "127.9.3.1", "52:54:00:09:03:01")
	a.does("127.9.3.1", "52:54:00:09:03:01")
	p := newPoller(a.c)
	defer p.forgetAll()
	p.where.found = nil // a defect
	a.ask(p)
	if agent, poll, _ := a.agent(n); agent.URL != "" || !strings.Contains(poll.Error, "a defect of this server") || poll.Refusal != "" {
		t.Errorf("agent %q, poll %+v", agent.URL, poll)
	}
	p.where.found = map[int64]*foundAt{}
	a.hurry(n)
	a.ask(p)
	if agent, _, _ := a.agent(n); agent.URL == "" {
		t.Error("it is not asked again")
	}
}

// TestAnAgentWithoutTheCommandsIsTooOld: nobody waits for the limit.
func TestAnAgentWithoutTheCommandsIsTooOld(t *testing.T) {
	a := newAsker(t)
	n := a.node(1, "127.9.1.1", "52:54:00:09:01:01")
	a.does("127.9.1.1", "old")
	p := newPoller(a.c)
	defer p.forgetAll()
	a.ask(p)
	_, poll, said := a.agent(n)
	if poll.Refusal != oldRamdisk || !strings.Contains(said, oldRamdisk) || a.live(n).DueAt.After(time.Now()) {
		t.Fatalf("refusal %q; %s", poll.Refusal, said)
	}
	r := &runner{c: a.c, log: a.c.log}
	op := &Op{Node: n, row: a.live(n), Rec: record{PollOnly: true, Boot: "b"}}
	if _, err := r.awaitAgent(t.Context(), op); err == nil || transient(err) || !strings.Contains(sentence(err), "rebuild it") {
		t.Errorf("the operation waits on, or tries again: %v", err)
	}
}

// TestTwoConductorsHandOverOnce: both look for the same agents.
func TestTwoConductorsHandOverOnce(t *testing.T) { onEach(t, testTwoConductorsHandOverOnce) }

func testTwoConductorsHandOverOnce(t *testing.T) {
	a := newAsker(t)
	var nodes []*metal.Node
	for i := range 20 {
		mac := fmt.Sprintf("52:54:00:0a:00:%02x", i)
		at := fmt.Sprintf("127.10.0.%d", i+1)
		a.does(at, mac)
		nodes = append(nodes, a.node(i+1, at, mac))
	}
	for _, c := range []*Conductor{a.c, a.conductor("c2")} {
		defer start(t, c)()
	}
	for _, n := range nodes {
		for changed := a.db.Changed(); ; changed = a.db.Changed() {
			if agent, _, _ := a.agent(n); agent.URL != "" {
				break
			}
			<-changed
		}
	}
	for i := range nodes {
		if got := a.count(fmt.Sprintf("127.10.0.%d POST %s", i+1, agentapi.CommandNodeInfo)); got != 1 {
			t.Errorf("machine %d was told its node %d times", i+1, got)
		}
	}
}

// TestNobodyElseIsAsked goes through every provision state: a node that no operation is about is never contacted, whatever
// rows are left of it, and neither is one whose operation awaits something else.
func TestNobodyElseIsAsked(t *testing.T) {
	a := newAsker(t)
	p := newPoller(a.c)
	defer p.forgetAll()
	i := 0
	for state := range metal.States {
		for what, awaited := range map[string]bool{"no operation": false, "another wait": false, "its undo": false, "the agent": true, "a hold": true} {
			i++
			at, mac := fmt.Sprintf("127.11.%d.%d", i/250, 1+i%250), fmt.Sprintf("52:54:00:0b:%02x:%02x", i/250, i%250)
			a.does(at, mac)
			err := a.db.Write(t.Context(), func(tx *store.Tx) error {
				n, err := a.awaits(tx, i, at, mac)
				if err != nil {
					return err
				}
				n.ProvisionState = state
				op, err := tx.LiveOperation(n.ID)
				if err != nil {
					return err
				}
				switch what {
				case "no operation":
					op.Status = store.Done
				case "another wait":
					op.WaitingFor = ""
				case "its undo":
					op.Undoing = true
				case "a hold":
					op.WaitingFor = metal.WaitUnhold
				}
				return errors.Join(tx.SaveOperation(op), tx.SaveNode(n))
			})
			if err != nil {
				t.Fatal(err)
			}
			a.ask(p)
			if got := a.count(at + " connected"); (got > 0) != awaited {
				t.Errorf("%s, the operation awaits %s: %d connections", state, what, got)
			}
		}
	}
}

// TestAnEndedPollerLetsGo: what it was asking when its server ended is another's at once.
func TestAnEndedPollerLetsGo(t *testing.T) {
	a := newAsker(t)
	n := a.node(1, "127.12.0.1", "52:54:00:0c:00:01") // says nothing
	end := start(t, a.c)
	for {
		a.mu.Lock()
		change, held := a.change, a.silent
		a.mu.Unlock()
		if held > 0 {
			break
		}
		<-change
	}
	end()
	rows, err := newPoller(a.conductor("c2")).claim(t.Context(), 5)
	if err != nil || len(rows) != 1 || rows[0].NodeID != n.ID {
		t.Errorf("another conductor claims %v, %v", rows, err)
	}
}
