package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ingot/internal/agentapi"
	"ingot/internal/api"
	"ingot/internal/conductor"
	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/ops"
	"ingot/internal/secret"
	"ingot/internal/store"
	"ingot/internal/store/pgtest"
	"ingot/internal/store/storetest"
	"ingot/lab/simulate"
)

// benchNodes is how many machines a benchmark has.
const benchNodes = 3000

// engines are the databases that are measured beside each other.
var engines = []struct {
	name string
	open func(testing.TB) func() *store.DB
}{{"sqlite", storetest.SQLite}, {"postgres", tended}}

// tended is a PostgreSQL that cleans up behind updates, as operators' do and those of short tests need not: without
// it the versions of three thousand rows that are saved at every step are all looked through again and again.
func tended(b testing.TB) func() *store.DB {
	b.Helper()
	c := pgtest.NewCluster(b, "autovacuum=on", "autovacuum_naptime=5s")
	if err := c.Exec("postgres", "CREATE DATABASE bench"); err != nil {
		b.Fatal(err)
	}
	key, err := store.LoadKey(filepath.Join(b.TempDir(), "key"))
	if err != nil {
		b.Fatal(err)
	}
	return func() *store.DB {
		b.Helper()
		db, err := store.OpenPostgres(context.WithoutCancel(b.Context()), secret.New(c.URL("bench")), key)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = db.Close() })
		return db
	}
}

// site is one server in process with simulated machines, as many as a benchmark wants.
type site struct {
	b       *testing.B
	db      *store.DB
	service *ops.Service
	fleet   *simulate.Fleet
	worker  *conductor.Conductor
	door    *httptest.Server // the agents' door, over TLS
	nodes   []*metal.Node
}

func newSite(b *testing.B, open func() *store.DB, change func(*conductor.Config)) *site {
	b.Helper()
	fleet, err := simulate.New()
	if err != nil {
		b.Fatal(err)
	}
	quiet := slog.New(slog.DiscardHandler)
	s := &site{b: b, db: open(), fleet: fleet}
	oc := ops.Defaults()
	oc.Slots = metal.SlotLimits{metal.SlotDeploy: benchNodes, metal.SlotClean: benchNodes}
	s.service = ops.New(s.db, oc, quiet)
	c := conductor.Defaults()
	c.Host, c.Poll = "bench", 100*time.Millisecond
	if change != nil {
		change(&c)
	}
	hw := conductor.Hardware{Part: conductor.Part{Power: fleet, Boot: fleet, Media: fleet, Inspector: fleet},
		Type: metal.HardwareType{Name: "sim", Interfaces: map[string][]string{"deploy": {"direct"}, "inspect": {"agent"}, "power": {"sim"}}}}
	s.worker = conductor.New(s.db, c, map[string]conductor.Hardware{"sim": hw}, walkDepot{}, quiet)
	if err := s.worker.Register(b.Context()); err != nil {
		b.Fatal(err)
	}
	s.door = httptest.NewUnstartedServer(api.AgentHandler(s.service, api.Options{Log: quiet}))
	s.door.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	s.door.StartTLS()
	s.door.Client().Transport.(*http.Transport).MaxIdleConnsPerHost = 64
	fleet.BootConfig, fleet.Heartbeat = s.worker.BootConfig, s.heartbeat
	b.Cleanup(func() {
		s.door.Close()
		_ = fleet.Close()
	})
	s.enrol()
	return s
}

