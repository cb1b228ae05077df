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
	if !strings.Contains(out.String(), "step erase: done") {
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
		{"switching", power{metal.PowerOn}, client.States{PowerState: metal.PowerOff, TargetPowerState: metal.PowerOn}, false, false},
		{"switched", power{metal.PowerOn}, client.States{PowerState: metal.PowerOn}, true, true},
		{"not switched", power{metal.PowerOn}, client.States{PowerState: metal.PowerOff, LastError: "refused"}, true, false},
	} {
		if over, well := tc.goal.ended(&tc.s); over != tc.over || (over && well != tc.well) {
			t.Errorf("%s: over %v well %v", tc.name, over, well)
		}
	}
}

func TestWhyLine(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	since, limit := now.Add(-72*time.Second), now.Add(28*time.Minute)
	for _, tc := range []struct {
		w         metal.Why
		key, text string
	}{
		{metal.Why{Step: "boot ramdisk", StepIndex: 1, StepsTotal: 9, WaitingFor: "the agent", Since: &since, Limit: &limit, Attempts: 2},
			"[2/9] boot ramdisk|the agent", "[2/9] boot ramdisk: waiting for the agent for 1m12s, 28m00s left; try 2"},
		{metal.Why{Step: "write image", StepIndex: 8, StepsTotal: 9, Progress: &metal.Progress{What: "writing image", Done: 1 << 30, Total: 2 << 30, Unit: "bytes", Rate: 100 << 20}},
			"[9/9] write image||writing image 5", "[9/9] write image: writing image 1.0 GiB of 2.0 GiB (50%), 100 MiB/s, 10s left"},
		{metal.Why{Step: "erase", Progress: &metal.Progress{What: "erasing", Done: 1, Unit: "devices"}},
			"erase|", "erase: erasing 1 devices"},
		{metal.Why{Step: "power off", Undoing: true}, "power off (undoing)|", "power off (undoing)"},
	} {
		if key, text := whyLine(&tc.w, now); key != tc.key || text != tc.text {
			t.Errorf("got  %q %q\nwant %q %q", key, text, tc.key, tc.text)
		}
	}
}

// On a terminal one line is rewritten and never wraps; elsewhere only news is written.
func TestScreen(t *testing.T) {
	tell := func(s *screen) {
		s.status("a", "step a, 1s")
		s.status("a", "step a, 2s")
		s.line("a is done\x1b[2J")
		s.status("b", "step b is long")
		s.finish()
	}
	var live, plain bytes.Buffer
	tell(&screen{w: &live, live: true, width: func() int { return 11 }})
	tell(&screen{w: &plain})
	const wipe = "\r\x1b[K"
	if want := "step a, 1s" + wipe + "step a, 2s" + wipe + "a is done?[2J\n" + "step b is " + wipe; live.String() != want {
		t.Errorf("live:\n%q\nwant\n%q", live.String(), want)
	}
	if want := "step a, 1s\na is done?[2J\nstep b is long\n"; plain.String() != want {
		t.Errorf("plain:\n%q\nwant\n%q", plain.String(), want)
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
