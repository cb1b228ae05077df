package conductor

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/store"
)

const planted = "planted\nvalue-4711"

// TestWhatEchoesASecretIsScrubbed: an agent or a BMC that repeats its arguments, in whatever it answers, puts no secret
// value into an error, an event, a result or what is shown as waited for.
func TestWhatEchoesASecretIsScrubbed(t *testing.T) {
	onEach(t, func(t *testing.T) {
		t.Run("refused", func(t *testing.T) {
			testEcho(t, func(rw http.ResponseWriter, said string) {
				rw.WriteHeader(http.StatusBadRequest)
				_ = json.NewEncoder(rw).Encode(map[string]string{"faultcode": "Client", "faultstring": "Invalid params: " + said})
			})
		})
		t.Run("cut off", func(t *testing.T) { // the client keeps 2 KiB
			testEcho(t, func(rw http.ResponseWriter, said string) {
				rw.WriteHeader(http.StatusBadRequest)
				_ = json.NewEncoder(rw).Encode(map[string]string{"faultstring": strings.Repeat("x", 2048-9) + said})
			})
		})
		t.Run("progress", func(t *testing.T) {
			testEcho(t, func(rw http.ResponseWriter, said string) {
				_ = json.NewEncoder(rw).Encode(map[string]any{"id": "1", "command_name": "execute_clean_step", "command_status": "RUNNING",
					"ingot_progress": map[string]any{"what": "setting " + said, "done": 1, "total": 2}})
			})
		})
	})
}

// testEcho cleans with a step whose argument is secret, at an agent that answers it so.
func testEcho(t *testing.T, answer func(rw http.ResponseWriter, said string)) {
	w := newWorld(t)
	defer w.close()
	w.node.ProvisionState = metal.Manageable
	w.save()
	w.ask(metal.PlanManual, metal.EventClean, `{"ask":{"steps":[{"interface":"deploy","step":"tune","args":{"password":{"secret":"pw"}}}],
		"secrets":{"handle":"h","server":"s","names":["pw"]}}}`)
	inner, echoed := w.agent.Config.Handler, 0
	w.agent.Config.Handler = http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		req.Body = io.NopCloser(strings.NewReader(string(body)))
		if !strings.Contains(string(body), "execute_clean_step") {
			inner.ServeHTTP(rw, req)
			return
		}
		echoed++
		answer(rw, planted)
	})
	cond := w.conductor("c1", nil)
	cond.UseSecrets(&keeping{values: map[string]string{"pw": planted}})
	for range 60 { // it goes on for ever where the agent goes on saying that it works
		w.callBack()
		row, err := cond.claim(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if row != nil {
			cond.work(t.Context(), row, time.Now())
		}
		w.clean(t)
		if echoed > 1 {
			break
		}
	}
	if echoed == 0 {
		n, _ := w.state()
		t.Fatalf("the step was never sent: %q, %q", n.ProvisionState, n.LastError)
	}
}

// clean fails the test if anything that is stored in clear or shown holds a part of the planted value.
func (w *world) clean(t *testing.T) {
	t.Helper()
	n, _ := w.state()
	var last *store.Operation
	var told []metal.HistoryEvent
	w.write(func(tx *store.Tx) (err error) {
		if last, err = tx.LastOperation(n.ID); err != nil {
			return err
		}
		told, err = tx.Events(n, store.Page{Limit: 1000})
		return err
	})
	shown := fmt.Sprintf("%s %s %s %s %s %v %v", n.LastError, last.Error, last.Result, last.WaitingWhy, last.Progress, n.CleanStep, told)
	for _, part := range []string{"planted", "value-4711"} {
		if at := strings.Index(shown, part); at >= 0 {
			t.Fatalf("shown: …%.300s", shown[max(0, at-200):])
		}
	}
}

// echoing is a driver whose step says again what it was given.
type echoing struct{ err bool }

func (echoing) Steps(*metal.Node, metal.StepKind) []metal.Step { return nil }

func (e echoing) RunStep(_ context.Context, _ *metal.Node, _ metal.StepKind, s metal.Step, _ string) (string, error) {
	said := fmt.Sprint("task: set password to ", s.Args["password"])
	if e.err {
		return "", fault.New(fault.Unavailable, "%s", said)
	}
	return said, nil
}

func TestWhatADriverEchoesIsScrubbed(t *testing.T) {
	for _, fails := range []bool{false, true} {
		r, op := withSecrets(&keeping{values: map[string]string{"pw": planted}}, "pw")
		r.hw.Steps = echoing{fails}
		op.row.Plan = string(metal.PlanManual)
		op.Rec.Flow = []flowStep{{Step: metal.Step{Interface: "bios", Step: "apply", Args: map[string]any{"password": map[string]any{"secret": "pw"}}}, By: byDriver}}
		o, err := outOfBand(0)(r, t.Context(), op)
		if said := fmt.Sprint(o, err); !strings.Contains(said, "set password to") || strings.Contains(said, "planted") || strings.Contains(said, "4711") {
			t.Error(said)
		}
		if fails && fault.KindOf(err) != fault.Unavailable {
			t.Errorf("another kind of error: %v", err)
		}
	}
}

func TestScrubbedInTheFormsOfOurOwnCleaning(t *testing.T) {
	for _, said := range []string{oneLine("tool: " + planted), "tool: planted\nva", outcomeText(json.RawMessage(`{"clean_result":{"/dev/sda":{"how":"planted\nvalue-4711 was set"}}}`),
		func(s string) string { return scrub(s, planted) })} {
		if said = scrub(said, planted); strings.Contains(said, "planted") || strings.Contains(said, "4711") {
			t.Error(said)
		}
	}
}
