package plugin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ingot/agent/child"
	"ingot/internal/agentapi"
)

// TestMain makes this program a plugin, when it is run under the name of one.
func TestMain(m *testing.M) {
	if act, ok := acts[filepath.Base(os.Args[0])]; ok && len(os.Args) == 2 {
		act(os.Args[1])
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// describes answers describe, and gives the request of run.
func describes(command, text string) (r request) {
	b, err := io.ReadAll(os.Stdin)
	if err == nil {
		err = json.Unmarshal(b, &r)
	}
	if err != nil || r.Command != command || r.Protocol != 1 {
		fmt.Fprintln(os.Stderr, "bad request", err, string(b))
		os.Exit(9)
	}
	if command == "describe" {
		fmt.Println(`{"result":` + text + `}`)
		os.Exit(0)
	}
	return r
}

const decent = `{"name":"decent","version":"1.2","support":2,"clean_steps":[{"interface":"firmware","step":"check","priority":50,
	"argsinfo":{"want":{"required":true}}}],"service_steps":[{"interface":"management","step":"look","priority":0,"limit":1}]}`

var acts = map[string]func(command string){
	"decent": func(command string) {
		r := describes(command, strings.ReplaceAll(decent, "\n", ""))
		fmt.Println(`{"log":"looks\u0007"}`)
		fmt.Println(`{"progress":{"what":"checking","done":1,"total":2,"unit":"devices","parts":[{}]}}`)
		fmt.Fprintln(os.Stderr, "whispers")
		env := strings.Join(os.Environ(), " ")
		if strings.Contains(env, r.Inventory.Hostname) || len(os.Args) != 2 {
			fmt.Println(`{"error":"told by the environment"}`)
			return
		}
		out, _ := json.Marshal(map[string]any{"kind": r.Kind, "step": r.Step.Step, "args": r.Step.Args, "host": r.Inventory.Hostname, "node": r.Node})
		fmt.Printf(`{"result":%s}`, out) // its last line need not be ended
	},
	"refuses": func(command string) {
		describes(command, "")
		fmt.Println(`{"error":"the firmware is too old"}`)
		os.Exit(1)
	},
	"crashes": func(command string) { fmt.Fprint(os.Stderr, "first\nlast words\n"); os.Exit(2) },
	"absent":  func(string) { os.Exit(3) },
	"silent":  func(string) {},
	"garbage": func(string) { fmt.Println("hello") },
	"floods": func(string) {
		for {
			fmt.Println(`{"log":"x"}`)
		}
	},
	"endless": func(string) {
		for {
			fmt.Print("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx")
		}
	},
	"goes_on": func(string) { fmt.Println(`{"result":1}` + "\n" + `{"result":2}`) },
	"sleeps":  func(string) { time.Sleep(time.Hour) },
	"twice": func(string) {
		fmt.Println(`{"result":{"name":"a","version":"1","support":1,"clean_steps":[{"interface":"bios","step":"x"},{"interface":"raid","step":"x"}]}}`)
	},
	"double": func(string) { fmt.Println(`{"result":{"name":"decent","version":"1","support":1}}`) },
}

// folder makes a folder of plugins by their names.
func folder(t *testing.T, names ...string) (Folder, *bytes.Buffer) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, name := range names {
		if err := os.Link(self, filepath.Join(dir, name)); err != nil { // a link of names would not do: it is no regular file
			copyProgram(t, self, filepath.Join(dir, name))
		}
	}
	var log bytes.Buffer
	// These plugins are this test, which the race detector makes large.
	return Folder{Path: dir, Memory: 16 << 30, Children: &child.Children{}, Log: slog.New(slog.NewTextHandler(&log, nil))}, &log
}

func copyProgram(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, b, 0o700)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func about() About {
	return About{Node: json.RawMessage(`{"uuid":"n1"}`), Ports: json.RawMessage("[]"), Inventory: agentapi.Inventory{Hostname: "machine-7"}}
}

func TestDescribeAndRun(t *testing.T) {
	f, log := folder(t, "decent", "absent")
	for name, mode := range map[string]os.FileMode{"notes.json": 0o600, "folder": os.ModeDir | 0o700} {
		path := filepath.Join(f.Path, name)
		if err := errors.Join(os.MkdirAll(path+".d", 0o700), os.WriteFile(path, nil, mode.Perm()&0o600)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("/bin/true", filepath.Join(f.Path, "link")); err != nil {
		t.Fatal(err)
	}
	all, err := f.Describe(t.Context(), about())
	if err != nil || len(all) != 1 || all[0].Name != "decent" || all[0].Version != "1.2" || all[0].Support != 2 || len(all[0].Steps[Clean]) != 1 || len(all[0].Steps[Deploy]) != 0 {
		t.Fatalf("%+v %v", all, err)
	}
	step := all[0].Steps[Clean][0]
	var last agentapi.Progress
	result, err := f.Run(t.Context(), all[0], Clean, step, json.RawMessage(`{"want":"secret-7"}`), about(), func(p agentapi.Progress) { last = p })
	if want := `{"args":{"want":"secret-7"},"host":"machine-7","kind":"clean","node":{"uuid":"n1"},"step":"check"}`; err != nil || string(result) != want {
		t.Errorf("%s %v", result, err)
	}
	if last.What != "checking" || last.Done != 1 || last.Parts != nil {
		t.Errorf("%+v", last)
	}
	if text := log.String(); !strings.Contains(text, `text=looks`) || !strings.Contains(text, "text=whispers") || strings.Contains(text, "secret-7") {
		t.Error(text)
	}
	if _, err := f.Run(t.Context(), all[0], Clean, step, json.RawMessage(`{}`), about(), nil); err == nil || err.Error() != "step check needs the argument want" {
		t.Error(err)
	}
	f.Path += "/none"
	if all, err := f.Describe(t.Context(), about()); len(all) != 0 || err != nil {
		t.Errorf("no folder: %v %v", all, err)
	}
}

func TestPluginsThatMisbehave(t *testing.T) {
	for name, want := range map[string]string{
		"refuses": "it ended with code 9",
		"crashes": "it ended with code 2: last words",
		"silent":  "it ended without a result",
		"garbage": "a line of its output is no JSON object",
		"floods":  "it says more than 4 MiB",
		"endless": "a line of its output is longer than 256 KiB",
		"goes_on": "it goes on after its result",
		"twice":   "it offers the step x twice",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, log := folder(t, name)
			_, err := f.Describe(t.Context(), about())
			if name == "refuses" { // it describes itself badly, and runs as it should
				_, err := f.Run(t.Context(), Plugin{path: filepath.Join(f.Path, name)}, Clean, Step{}, json.RawMessage("{}"), about(), nil)
				if err == nil || err.Error() != "the firmware is too old" {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), "plugin "+name+": ") || !strings.Contains(err.Error(), want) {
				t.Errorf("%v, want %q", err, want)
			}
			if n := strings.Count(log.String(), "\n"); n > maxLogged {
				t.Errorf("%d lines of log", n)
			}
		})
	}
	f, _ := folder(t, "decent", "double")
	if _, err := f.Describe(t.Context(), about()); err == nil || err.Error() != "two plugins have the name decent" {
		t.Error(err)
	}
}

func TestAPluginThatNeverEndsIsEnded(t *testing.T) {
	f, _ := folder(t, "sleeps")
	p := Plugin{path: filepath.Join(f.Path, "sleeps")}
	_, err := f.Run(t.Context(), p, Clean, Step{Limit: 1}, json.RawMessage("{}"), about(), nil)
	if err == nil || err.Error() != "it took longer than 1s" {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err = f.Run(ctx, p, Clean, Step{}, json.RawMessage("{}"), about(), nil); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func FuzzDescription(f *testing.F) {
	f.Add([]byte(decent))
	f.Add([]byte(`{"name":"a","version":"1","support":1,"clean_steps":[{"interface":"bios","step":"x","priority":1e3}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := parseDescription(b)
		if err != nil {
			return
		}
		if len(d.Name) > 64 || len(d.Version) > 64 || d.Support < 1 || len(d.Clean) > maxSteps {
			t.Errorf("%+v", d)
		}
		for _, s := range append(append(d.Clean, d.Deploy...), d.Service...) {
			if !interfaces[s.Interface] || len(s.Step) > 64 || s.Priority < 0 || s.Priority > maxPriority || s.Limit > maxLimit {
				t.Errorf("%+v", s)
			}
		}
	})
}

func FuzzTalk(f *testing.F) {
	f.Add([]byte(`{"log":"x"}`+"\n"+`{"result":{}}`), 3)
	f.Add([]byte("\n\n{}\n"), 1)
	f.Fuzz(func(t *testing.T, b []byte, at int) {
		lines := 0
		w := &talk{say: func(l line) error {
			lines++
			if l.Progress != nil && len(l.Progress.What) > 2*maxText {
				t.Error("a long text")
			}
			return nil
		}}
		if at < 0 || at > len(b) {
			at = len(b)
		}
		// However the output is cut, its lines are the same.
		_, err := w.Write(b[:at])
		if err == nil {
			_, err = w.Write(b[at:])
		}
		if err == nil {
			err = w.end()
		}
		whole, once := 0, &talk{}
		once.say = func(line) error { whole++; return nil }
		_, other := once.Write(b)
		if other == nil {
			other = once.end()
		}
		if (err == nil) != (other == nil) || err == nil && lines != whole {
			t.Errorf("%d lines and %v in parts, %d and %v at once", lines, err, whole, other)
		}
	})
}
