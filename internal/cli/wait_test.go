package cli

import (
	"bytes"
	"context"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"ingot/internal/client"
	"ingot/internal/metal"
	"ingot/internal/wire"
)

// following gives a server with a node called n that is being provided, and somebody who follows it.
func following(t *testing.T) (*server, *follower, *bytes.Buffer) {
	t.Helper()
	s := &server{}
	m := s.add(wire.Node{Name: "n", ProvisionState: string(metal.Cleaning), TargetProvisionState: string(metal.Available)})
	m.op = &operation{at: -1, verb: "provide", steps: []string{"boot ramdisk", "erase"}, end: metal.Available}
	h := httptest.NewServer(s.handler())
	t.Cleanup(h.Close)
	c, err := client.New(h.URL, client.Options{Tries: 1})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	return s, &follower{c: c, ident: "n", poll: time.Millisecond, screen: newScreen(&out), story: true}, &out
}

func TestWaitOutlivesTheServer(t *testing.T) {
	s, f, out := following(t)
	s.gone = 4
	if err := f.until(t.Context(), "provide", rest{[]metal.State{metal.Available}}, 0); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(out.String(), "the server does not answer"); n != 1 {
		t.Errorf("said %d times that the server is away:\n%s", n, out)
	}
	if !strings.Contains(out.String(), "erase  done") {
		t.Errorf("the end was not told:\n%s", out)
	}
}

