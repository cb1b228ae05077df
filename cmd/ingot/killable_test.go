package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ingot/internal/store/pgtest"
)

// killable are servers that are killed (kill -9) and started anew where they were.
type killable struct {
	test    *testing.T
	front   *running // whose API is asked; its address stays
	watched string   // part of the names of the plans whose saves count
	agents  string   // address of the agents' door
	data    string   // of the conductor

	serving sync.Mutex // held while servers are killed, or started
	servers []*running // guarded by serving; one, or API and conductor

	watching sync.Mutex
	armed    bool           // guarded by watching; saves count
	saves    []string       // guarded by watching
	seen     map[string]int // guarded by watching
	death    death          // guarded by watching
	died     bool           // guarded by watching
}

// newKillable is one server. prepare makes what it is to find in its folder of data; nil: nothing.
func newKillable(t *testing.T, watched string, env []string, prepare func(data string)) *killable {
	t.Helper()
	k := &killable{test: t, watched: watched}
	gate := httptest.NewServer(http.HandlerFunc(k.asked))
	t.Cleanup(gate.Close)
	var at [3]string
	for i := range at {
		var err error
		if at[i], err = free(); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	k.agents, k.data = at[1], filepath.Join(dir, "ingot-data")
	if prepare != nil {
		prepare(k.data)
	}
	k.front = begin(t, dir, append([]string{gateEnv + "=" + gate.URL, soonAgain}, env...), "serve", "--listen", at[0], "--agent-listen", at[1], "--boot-listen", at[2])
	k.front.url = "http://" + at[0]
	if err := answering(k.front.url); err != nil {
		t.Fatalf("%v\nlog:\n%s", err, k.front.log)
	}
	k.servers = []*running{k.front}
	return k
}

// newKillablePair is the same with an API and a conductor, on PostgreSQL.
func newKillablePair(t *testing.T, watched string, env []string, prepare func(data string)) *killable {
	t.Helper()
	database := pgtest.Empty(t)
	var at [4]string
	for i := range at {
		var err error
		if at[i], err = free(); err != nil {
			t.Fatal(err)
		}
	}
	one, two := t.TempDir(), t.TempDir()
	ingot := func(dir string, args ...string) string {
		cmd := exec.Command("ingot", args...)
		cmd.Dir = dir
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("ingot %s: %v", strings.Join(args, " "), err)
		}
		return string(out)
	}
	ingot(one, "peer", "init", "--name", "one", "--roles", "api")
	api := begin(t, one, env, "serve", "--roles", "api", "--database", database, "--listen", at[0], "--peer-listen", at[1], "--peer-url", "https://"+at[1])
	api.url = "http://" + at[0]
	if err := answering(api.url); err != nil {
		t.Fatalf("%v\nlog:\n%s", err, api.log)
	}
	token := ingot(one, "peer", "invite", "two", "--roles", "conductor,agent-api", "--url", "https://"+at[1])
	key, err := os.ReadFile(filepath.Join(one, "ingot-data", "ingot.key"))
	if err != nil {
		t.Fatal(err)
	}
	k := &killable{test: t, front: api, watched: watched, agents: at[2], data: filepath.Join(two, "ingot-data")}
	if err := os.Mkdir(k.data, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{"token": []byte(token), "ingot.key": key} {
		if err := os.WriteFile(filepath.Join(k.data, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if prepare != nil {
		prepare(k.data)
	}
	conductor := begin(t, two, append([]string{soonAgain}, env...), "serve", "--roles", "conductor,agent-api", "--database", database, "--join-token-file", "ingot-data/token",
		"--agent-listen", at[2], "--boot-listen", at[3])
	patiently(t, "the conductor", func() bool {
		return bytes.Contains(api.call(t, "GET", "/v1/conductors", nil, http.StatusOK), []byte(`"alive":true`))
	})
	k.servers = []*running{api, conductor}
	gatePostgres(t, database, k.passes)
	return k
}

// soonAgain: with a server dies what its fake machines were asked; it is to be asked again soon.
const soonAgain = "INGOT_CONDUCTOR__POWER_STATE_CHANGE_TIMEOUT=1"

// arm says who dies in the life to come.
func (k *killable) arm(d death) {
	k.watching.Lock()
	defer k.watching.Unlock()
	k.armed, k.death, k.died, k.saves, k.seen = true, d, false, nil, map[string]int{}
}

// dies: servers are killed and started anew.
func (k *killable) dies(d death) (which []int) {
	k.watching.Lock()
	k.died = true
	k.watching.Unlock()
	which = map[string][]int{apiDies: {0}, conductorDies: {1}, bothDie: {0, 1}}[d.who]
	if len(k.servers) == 1 {
		which = []int{0}
	}
	k.again(which...)
	return which
}

// passes tells whether a save is to be committed. Who saves may be killed meanwhile.
func (k *killable) passes(s save) (commit bool) {
	if !strings.Contains(s.Plan, k.watched) {
		return true
	}
	k.watching.Lock()
	at, d := s.String(), k.death
	if k.armed {
		k.saves = append(k.saves, at)
		k.seen[at]++
	}
	dies := k.armed && !k.died && d.nth > 0 && d.at == at && k.seen[at] == d.nth
	k.watching.Unlock()
	if !dies {
		return true
	}
	who := len(k.servers) - 1
	if s.Step == "" { // the API asks for it
		who = 0
	}
	dead := k.dies(d)
	return d.after || !slices.Contains(dead, who)
}

// asked is passes for a server's own gate.
func (k *killable) asked(_ http.ResponseWriter, r *http.Request) {
	var s save
	_ = json.NewDecoder(r.Body).Decode(&s)
	if !k.passes(s) {
		panic(http.ErrAbortHandler)
	}
}

// again kills servers and starts them anew.
func (k *killable) again(which ...int) {
	k.serving.Lock()
	defer k.serving.Unlock()
	for _, i := range which {
		_ = k.servers[i].cmd.Process.Kill() // that is the point
		<-k.servers[i].ended
	}
	for _, i := range which {
		old := k.servers[i]
		next := begin(k.test, old.dir, slices.DeleteFunc(slices.Clone(old.cmd.Env), func(e string) bool { return !strings.HasPrefix(e, "INGOT_") }), old.cmd.Args[1:]...)
		next.url = old.url
		k.servers[i] = next
	}
}

// ask sends a request; 0 for no answer.
func (k *killable) ask(method, path string, body any) (int, []byte) {
	b, _ := json.Marshal(body)
	req, err := http.NewRequestWithContext(k.test.Context(), method, k.front.url+path, bytes.NewReader(b))
	if err != nil {
		return 0, nil
	}
	req.Header.Set("X-OpenStack-Ironic-API-Version", "latest")
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil
	}
	defer res.Body.Close()
	out, _ := io.ReadAll(res.Body)
	return res.StatusCode, out
}

// shown is the node as it is shown; empty while no server answers.
func (k *killable) shown() (n restingNode) {
	if status, b := k.ask("GET", "/v1/nodes/inmate", nil); status != http.StatusOK || json.Unmarshal(b, &n) != nil {
		return restingNode{}
	}
	return n
}

// brings asks for a verb until somebody takes it, and gives the node once it rests. see is told of each look at it.
func (k *killable) brings(verb string, body object, see func()) restingNode {
	t := k.test
	t.Helper()
	body["target"] = verb
	limit := time.Now().Add(2 * time.Minute)
	look := time.NewTicker(30 * time.Millisecond)
	defer look.Stop()
	taken := false
	before := k.shown().State
	for ; time.Now().Before(limit); <-look.C {
		n := k.shown()
		if n.State == "" {
			continue
		}
		see()
		switch rests := n.Target == nil || strings.HasSuffix(n.State, " failed"); {
		case !rests || n.State != before:
			if taken = true; rests {
				return n
			}
		case taken && rests: // a rebuild ends where it began
			return n
		default:
			status, b := k.ask("PUT", "/v1/nodes/inmate/states/provision", body)
			if status == http.StatusBadRequest {
				t.Fatalf("%s in %s: %s", verb, n.State, b)
			}
			taken = taken || status == http.StatusAccepted
		}
	}
	t.Fatalf("%s did not end: the node is %+v; death %s; saves %v", verb, k.shown(), k.death, k.saves)
	return restingNode{}
}
