package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ingot/internal/metal"
	"ingot/internal/ops"
	"ingot/internal/secret"
	"ingot/internal/store"
	"ingot/internal/store/pgtest"
	"ingot/internal/store/storetest"
)

// The numbers are those that upstream promises, and one of machines that is larger than both.
const (
	slotNodes   = 300
	deploySlots = 250
	cleanSlots  = 50
)

// slotRig are servers, each a process of its own, on one database, with machines of fake hardware.
type slotRig struct {
	t       *testing.T
	db      *store.DB // the test's own way into it
	servers []*running
	dirs    []string
	args    []string

	most sync.Map // the most slots of each kind that were ever seen held, by metal.Slot
	over chan struct{}
	look sync.WaitGroup
}

// TestSlots: as many operations are under way as the limits allow and not one more, whoever asks at the same time and whichever
// server dies. Deployments and cleanings are held by hold steps: until somebody lets them go none ends.
func TestSlots(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) {
		r := newSlotRig(t, 1, func(key store.Key, dir string) (*store.DB, error) {
			return store.OpenSQLite(t.Context(), filepath.Join(dir, "ingot.db"), key)
		})
		r.story()
	})
	t.Run("postgres", func(t *testing.T) {
		url := pgtest.Empty(t)
		r := newSlotRig(t, 3, func(key store.Key, _ string) (*store.DB, error) {
			return store.OpenPostgres(t.Context(), secret.New(url), key)
		}, "--database", url)
		r.story()
	})
}

func newSlotRig(t *testing.T, servers int, open func(store.Key, string) (*store.DB, error), args ...string) *slotRig {
	t.Helper()
	r := &slotRig{t: t, over: make(chan struct{})}
	for range servers {
		r.dirs = append(r.dirs, storetest.Folder(t)) // in memory: thousands of steps are saved
	}
	data := filepath.Join(r.dirs[0], "ingot-data")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	key, err := store.LoadKey(filepath.Join(data, "ingot.key"))
	if err != nil {
		t.Fatal(err)
	}
	if r.db, err = open(key, data); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.db.Close() })
	r.args = append(args, "--key-file", filepath.Join(data, "ingot.key"))
	return r
}

// start starts all servers; what they do at the limit is the action.
func (r *slotRig) start(action string) {
	r.t.Helper()
	r.servers = nil
	for i, dir := range r.dirs {
		var at [3]string
		for j := range at {
			var err error
			if at[j], err = free(); err != nil {
				r.t.Fatal(err)
			}
		}
		s := begin(r.t, dir, []string{fmt.Sprintf("INGOT_DEFAULT__HOST=server%d", i), "INGOT_CONDUCTOR__CONCURRENT_LIMIT_ACTION=" + action, "INGOT_DEFAULT__LOG_LEVEL=warning"},
			append([]string{"serve", "--listen", at[0], "--agent-listen", at[1], "--boot-listen", at[2]}, r.args...)...)
		s.url = "http://" + at[0]
		r.servers = append(r.servers, s)
	}
	for _, s := range r.servers {
		if err := answering(s.url); err != nil {
			r.t.Fatalf("%v\nlog:\n%s", err, s.log)
		}
	}
}

// kill ends all servers as a power cut does.
func (r *slotRig) kill() {
	for _, s := range r.servers {
		_ = s.cmd.Process.Kill() // that is the point
		<-s.ended
	}
}

