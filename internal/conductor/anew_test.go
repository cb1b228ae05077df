package conductor

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"ingot/internal/metal"
	"ingot/internal/store"
)

// apart gives the conductors boot URLs of their own, and lets one that is killed take its URL with it.
func (w *world) apart() {
	w.bases = map[string]string{"c1": "http://192.0.2.1", "successor": "http://192.0.2.2"}
	for host, url := range w.bases {
		w.serves(host, url)
	}
	w.onDeath = func(host string) {
		w.dies(host)
		if _, err := w.conductor("successor", nil).wakeStranded(w.t.Context(), nil); err != nil { // as its sweep does
			w.t.Fatal(err)
		}
	}
}

func (w *world) serves(host, url string) {
	w.t.Helper()
	w.write(func(tx *store.Tx) error {
		return tx.SaveServer(store.Server{Name: host, Place: host, Roles: []string{"conductor"}, BootURL: url}, time.Minute)
	})
}

func (w *world) dies(host string) {
	w.t.Helper()
	w.mu.Lock()
	w.dead = append(w.dead, w.bases[host])
	w.mu.Unlock()
	w.write(func(tx *store.Tx) error { return tx.ForgetServer(host, host) })
}

// boots are the history's lines of booting anew.
func (w *world) boots() []metal.HistoryEvent {
	w.t.Helper()
	var all []metal.HistoryEvent
	w.write(func(tx *store.Tx) (err error) { all, err = tx.Events(w.node, store.Page{Limit: 1000}); return err })
	return slices.DeleteFunc(all, func(e metal.HistoryEvent) bool { return !strings.Contains(e.Why, "boots anew") || e.Kind != "step" })
}

// TestBootsAnew kills a conductor at every save of plans that boot, its boot URL with it: another one ends them. The
// machine boots once more only if it was booted and its agent had not called.
func TestBootsAnew(t *testing.T) { onEach(t, testBootsAnew) }

func testBootsAnew(t *testing.T) {
	for _, name := range []string{"deploy", "provide", "inspect", "clean by hand, power", "service"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j, anew := named(t, name), 0
			for kill, dead := 0, true; dead; kill++ {
				if dead = false; kill%7 != 3 && (onPostgres(t) || name != "deploy" && kill%3 != 0) { // of the others a sample
					dead = true
					continue
				}
				w := j.begin(t)
				w.apart()
				seen, label := 0, ""
				w.run(w.conductor("c1", func(where string) error {
					if dead {
						return errStop
					}
					if where != "dead?" {
						if seen++; seen == kill+1 {
							dead, label = true, where
							return errStop
						}
					}
					return nil
				}))
				j.arrived(t, w, "killed "+label)
				told := w.boots()
				anew += len(told)
				called := strings.HasSuffix(label, "claimed") || w.effects()["insert"] == 0
				switch {
				case len(told) > 1:
					t.Errorf("killed %s: it booted anew %d times", label, len(told))
				case len(told) == 1 && (called || !strings.Contains(told[0].Why, "server c1, which offered its boot medium, is gone")):
					t.Errorf("killed %s: %+v", label, told)
				case strings.HasPrefix(label, "after power on") && len(told) != 1:
					t.Errorf("killed %s: it did not boot anew", label)
				}
				w.close()
			}
			if anew == 0 {
				t.Error("no kill made a machine boot anew")
			}
		})
	}
}

// TestBootsAnewOnlyIfLost: a shared boot URL, or a server that lives, keeps the boot that is under way.
func TestBootsAnewOnlyIfLost(t *testing.T) {
	for _, c := range []struct {
		name  string
		after func(*world)
		anew  int
	}{
		{"its server is gone", func(w *world) { w.dies("c1") }, 1},
		{"its server lives", func(*world) {}, 0},
		{"the boot URL is shared", func(w *world) { w.dies("c1"); w.serves("successor", "http://192.0.2.1"); w.dead = nil }, 0},
		{"its agent has called", func(w *world) { w.silent = false; w.callBack(); w.dies("c1") }, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := named(t, "deploy").begin(t)
			w.apart()
			w.silent = true
			w.untilItWaits(w.conductor("c1", nil))
			_, before := w.state()
			c.after(w)
			w.silent = false
			next := w.conductor("successor", nil)
			if _, err := next.wakeStranded(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
			w.untilItWaits(next)
			_, a := w.state()
			if a != nil && (a.Boot != before.Boot) != (c.anew > 0) || a != nil && (a.Token.Expose() != before.Token.Expose()) != (c.anew > 0) {
				t.Error("the boot's identity and token are not as they should be")
			}
			w.run(next)
			named(t, "deploy").arrived(t, w, c.name)
			if told := w.boots(); len(told) != c.anew || w.counters["power power on"] != 2+c.anew {
				t.Errorf("booted anew: %+v; powered on %d times", told, w.counters["power power on"])
			}
		})
	}
}

// TestALookAfterTheServerIsFoundDead: who takes over before the dead server's sign of life is old looks again, and soon.
func TestALookAfterTheServerIsFoundDead(t *testing.T) {
	w := named(t, "deploy").begin(t)
	w.apart()
	w.silent = true
	w.untilItWaits(w.conductor("c1", nil))
	next := w.conductor("successor", nil)
	if _, err := next.wakeStranded(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	w.untilItWaits(next)
	var o *store.Operation
	w.write(func(tx *store.Tx) (err error) { o, err = tx.LiveOperation(w.node.ID); return err })
	if o.StepName != "wait for agent" || time.Until(o.DueAt) > strandedInterval || len(w.boots()) != 0 {
		t.Errorf("at %q, due in %s", o.StepName, time.Until(o.DueAt))
	}
}

// TestAnImageFromADeadServer: what the agent cannot fetch any more is offered by the one that goes on.
func TestAnImageFromADeadServer(t *testing.T) {
	file := filepath.Join(t.TempDir(), "i.raw")
	if err := os.WriteFile(file, make([]byte, 4096), 0o600); err != nil {
		t.Fatal(err)
	}
	j := named(t, "deploy")
	w := newWorld(t)
	w.node.ProvisionState = j.from
	w.node.InstanceInfo = w.node.InstanceInfo.With("image_source", "file://"+file)
	w.save()
	w.apart()
	w.bases["c1"] = "http://127.0.0.1:1" // refuses at once
	w.serves("c1", w.bases["c1"])
	w.ask(j.plan, j.event, j.record)
	dead := false
	w.run(w.conductor("c1", func(where string) error {
		if dead = dead || where == "before write image" && w.counters["agent execute_deploy_step"] == 0; dead {
			return errStop
		}
		return nil
	}))
	j.arrived(t, w, "from another server")
	if w.counters["lost image"] != 1 || w.counters["step write_image"] != 2 || len(w.boots()) != 0 {
		t.Errorf("what happened: %v, %v", fmt.Sprint(w.counters), w.boots())
	}
}
