package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"ingot/internal/seed"
	"ingot/internal/store/pgtest"
	"ingot/lab/vendordata"
)

// answeredRig is a server with a vendordata target, whose machine asks for its metadata at loopback. It is killed (kill -9) when a
// target has answered and that is about to be recorded, and started anew.
type answeredRig struct {
	t       *testing.T
	dir     string
	args    []string
	env     []string
	target  *vendordata.Server
	machine *playedMachine
	asks    string // where instances ask

	serving sync.Mutex // held while the server is killed, or started
	now     *running   // guarded by serving

	mu    sync.Mutex
	died  bool     // guarded by mu
	saves []string // guarded by mu
	drive string   // guarded by mu; that the agent was given
	after bool     // the record is committed before the server dies
}

// dyingAt is the save that ends the step in which targets are asked: it enters the next.
const dyingAt = "deploy/build config drive"

// commits is asked before each save of an operation.
func (g *answeredRig) commits(s save) bool {
	g.mu.Lock()
	g.saves = append(g.saves, s.String())
	dies := s.String() == dyingAt && !g.died
	g.died = g.died || dies
	g.mu.Unlock()
	if !dies {
		return true
	}
	g.serving.Lock()
	defer g.serving.Unlock()
	_ = g.now.cmd.Process.Kill() // that is the point
	<-g.now.ended
	next := begin(g.t, g.dir, g.env, g.args...)
	next.url = g.now.url
	g.now = next
	return g.after
}

func newAnsweredRig(t *testing.T, postgres bool) *answeredRig {
	t.Helper()
	g := &answeredRig{t: t, dir: t.TempDir(), target: vendordata.New(vendordata.Config{Caching: vendordata.Caching{CacheControl: "max-age=3600"}})}
	if err := g.target.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.target.Close() })
	var at [4]string
	for i := range at {
		var err error
		if at[i], err = free(); err != nil {
			t.Fatal(err)
		}
	}
	g.asks = "http://" + at[3]
	data := filepath.Join(g.dir, "data")
	g.args = []string{"serve", "--data", data, "--listen", at[0], "--agent-listen", at[1], "--boot-listen", at[2], "--metadata-listen", at[3]}
	g.env = []string{"INGOT_DEFAULT__ENABLED_HARDWARE_TYPES=redfish", "INGOT_CONDUCTOR__AUTOMATED_CLEAN=false", "INGOT_API__VENDORDATA_PROVIDERS=StaticJSON,DynamicJSON",
		"INGOT_API__VENDORDATA_DYNAMIC_TARGETS=site@" + g.target.URL() + "/facts", "INGOT_API__VENDORDATA_DYNAMIC_FAILURE_FATAL=true"}
	database := ""
	if postgres {
		database = pgtest.Empty(t)
		g.args = append(g.args, "--database", database)
	} else {
		gate := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			var s save
			_ = json.NewDecoder(r.Body).Decode(&s) // it is the server's
			if !g.commits(s) {
				panic(http.ErrAbortHandler)
			}
		}))
		t.Cleanup(gate.Close)
		g.env = append(g.env, gateEnv+"="+gate.URL)
	}
	g.now = begin(t, g.dir, g.env, g.args...)
	g.now.url = "http://" + at[0]
	if err := answering(g.now.url); err != nil {
		t.Fatalf("%v\nlog:\n%s", err, g.now.log)
	}
	if postgres {
		gatePostgres(t, database, g.commits)
	}
	g.machine = newPlayedMachine(t, at[1], data)
	g.machine.found = func(string) {}
	g.machine.state = func() string { return g.node().State }
	g.machine.drive = func(text string) {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.drive = text
	}
	return g
}

// node is the node as the server shows it, empty while none does.
func (g *answeredRig) node() (n restingNode) {
	g.serving.Lock()
	url := g.now.url
	g.serving.Unlock()
	ask, err := http.NewRequestWithContext(g.t.Context(), http.MethodGet, url+"/v1/nodes/n", nil)
	if err != nil {
		return n
	}
	ask.Header.Set("X-OpenStack-Ironic-API-Version", "latest")
	answer, err := http.DefaultClient.Do(ask)
	if err != nil {
		return n
	}
	defer answer.Body.Close()
	_ = json.NewDecoder(answer.Body).Decode(&n) // no node yet
	return n
}