// nodes makes nodes in a state.
func (r *slotRig) nodes(n int, in metal.State) (names []string) {
	r.t.Helper()
	service := ops.New(r.db, ops.Defaults(), slog.New(slog.DiscardHandler))
	var made []*metal.Node
	for i := range n {
		node, err := service.CreateNode(r.t.Context(), walker, &metal.Node{Name: fmt.Sprintf("%s-%03d", in, i), Driver: "fake-hardware"})
		if err != nil {
			r.t.Fatal(err)
		}
		made, names = append(made, node), append(names, node.Name)
	}
	err := r.db.Write(r.t.Context(), func(tx *store.Tx) error {
		for _, node := range made {
			node.ProvisionState, node.PowerState = in, metal.PowerOff
			if err := tx.SaveNode(node); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return names
}

// watchSlots looks at the slots again and again until the test ends, with connections of its own.
func (r *slotRig) watchSlots() {
	ctx := context.WithoutCancel(r.t.Context())
	for _, slot := range metal.Slots {
		r.look.Go(func() {
			most, tick := 0, time.NewTicker(2*time.Millisecond)
			defer tick.Stop()
			for {
				if u, err := r.use(ctx, slot); err == nil && u.Held > most {
					most = u.Held
					r.most.Store(slot, most)
				}
				select {
				case <-r.over:
					return
				case <-tick.C:
				}
			}
		})
	}
}

func (r *slotRig) use(ctx context.Context, slot metal.Slot) (u store.SlotUse, err error) {
	err = r.db.Read(ctx, func(tx *store.Tx) error { u, err = tx.SlotUse(slot); return err })
	return u, err
}

// untilUse waits until the slots are used so.
func (r *slotRig) untilUse(slot metal.Slot, want store.SlotUse) {
	r.t.Helper()
	var got store.SlotUse
	patiently(r.t, fmt.Sprintf("slots %s to be used %+v", slot, want), func() (so bool) {
		var err error
		if got, err = r.use(r.t.Context(), slot); err != nil {
			r.t.Fatal(err)
		}
		return got == want
	})
}

// slotAnswer is what a request was answered with.
type slotAnswer struct {
	status     int
	retryAfter string
	body       string
}

// all asks the same of many nodes at the same time, each of another server than the one before. It tells how often which
// status was answered, and gives the nodes that were refused and one refusal.
func (r *slotRig) all(nodes []string, body map[string]any) (statuses map[int]int, refused []string, one slotAnswer) {
	r.t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		r.t.Fatal(err)
	}
	answers := make([]slotAnswer, len(nodes))
	ready := make(chan struct{})
	var asking sync.WaitGroup
	for i, node := range nodes {
		asking.Go(func() {
			<-ready
			answers[i] = r.put(r.servers[i%len(r.servers)].url, node, b)
		})
	}
	close(ready)
	asking.Wait()
	statuses = map[int]int{}
	for i, a := range answers {
		statuses[a.status]++
		if a.status != http.StatusAccepted {
			refused, one = append(refused, nodes[i]), a
		}
	}
	return statuses, refused, one
}

func (r *slotRig) put(url, node string, body []byte) slotAnswer {
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodPut, url+"/v1/nodes/"+node+"/states/provision", bytes.NewReader(body))
	if err != nil {
		return slotAnswer{body: err.Error()}
	}
	req.Header.Set("X-OpenStack-Ironic-API-Version", "latest")
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return slotAnswer{body: err.Error()}
	}
	defer res.Body.Close()
	text, _ := io.ReadAll(res.Body)
	return slotAnswer{res.StatusCode, res.Header.Get("Retry-After"), string(text)}
}

// wantFull sees that as many were accepted as may and the others told why not.
func (r *slotRig) wantFull(what string, statuses map[int]int, accepted, refused int, one slotAnswer, said string) {
	r.t.Helper()
	if statuses[http.StatusAccepted] != accepted || statuses[http.StatusServiceUnavailable] != refused {
		r.t.Errorf("%s: %v, want %d accepted and %d refused: %+v", what, statuses, accepted, refused, one)
	}
	if refused > 0 && (one.retryAfter != "30" || !strings.Contains(one.body, said)) {
		r.t.Errorf("%s: refused with %+v", what, one)
	}
}

// letGo asks for unhold of every node that is held, until nothing is under way.
func (r *slotRig) letGo() {
	r.t.Helper()
	unhold, _ := json.Marshal(map[string]any{"target": "unhold"})
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(4 * time.Minute)
	for {
		var live []store.OperationOf
		err := r.db.Read(r.t.Context(), func(tx *store.Tx) (err error) { live, err = tx.LiveOperations(store.OperationQuery{}); return err })
		if err != nil {
			r.t.Fatal(err)
		}
		if len(live) == 0 {
			return
		}
		r.unhold(live, unhold)
		select {
		case <-tick.C:
		case <-limit:
			r.t.Fatalf("%d operations did not end, %s of node %s among them, at %q: %s", len(live), live[0].Plan, live[0].Node, live[0].StepName, live[0].WaitingWhy)
		}
	}
}

// unhold lets those that are held go on, eight at a time.
func (r *slotRig) unhold(live []store.OperationOf, body []byte) {
	var all sync.WaitGroup
	limit := make(chan struct{}, 8)
	for i, o := range live {
		if o.WaitingFor != metal.WaitUnhold {
			continue
		}
		limit <- struct{}{}
		all.Go(func() {
			defer func() { <-limit }()
			r.put(r.servers[i%len(r.servers)].url, o.Node, body)
		})
	}
	all.Wait()
}

