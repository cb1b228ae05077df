package osinstall_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ingot/internal/agentapi"
)

func TestREQ17VerifySaysNo(t *testing.T) {
	s := setUp(t)
	d := definition(t, map[string]string{"untrusted/create": "exit 0", "verify": `echo "the token $OSP_TOKEN is too short" >&2; exit 4`})
	_, err := s.Verify(t.Context(), work(d, agentapi.OSParameter{Name: "token", Value: "canary-of-token", Class: "secret"}), s.tell)
	fails(t, err, "the OS definition thing refuses its parameters: its script verify ended with code 4", "What verify said last:\nthe token ****** is too short")
}

func TestREQ17AScriptThatFails(t *testing.T) {
	s := setUp(t)
	d := definition(t, map[string]string{"untrusted/create": `i=1; while [ $i -le 30 ]; do echo "line $i"; i=$((i+1)); done
echo "token=$OSP_TOKEN" >&2; printf '%s' "$OSP_PLACE" | base64; echo "yes and yesterday"; exit 7`})
	w := work(d, agentapi.OSParameter{Name: "token", Value: "canary-1\nsecond'line", Class: "secret"}, agentapi.OSParameter{Name: "place", Value: "canary-of-place", Class: "private"},
		agentapi.OSParameter{Name: "color", Value: "yes", Class: "private"})
	r, err := s.Install(t.Context(), w, s.tell)
	text := fails(t, err, "the script untrusted/create of the OS definition thing ended with code 7.\nWhat untrusted/create said last:\n", "\nline 30\ntoken=******\n******\n****** and yesterday")
	if lines := strings.Split(text, "\n"); len(lines) != 2+20 {
		t.Errorf("%d lines: %s", len(lines), text)
	}
	if len(r.Scripts) > 0 {
		t.Errorf("%+v", r)
	}
	part := partly(t, err)
	if len(part.Scripts) != 1 || part.Scripts[0].Code != 7 || len(part.Scripts[0].Lines) != 20 {
		t.Errorf("%+v", part)
	}
	kept := s.Logs.Files()
	if len(kept) != 1 || !strings.Contains(string(kept[0].Data), "\nline 1\nline 2\n") || !strings.Contains(string(kept[0].Data), "code 7") {
		t.Errorf("%v", kept)
	}
	all, err2 := json.Marshal([]any{part, text, string(kept[0].Data), s.log.String(), s.told})
	for _, canary := range []string{"canary-1", "second'line", "canary-of-place"} {
		if err2 != nil || bytes.Contains(all, []byte(canary)) {
			t.Errorf("%s is told: %v %s", canary, err2, all)
		}
	}
}

// Of long lines the last are told, for a conductor keeps the beginning of what is too long. The result has all of them.
func TestREQ17LongLastLines(t *testing.T) {
	s := setUp(t)
	d := definition(t, map[string]string{"untrusted/create": `i=10; while [ $i -le 40 ]; do printf "line $i%0300d\n" 0; i=$((i+1)); done; echo the end; exit 1`})
	_, err := s.Install(t.Context(), work(d), s.tell)
	text := fails(t, err, "ended with code 1.\nWhat untrusted/create said last:\nline 36000", "000\nthe end")
	if len(text) > 2000 || len(partly(t, err).Scripts[0].Lines) != 20 {
		t.Errorf("%d bytes: %s", len(text), text)
	}
}

// What a script says of itself decides nothing: its exit status does.
func TestREQ17TheExitStatusDecides(t *testing.T) {
	s := setUp(t)
	final := here(t, "post", s.at(guest, "write"), `{"stage": "done", "percent": 100, "final": true, "code": 0}`)
	d := definition(t, map[string]string{"untrusted/create": final + "\nexit 1"})
	if _, err := s.Install(t.Context(), work(d), s.tell); err == nil {
		t.Error("it said that it was done, and failed")
	} else {
		fails(t, err, "ended with code 1")
	}
	s = setUp(t)
	d = definition(t, map[string]string{"untrusted/create": "kill -9 $$"})
	_, err := s.Install(t.Context(), work(d), s.tell)
	fails(t, err, "ended with code 137")
	s = setUp(t)
	d = definition(t, map[string]string{"untrusted/create": "#!/no/such/interpreter\n"})
	_, err = s.Install(t.Context(), work(d), s.tell)
	fails(t, err, "untrusted/create of the OS definition thing did not run to its end")
}

