package conductor

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"

	"ingot/agent/server"
	"ingot/internal/agentapi"
	"ingot/internal/secret"
)

// realAgent is the agent's own server in a world, whose commands do what the world's do. Its program can end and start again, with an
// empty memory, before any request.
type realAgent struct {
	w *world

	mu     sync.Mutex
	server *server.Server // guarded by mu; nil: the next request finds one that has just started
	asked  int            // guarded by mu: requests so far
	anewAt int            // guarded by mu: before this one the program starts anew; below 0: never
}

// realCommands are all that its conductors ask for, and whether they go on by themselves.
var realCommands = map[string]bool{"deploy.get_deploy_steps": false, "deploy.execute_deploy_step": true, "service.get_service_steps": false, "service.execute_service_step": true,
	"image.install_bootloader": true, "standby.power_off": false, "log.collect_system_logs": false, agentapi.CommandHardwareInfo: false, agentapi.CommandNodeInfo: false,
	agentapi.CommandOSVerify: true, agentapi.CommandOSInstall: true, agentapi.CommandOSImport: true, agentapi.CommandOSExport: true, agentapi.CommandOSRename: true}

// startsAnew is a program that ended: what it remembered is gone.
func (a *realAgent) startsAnew() {
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.server = nil
}

// serve answers a request, by the program that runs now.
func (a *realAgent) serve(rw http.ResponseWriter, req *http.Request) {
	a.w.mu.Lock()
	token, on := a.w.token, a.w.on
	a.w.mu.Unlock()
	if !on {
		panic(http.ErrAbortHandler)
	}
	a.mu.Lock()
	if a.asked == a.anewAt {
		a.server = nil
	}
	a.asked++
	if a.server == nil {
		commands := map[string]server.Command{}
		for name, async := range realCommands {
			commands[name] = server.Command{Async: async, Run: func(_ context.Context, params json.RawMessage, progress func(agentapi.Progress)) (any, error) {
				return a.w.obeys(name, params, progress)
			}}
		}
		a.server = server.New(context.WithoutCancel(a.w.t.Context()), server.Config{Token: secret.New(token), Version: "1", Commands: commands, Log: slog.New(slog.DiscardHandler)})
	}
	current := a.server
	a.mu.Unlock()
	current.Handler().ServeHTTP(rw, req)
}

// scripted are the commands that run scripts which are no verify.
var scripted = []string{"install", "import", "export", "rename"}

// obeys is the world's work for one command.
func (w *world) obeys(name string, params json.RawMessage, progress func(agentapi.Progress)) (any, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, short, _ := strings.Cut(name, ".")
	res := agentapi.Result{CommandName: short, CommandStatus: agentapi.Succeeded}
	w.count("agent " + short)
	w.runCommand(short, agentapi.Command{Name: name, Params: params}, &res)
	if res.Progress != nil {
		progress(*res.Progress)
	}
	if res.CommandError != nil {
		return nil, res.CommandError
	}
	if res.CommandResult == nil {
		return struct{}{}, nil
	}
	return res.CommandResult, nil
}

// TestREQ09NothingRunsTwiceInAnAgentThatStartsAnew: the agent's program ends and starts again before each request of each look, also
// between two requests of one look. Nothing of scripts is given to the new one that the old one may have been given.
func TestREQ09NothingRunsTwiceInAnAgentThatStartsAnew(t *testing.T) {
	for way, prepare := range map[string]func(*world){"push": func(*world) {}, "polled": func(w *world) { w.polls() }} {
		for _, name := range []string{withScripts, "import", "rename"} {
			t.Run(name+", "+way, func(t *testing.T) {
				t.Parallel()
				testStartsAnew(t, prepare, name)
			})
		}
	}
}

func testStartsAnew(t *testing.T, prepare func(*world), name string) {
	j := named(t, name)
	whole, refused := 0, 0
	for at := 0; ; at++ {
		w := newWorld(t)
		w.real = &realAgent{w: w, anewAt: at}
		prepare(w)
		j.start(w)
		w.run(w.conductor("c1", nil))
		n, _ := w.state()
		for _, command := range scripted {
			if w.counters["agent "+command] > 1 {
				t.Errorf("anew at request %d: %s was run %d times; state %q (%s)", at, command, w.counters["agent "+command], n.ProvisionState, n.LastError)
			}
		}
		switch {
		case n.ProvisionState == j.end:
			whole++
		case strings.Contains(n.LastError, "started anew in the middle"), strings.Contains(n.LastError, "restarted in the middle"):
			refused++
		default:
			t.Errorf("anew at request %d: state %q (%s)", at, n.ProvisionState, n.LastError)
		}
		over := w.real.asked <= at
		w.close()
		if over {
			break
		}
	}
	if whole < 2 || refused < 2 {
		t.Errorf("%d ended well, %d were refused", whole, refused)
	}
}