// wantStates sees that all nodes of the names are in a state.
func (r *slotRig) wantStates(names []string, want metal.State) {
	r.t.Helper()
	err := r.db.Read(r.t.Context(), func(tx *store.Tx) error {
		for _, name := range names {
			n, err := tx.Node(name)
			if err != nil {
				return err
			}
			if n.ProvisionState != want {
				r.t.Errorf("%s is %s: %s", name, n.ProvisionState, n.LastError)
			}
		}
		return nil
	})
	if err != nil {
		r.t.Fatal(err)
	}
}

var (
	holdStep   = map[string]any{"interface": "power", "step": "hold", "args": map[string]any{}}
	heldDeploy = map[string]any{"target": "active", "deploy_steps": []any{map[string]any{"interface": "power", "step": "hold", "args": map[string]any{}, "priority": 99}}}
	heldClean  = map[string]any{"target": "clean", "clean_steps": []any{holdStep}}
)

func (r *slotRig) story() {
	t := r.t
	r.start("refuse")
	machines, others, used := r.nodes(slotNodes, metal.Available), r.nodes(cleanSlots+10, metal.Manageable), r.nodes(20, metal.Active)
	r.watchSlots()

	// 300 deployments at the same time: 250 are accepted.
	statuses, late, one := r.all(machines, heldDeploy)
	r.wantFull("deploy", statuses, deploySlots, slotNodes-deploySlots, one, "Deployments under way: 250 of 250 ([conductor] max_concurrent_deploy)")
	statuses, _, one = r.all(late[:5], heldDeploy)
	r.wantFull("once more", statuses, 0, 5, one, "max_concurrent_deploy")

	// Cleanings the same; then tear downs, cleaning by provide, and services find no slot either.
	statuses, dirty, one := r.all(others, heldClean)
	r.wantFull("clean", statuses, cleanSlots, 10, one, "50 of 50 ([conductor] max_concurrent_clean)")
	statuses, _, one = r.all(used, map[string]any{"target": "deleted"})
	r.wantFull("batch delete", statuses, 0, len(used), one, "max_concurrent_clean")
	statuses, _, one = r.all(used, map[string]any{"target": "service", "service_steps": []any{holdStep}})
	r.wantFull("service", statuses, 0, len(used), one, "max_concurrent_clean")
	statuses, _, one = r.all(dirty, map[string]any{"target": "provide"})
	r.wantFull("provide", statuses, 0, len(dirty), one, "max_concurrent_clean")
	r.wantStates(used, metal.Active)

	// Every server is killed. Not a slot is free, nor lost.
	r.kill()
	r.start("queue")
	r.untilUse(metal.SlotDeploy, store.SlotUse{Held: deploySlots})
	r.untilUse(metal.SlotClean, store.SlotUse{Held: cleanSlots})

	// Now who comes late stands in line; a batch delete and provide too.
	statuses, _, one = r.all(late, heldDeploy)
	r.wantFull("deploy in line", statuses, len(late), 0, one, "")
	statuses, _, one = r.all(used, map[string]any{"target": "deleted"})
	r.wantFull("delete in line", statuses, len(used), 0, one, "")
	statuses, _, one = r.all(dirty, map[string]any{"target": "provide"})
	r.wantFull("provide in line", statuses, len(dirty), 0, one, "")
	r.untilUse(metal.SlotDeploy, store.SlotUse{Held: deploySlots, InLine: len(late)})
	r.untilUse(metal.SlotClean, store.SlotUse{Held: cleanSlots, InLine: len(used) + len(dirty)})
	if why := string(r.servers[0].call(t, http.MethodGet, "/v1/nodes/"+late[0]+"/operation", nil, http.StatusOK)); !strings.Contains(why, "It begins by itself when its turn comes") {
		t.Errorf("why: %s", why)
	}

	// Those that run are let go, and all have their turn.
	r.letGo()
	r.untilUse(metal.SlotDeploy, store.SlotUse{})
	r.untilUse(metal.SlotClean, store.SlotUse{})
	r.wantStates(machines, metal.Active)
	r.wantStates(slices.Concat(used, dirty), metal.Available)

	close(r.over)
	r.look.Wait()
	for slot, limit := range map[metal.Slot]int{metal.SlotDeploy: deploySlots, metal.SlotClean: cleanSlots} {
		if most, _ := r.most.Load(slot); most != limit {
			t.Errorf("at most %v slots %s were held, want %d", most, slot, limit)
		}
	}
}