// enrol makes the nodes, available.
func (s *site) enrol() {
	s.b.Helper()
	for i := range benchNodes {
		n, err := s.service.CreateNode(s.b.Context(), walker, &metal.Node{Name: fmt.Sprintf("n%04d", i), Driver: "sim", DriverInfo: secret.NewMap(map[string]any{"password": "p"}),
			InstanceInfo: secret.NewMap(map[string]any{"image_source": "http://127.0.0.1:1/i.raw", "image_os_hash_value": strings.Repeat("ab", 32)})})
		if err != nil {
			s.b.Fatal(err)
		}
		s.nodes = append(s.nodes, n)
	}
	err := s.db.Write(s.b.Context(), func(tx *store.Tx) error {
		for _, n := range s.nodes {
			n.ProvisionState, n.PowerState = metal.Available, metal.PowerOff
			if err := tx.SaveNode(n); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		s.b.Fatal(err)
	}
}

// heartbeat is an agent's call at the agents' door.
func (s *site) heartbeat(ctx context.Context, node string, hb agentapi.Heartbeat) error {
	body := fmt.Sprintf(`{"callback_url": %q, "agent_token": %q, "agent_version": %q, "agent_verify_ca": %q}`, hb.CallbackURL, hb.AgentToken, hb.AgentVersion, hb.AgentVerifyCA)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.door.URL+"/v1/heartbeat/"+node, strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-OpenStack-Ironic-API-Version", "1.68")
	res, err := s.door.Client().Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusAccepted {
		return errors.New("heartbeat: " + res.Status)
	}
	return nil
}

// BenchmarkDeploy3000 deploys 3,000 simulated machines at once: the verb, every step of the plan with its save, the
// boots, the agents' calls and commands over TLS. What machines themselves take is left out.
func BenchmarkDeploy3000(b *testing.B) {
	for _, e := range engines {
		b.Run(e.name, func(b *testing.B) {
			for range b.N {
				b.StopTimer()
				s := newSite(b, e.open(b), func(c *conductor.Config) { c.Sweep.PowerInterval = 0 })
				ctx, stop := context.WithCancel(b.Context())
				calls := make(chan string, benchNodes)
				s.fleet.Booted = func(node string) { calls <- node }
				var running sync.WaitGroup
				for range 8 {
					running.Go(func() { s.answer(ctx, calls) })
				}
				running.Go(func() { _ = s.worker.Run(ctx) }) // ends with ctx
				b.StartTimer()
				begun := time.Now()
				for _, n := range s.nodes {
					if err := s.service.SetProvision(ctx, walker, n.UUID, ops.Provision{Verb: metal.VerbActive}); err != nil {
						b.Fatal(err)
					}
				}
				s.await(metal.Active)
				b.ReportMetric(benchNodes/time.Since(begun).Seconds(), "nodes/s")
				b.StopTimer()
				stop()
				running.Wait()
			}
		})
	}
}

// answer lets the agents that came up call back.
func (s *site) answer(ctx context.Context, calls <-chan string) {
	for {
		select {
		case <-ctx.Done():
			return
		case node := <-calls:
			if _, err := s.fleet.CallBack(ctx, node); err != nil && ctx.Err() == nil {
				s.b.Error(err)
			}
		}
	}
}

// await waits until all nodes are in a state; one that failed ends the benchmark.
func (s *site) await(want metal.State) {
	s.b.Helper()
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for range tick.C {
		count := map[metal.State]int{}
		var failed string
		err := s.db.Read(s.b.Context(), func(tx *store.Tx) error {
			for _, state := range []metal.State{want, metal.DeployFailed} {
				in, err := tx.Nodes(store.NodeFilter{Equal: map[string]string{"provision_state": string(state)}}, store.Page{})
				if err != nil {
					return err
				}
				if count[state] = len(in); state == metal.DeployFailed && len(in) > 0 {
					failed = in[0].LastError
				}
			}
			return nil
		})
		switch {
		case err != nil || failed != "":
			s.b.Fatal(err, failed)
		case count[want] == len(s.nodes):
			return
		}
	}
}

// BenchmarkHeartbeat is agents' calls through the agents' door, over TLS with connections that stay, eight at a
// time, from 3,000 machines.
func BenchmarkHeartbeat(b *testing.B) {
	for _, e := range engines {
		b.Run(e.name, func(b *testing.B) {
			s := newSite(b, e.open(b), nil)
			token := store.NewToken()
			err := s.db.Write(b.Context(), func(tx *store.Tx) error {
				for _, n := range s.nodes {
					if err := tx.SaveAgent(&store.Agent{NodeID: n.ID, NodeUUID: n.UUID, Boot: "b", Token: token, Pregenerated: true}); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				b.Fatal(err)
			}
			hb := agentapi.Heartbeat{CallbackURL: "https://192.0.2.10:9999", AgentToken: token.Expose(), AgentVersion: "1",
				AgentVerifyCA: "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"}
			var next atomic.Int64
			b.SetParallelism(4)
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := s.heartbeat(b.Context(), s.nodes[next.Add(1)%benchNodes].UUID, hb); err != nil {
						b.Error(err)
						return
					}
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "heartbeats/s")
		})
	}
}

// BenchmarkPowerSync3000 is one round of the power sync over 3,000 machines that are as recorded, and what it writes:
// nothing of a node.
func BenchmarkPowerSync3000(b *testing.B) {
	for _, e := range engines {
		b.Run(e.name, func(b *testing.B) {
			s := newSite(b, e.open(b), func(c *conductor.Config) { c.Sweep.PowerInterval = time.Hour })
			if err := s.worker.EnsureSweeps(b.Context()); err != nil {
				b.Fatal(err)
			}
			b.ResetTimer()
			for range b.N {
				err := s.db.Write(b.Context(), func(tx *store.Tx) error { return tx.HurrySweeps() })
				if err != nil {
					b.Fatal(err)
				}
				for {
					did, err := s.worker.SweepOne(b.Context())
					if err != nil && fault.KindOf(err) != fault.NotFound {
						b.Fatal(err)
					}
					if !did {
						break
					}
				}
			}
			b.ReportMetric(float64(benchNodes*b.N)/b.Elapsed().Seconds(), "nodes/s")
		})
	}
}