func TestWaitEnds(t *testing.T) {
	_, f, _ := following(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := f.until(ctx, "provide", rest{[]metal.State{metal.Available}}, 0)
	if text, tip, code := explain(err); text != "stopped waiting" || tip != "the provide goes on: ingot node why n" || code != exitFailure {
		t.Errorf("%q %q %d", text, tip, code)
	}
	err = f.until(t.Context(), "provide", rest{[]metal.State{metal.Available}}, time.Nanosecond)
	if text, _, code := explain(err); text != "not done after 0ms" || code != exitFailure {
		t.Errorf("%q %d", text, code)
	}
}

func TestGoals(t *testing.T) {
	manage := rest{[]metal.State{metal.Manageable}}
	for _, tc := range []struct {
		name       string
		goal       goal
		s          client.States
		over, well bool
	}{
		{"under way", manage, client.States{ProvisionState: metal.Verifying, TargetProvisionState: metal.Manageable}, false, false},
		{"there", manage, client.States{ProvisionState: metal.Manageable}, true, true},
		{"back where it was", manage, client.States{ProvisionState: metal.Enroll, LastError: "no"}, true, false},
		{"failed, with its target", manage, client.States{ProvisionState: metal.CleanFailed, TargetProvisionState: metal.Available}, true, false},
		{"held is not the end", manage, client.States{ProvisionState: metal.CleanHold, TargetProvisionState: metal.Available}, false, false},
		{"held, and asked to stop", stopped{}, client.States{ProvisionState: metal.CleanHold, TargetProvisionState: metal.Available}, false, false},
		{"being stopped", stopped{}, client.States{ProvisionState: metal.Deploying, TargetProvisionState: metal.Active}, false, false},
		{"waits, and asked to stop", stopped{}, client.States{ProvisionState: metal.DeployWait, TargetProvisionState: metal.Active}, false, false},
		{"stopped", stopped{}, client.States{ProvisionState: metal.CleanFailed, TargetProvisionState: metal.Available, LastError: "aborted by request"}, true, true},
		{"stopped, as it was before", stopped{}, client.States{ProvisionState: metal.Active}, true, true},
		{"switching", power{metal.PowerOn}, client.States{PowerState: metal.PowerOff, TargetPowerState: metal.PowerOn}, false, false},
		{"switched", power{metal.PowerOn}, client.States{PowerState: metal.PowerOn}, true, true},
		{"not switched", power{metal.PowerOn}, client.States{PowerState: metal.PowerOff, LastError: "refused"}, true, false},
	} {
		if over, well := tc.goal.ended(&tc.s); over != tc.over || (over && well != tc.well) {
			t.Errorf("%s: over %v well %v", tc.name, over, well)
		}
	}
}

func TestWhyStatus(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	since, limit := now.Add(-72*time.Second), now.Add(28*time.Minute)
	for _, tc := range []struct {
		w         metal.Why
		key, text string
	}{
		{metal.Why{Step: "boot ramdisk", StepIndex: 1, StepsTotal: 9, WaitingFor: "the agent", Since: &since, Limit: &limit, Attempts: 2},
			"[2/9] boot ramdisk|the agent", "[2/9] boot ramdisk: waiting for the agent for 1m12s, 28m00s left; try 2"},
		{metal.Why{Step: "write image", StepIndex: 8, StepsTotal: 9, WaitingFor: "the agent to write the image", Since: &since, Limit: &limit,
			Progress: &metal.Progress{What: "writing image", Done: 1 << 30, Total: 2 << 30, Unit: "bytes", Rate: 100 << 20}},
			"[9/9] write image|writing image", "[9/9] write image: writing image 1.0 GiB of 2.0 GiB (50%), 100 MiB/s, 10s left"},
		{metal.Why{Step: "erase", Progress: &metal.Progress{What: "erasing", Done: 1, Unit: "devices"}},
			"erase|erasing", "erase: erasing 1 devices"},
		{metal.Why{Step: "set boot device", Since: &since, Limit: &limit}, "set boot device|", "set boot device: under way for 1m12s, 28m00s left"},
		{metal.Why{Step: "power on", WaitingFor: "the next try, after: no", Since: &since}, "power on|the next try", "power on: waiting for the next try for 1m12s"},
		{metal.Why{Step: "power off", Undoing: true}, "power off (undoing)|", "power off (undoing)"},
	} {
		if st := whyStatus(&tc.w, now); st.key != tc.key || st.text != tc.text {
			t.Errorf("got  %q %q\nwant %q %q", st.key, st.text, tc.key, tc.text)
		}
	}
}

// A deploy that fails, as it is told line by line: nothing twice, nothing of no use.
func TestTeller(t *testing.T) {
	at := time.Date(2026, 11, 23, 9, 15, 50, 0, time.Local)
	var teller teller
	for _, tc := range []struct {
		after time.Duration
		e     metal.HistoryEvent
		want  string
	}{
		{0, metal.HistoryEvent{Kind: "transition", From: metal.Available, To: metal.Deploying, Why: `operator asked for "active".`}, `09:15:50  available -> deploying: operator asked for "active"`},
		{time.Second, metal.HistoryEvent{Kind: "step", Step: "check boot url", Why: `Step "check boot url" is done.`}, "09:15:51  check boot url  done"},
		{8 * time.Second, metal.HistoryEvent{Kind: "step", Step: "power on", Why: `Step "power on" is done.`}, "09:15:59  power on  done (8s)"},
		{0, metal.HistoryEvent{Kind: "transition", Step: "wait for agent", From: metal.Deploying, To: metal.DeployWait, Why: "It waits for the agent to call back."}, ""},
		{time.Minute, metal.HistoryEvent{Kind: "transition", Step: "wait for agent", From: metal.DeployWait, To: metal.Deploying, Why: "The machine has answered."}, ""},
		{0, metal.HistoryEvent{Kind: "step", Step: "wait for agent", Why: `Step "wait for agent" is done.`}, "09:16:59  wait for agent  done (1m00s)"},
		{2 * time.Second, metal.HistoryEvent{Kind: "step", Step: "run clean steps", Why: "Clean step deploy.erase is done (1 of 2)."}, "09:17:01  Clean step deploy.erase is done (1 of 2) (2s)"},
		{3 * time.Second, metal.HistoryEvent{Kind: "step", Step: "run clean steps", Why: "Clean step deploy.verify is done (2 of 2)."}, "09:17:04  Clean step deploy.verify is done (2 of 2) (3s)"},
		{0, metal.HistoryEvent{Kind: "step", Step: "run clean steps", Why: `Step "run clean steps" is done.`}, "09:17:04  run clean steps  done (5s)"},
		{time.Second, metal.HistoryEvent{Kind: "retry", Step: "write image", Why: `Step "write image" failed (1 of 3 tries): no route`}, "09:17:05  write image  failed (1 of 3 tries): no route"},
		{0, metal.HistoryEvent{Kind: "error", Step: "write image", Why: `Step "write image" failed: the hash is wrong`}, "09:17:05  write image  failed: the hash is wrong"},
		{0, metal.HistoryEvent{Kind: "undo", Step: "power on", Why: `Step "power on" was undone.`}, "09:17:05  power on  undone"},
		{0, metal.HistoryEvent{Kind: "error", Step: "power on", Why: `Step "power on" could not be undone: it is gone`}, "09:17:05  power on  not undone: it is gone"},
		{0, metal.HistoryEvent{Kind: "transition", From: metal.Deploying, To: metal.DeployFailed, Why: "deploy: step …: the hash is wrong"}, "09:17:05  deploying -> deploy failed"},
		{0, metal.HistoryEvent{Kind: "takeover", Step: "power on", Why: `Conductor a took the operation over from b at step "power on".`}, `09:17:05  Conductor a took the operation over from b at step "power on"`},
		{0, metal.HistoryEvent{Kind: "agent", Why: "The agent called back."}, ""},
	} {
		at = at.Add(tc.after)
		tc.e.At = at
		got, ok := teller.line(tc.e)
		if ok != (tc.want != "") || (ok && got != tc.want) {
			t.Errorf("got  %q %v\nwant %q", got, ok, tc.want)
		}
	}
}

// On a terminal one line is rewritten and never wraps.
func TestLiveScreen(t *testing.T) {
	var out bytes.Buffer
	s := &screen{w: &out, live: true, width: func() int { return 11 }}
	s.status(status{key: "a", text: "step a, 1s"})
	s.status(status{key: "a", text: "step a, 2s"})
	s.line("a is done\x1b[2J")
	s.status(status{key: "b", text: "step b is long"})
	s.finish()
	const wipe = "\r\x1b[K"
	if want := "step a, 1s" + wipe + "step a, 2s" + wipe + "a is done?[2J\n" + "step b is " + wipe; out.String() != want {
		t.Errorf("got\n%q\nwant\n%q", out.String(), want)
	}
}

// Elsewhere a line is written when something has been under way for a while, and again when it is news or
// has lasted.
func TestPlainScreen(t *testing.T) {
	var out bytes.Buffer
	begun := time.Date(2026, 11, 23, 12, 0, 0, 0, time.Local)
	now := begun
	s := &screen{w: &out, now: func() time.Time { return now }}
	for at := time.Duration(0); at <= 25*time.Second; at += 700 * time.Millisecond {
		now = begun.Add(at)
		s.status(status{key: "write", text: "write " + span(at), age: at, every: progressEvery})
	}
	s.line("write is done")
	s.status(status{key: "brief", text: "brief", age: time.Second})
	for range 3 {
		s.status(status{key: "wait", text: "wait", age: patience})
	}
	s.finish()
	if want := "12:00:03  write 3s\n12:00:14  write 14s\n12:00:24  write 24s\nwrite is done\n12:00:24  wait\n"; out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}

func TestCleaner(t *testing.T) {
	var out bytes.Buffer
	c := &cleaner{w: &out}
	for _, part := range []string{"\x1b[3", "1mred\x1b[0m\r\n", "\x1b]0;title\x07ok\x08\t\xc3\xa9\n", "\x1b(Bend"} {
		if n, err := c.Write([]byte(part)); err != nil || n != len(part) {
			t.Fatal(n, err)
		}
	}
	if got := out.String(); got != "red\nok\té\nend" {
		t.Errorf("%q", got)
	}
}

func TestValues(t *testing.T) {
	for in, want := range map[string]any{"x86_64": "x86_64", "true": true, `"quoted"`: `"quoted"`, "1 2": "1 2", "": "", "007": "007", "null": nil} {
		if got := guess(in); got != want {
			t.Errorf("guess(%q) = %#v, want %#v", in, got, want)
		}
	}
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 10 << 20: "10 MiB", 3 << 40: "3.0 TiB", 5000 << 40: "4.9 PiB"} {
		if got := size(n); got != want {
			t.Errorf("size(%d) = %s, want %s", n, got, want)
		}
	}
	for d, want := range map[time.Duration]string{-1: "0s", 350 * time.Millisecond: "350ms", 42 * time.Second: "42s", 185 * time.Second: "3m05s", 130 * time.Minute: "2h10m"} {
		if got := span(d); got != want {
			t.Errorf("span(%v) = %s, want %s", d, got, want)
		}
	}
}

func TestExitOfPlainErrors(t *testing.T) {
	var out bytes.Buffer
	if code := Exit(&out, errors.New("disk on fire\x1b[31m")); code != exitFailure || out.String() != "error: disk on fire?[31m\n" {
		t.Errorf("%d %q", code, out.String())
	}
	if code := Exit(&out, nil); code != 0 {
		t.Errorf("nil: %d", code)
	}
}

// How a node comes to where it can be deployed to: what is under way and leads there is not to be ended.
func TestToAvailable(t *testing.T) {
	for state, want := range map[metal.State]string{
		metal.Manageable: "ingot node provide n --wait", metal.Active: "ingot node undeploy n --wait erases it", metal.DeployWait: "ingot node abort n --wait", metal.DeployHold: "ingot node abort n --wait",
		metal.CleanWait: "ingot node why n", metal.Cleaning: "ingot node why n", metal.InspectWait: "ingot node why n", metal.Enroll: "ingot node manage n --wait, then",
	} {
		if got := toAvailable(&client.Node{Node: wire.Node{Name: "n", ProvisionState: string(state)}}); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %s", state, got)
		}
	}
}