// deploy enrols the machine, deploys it, and gives what its drive and the metadata service say.
func (g *answeredRig) deploy() (drive *seed.Seed, served string) {
	t := g.t
	t.Helper()
	image := disk2()
	images := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(image))
	}))
	t.Cleanup(images.Close)
	ctx, stop := context.WithCancel(t.Context())
	var playing sync.WaitGroup
	playing.Go(func() { g.machine.run(ctx) })
	t.Cleanup(func() { stop(); playing.Wait() })
	network := object{"links": []any{object{"id": "l", "type": "phy", "ethernet_mac_address": g.machine.MACs()[0]}}, "services": []any{},
		"networks": []any{object{"id": "n", "network_id": "n", "link": "l", "type": "ipv4", "ip_address": "127.0.0.1", "netmask": "255.0.0.0"}}}
	r := g.now
	r.call(t, "POST", "/v1/nodes", object{"driver": "redfish", "name": "n", "network_data": network, "properties": object{"cpu_arch": "x86_64"}, "driver_info": object{"redfish_address": g.machine.bmc.URL(),
		"redfish_username": "admin", "redfish_password": playedPassword, "redfish_verify_ca": pemOf(g.machine.bmc.CertificateDER()), "deploy_iso": "http://198.51.100.9/agent.iso"},
		"instance_info": object{"image_source": images.URL + "/i", "image_os_hash_algo": "sha256", "image_os_hash_value": fmt.Sprintf("%x", sha256.Sum256(image))}}, 201)
	for _, mac := range g.machine.MACs() {
		r.call(t, "POST", "/v1/ports", object{"node_uuid": r.uuid(t, "n"), "address": mac}, 201)
	}
	for _, step := range [][2]string{{"manage", "manageable"}, {"provide", "available"}} {
		r.call(t, "PUT", "/v1/nodes/n/states/provision", object{"target": step[0]}, 202)
		r.until(t, "n", step[1])
	}
	r.call(t, "PUT", "/v1/nodes/n/states/provision", object{"target": "active", "configdrive": object{"user_data": "#!/bin/sh\n"}}, 202)
	var n restingNode
	for began := time.Now(); n.State != "active" && time.Since(began) < 2*time.Minute; time.Sleep(50 * time.Millisecond) { // between two looks
		if n = g.node(); n.State == "deploy failed" {
			break
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if n.State != "active" || !g.died {
		t.Fatalf("%+v; a server died: %v; saves: %v\nlog:\n%s", n, g.died, g.saves, g.now.log)
	}
	drive, err := seed.FromDrive(g.drive)
	if err != nil {
		t.Fatal(err)
	}
	return drive, g.get("/openstack/latest/vendor_data2.json")
}

// get asks as the instance does.
func (g *answeredRig) get(path string) string {
	g.t.Helper()
	answer, err := http.Get(g.asks + path)
	if err != nil {
		g.t.Fatal(err)
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		g.t.Fatalf("%s: %s %s %v\nlog:\n%s", path, answer.Status, b, err, g.now.log)
	}
	return string(b)
}

// TestOneAnswerSurvivesAKill kills the server between a target's answer and its record, and once the record is committed: whatever
// was answered before, one answer is used, the same on the drive and by the metadata service.
func TestOneAnswerSurvivesAKill(t *testing.T) {
	for name, row := range map[string]struct {
		postgres, after bool
		asked           int
	}{
		"sqlite, before the record":   {asked: 2},
		"postgres, before the record": {postgres: true, asked: 2},
		"postgres, after it":          {postgres: true, after: true, asked: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newAnsweredRig(t, row.postgres)
			g.after = row.after
			drive, served := g.deploy()
			if n := g.target.Count(); n != row.asked {
				t.Errorf("the target was asked %d times, want %d", n, row.asked)
			}
			if want := fmt.Sprintf(`"number":%d,`, row.asked); !strings.Contains(served, want) {
				t.Errorf("it is served %s, without %s", served, want)
			}
			for _, version := range []string{"2016-10-06", "2018-08-27", "2025-04-04", "latest"} {
				path := "/openstack/" + version + "/vendor_data2.json"
				page, err := drive.Get(path)
				if err != nil || string(page.Content) != served {
					t.Errorf("%s on the drive is %s (%v), and %s is served", path, page.Content, err, served)
				}
				if again := g.get(path); again != served {
					t.Errorf("%s is %s now", path, again)
				}
			}
			for _, file := range []string{"meta_data.json", "network_data.json", "user_data", "vendor_data.json"} {
				page, err := drive.Get("/openstack/latest/" + file)
				if got := g.get("/openstack/latest/" + file); err != nil || got != string(page.Content) {
					t.Errorf("%s on the drive is %s (%v), and %s is served", file, page.Content, err, got)
				}
			}
			if n := g.target.Count(); n != row.asked {
				t.Errorf("who asked the service had the target asked: %d times", n)
			}
		})
	}
}