// All that came of a script is gone when the time is over, and what it said is told.
func TestREQ24TheTotalTimeoutEndsEverything(t *testing.T) {
	s := setUp(t)
	pids := filepath.Join(s.dir, "pids")
	d := definition(t, map[string]string{"untrusted/create": "echo begins; (sleep 1000 & echo $! > " + pids + "; wait)"})
	w := work(d)
	w.Timeout = 1
	began := time.Now()
	_, err := s.Install(t.Context(), w, s.tell)
	fails(t, err, "it took longer than 1s, which is the limit for an installation", "What untrusted/create said last:\nbegins")
	if time.Since(began) < time.Second {
		t.Error("it was ended before its time")
	}
	var child int
	if _, err := fmt.Sscan(s.read(t, "pids"), &child); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", child))
		if err != nil || strings.Contains(string(stat), ") Z ") {
			break
		}
		if time.Now().After(end) {
			t.Fatal("its child goes on")
		}
	}
}

func TestAnAgentThatEndsEndsItsScripts(t *testing.T) {
	s := setUp(t)
	ctx, cancel := context.WithCancel(t.Context())
	d := definition(t, map[string]string{"untrusted/create": here(t, "post", s.at(guest, "write"), `{"stage": "sleeping", "percent": 1}`) + "; sleep 1000"})
	_, err := s.Install(ctx, work(d), func(p agentapi.Progress) {
		if p.What == "sleeping" {
			cancel()
		}
	})
	fails(t, err, "the agent ends, and with it what ran")
}

func TestREQ19EitherPartFailingStopsTheOther(t *testing.T) {
	for failing, other := range map[string]string{"create": "untrusted/create", "untrusted/create": "create"} {
		t.Run(failing, func(t *testing.T) {
			s := setUp(t)
			end := map[string]string{"create": host, "untrusted/create": guest}
			d := trusted(definition(t, map[string]string{
				other:   "echo waits; " + here(t, "post", s.at(end[other], "write"), "go") + "; sleep 1000",
				failing: here(t, "get", s.at(end[failing], "read")) + "; echo; echo broke; exit 5",
			}))
			_, err := s.Install(t.Context(), work(d), s.tell)
			text := fails(t, err, "the script "+failing+" of the OS definition thing ended with code 5", "go\nbroke")
			if strings.Contains(text, "waits") {
				t.Errorf("the failure of one is told with the words of the other: %s", text)
			}
			part := partly(t, err)
			if len(part.Scripts) != 2 {
				t.Fatalf("%+v", part)
			}
			for _, one := range part.Scripts {
				if one.Name == other && (one.Code != -1 || fmt.Sprint(one.Lines) != "[waits]") {
					t.Errorf("%+v", one)
				}
			}
		})
	}
}

func TestREQ24ProgressNeverFalls(t *testing.T) {
	s := setUp(t)
	var script []string
	for _, p := range []string{`{"stage":"base","percent":10}`, `{"stage":"base","percent":60,"message":"canary-of-token unpacked"}`, `{"stage":"kernel","percent":5}`, `{"stage":"base","percent":30}`} {
		script = append(script, here(t, "post", s.at(guest, "write"), p)+" || true")
	}
	d := definition(t, map[string]string{"untrusted/create": strings.Join(script, "\n")})
	if _, err := s.Install(t.Context(), work(d, agentapi.OSParameter{Name: "token", Value: "canary-of-token", Class: "secret"}), s.tell); err != nil {
		t.Fatal(err)
	}
	highest, said := map[string]int64{}, ""
	for _, p := range s.told {
		stage, _, _ := strings.Cut(p.What, ":")
		if p.Done < highest[stage] || p.Unit != "percent" || p.Total != 100 {
			t.Errorf("%+v after %d", p, highest[stage])
		}
		highest[stage] = p.Done
		said += p.What + "\n"
	}
	if highest["base"] != 60 || highest["kernel"] != 5 || highest["untrusted/create"] != 100 || strings.Contains(said, "canary") || !strings.Contains(said, "base: ****** unpacked") {
		t.Errorf("%v %q", highest, said)
	}
}

// A script that says nothing of how far it is does not fail for that.
func TestREQ24NoProgressIsNoFailure(t *testing.T) {
	s := setUp(t)
	if _, err := s.Install(t.Context(), work(definition(t, map[string]string{"untrusted/create": "exit 0"})), nil); err != nil {
		t.Error(err)
	}
}
