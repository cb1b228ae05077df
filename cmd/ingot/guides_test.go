package main

import (
	"context"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"ingot/lab/vswitch"
)

// TestGuides runs the commands of guides. A script in testdata/guides has the name of its guide and says, in the guide's
// order,
//
//	guide 'ingot node vif list'     the command of the guide that begins so, run as exec does
//	conf '[vswitch]' FILE           the configuration of the guide that has this line, put into FILE
//	notrun 'ip netns' why           the command cannot be run here
//
// What stands for a site's own in the guide is replaced by pairs of $REPLACE, divided by semicolons. At its end the script
// has named every command and every configuration of the guide.
func TestGuides(t *testing.T) {
	run := map[string]*guide{}
	var mu sync.Mutex
	of := func(ts *testscript.TestScript) *guide {
		mu.Lock()
		defer mu.Unlock()
		return run[ts.Name()]
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata/guides",
		Setup: func(e *testscript.Env) error {
			name := strings.TrimPrefix(filepath.Base(e.WorkDir), "script-")
			g, err := readGuide(filepath.Join("..", "..", "docs", "guides", name+".md"))
			if err != nil {
				return err
			}
			mu.Lock()
			run[name] = g
			mu.Unlock()
			if err := setup(e); err != nil {
				return err
			}
			return aSwitch(e)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"up": up, "until": until,
			"guide": func(ts *testscript.TestScript, neg bool, args []string) {
				if len(args) != 1 {
					ts.Fatalf("usage: guide 'how the command begins'")
				}
				words := strings.Fields(replaced(ts, of(ts).take(ts, of(ts).commands, args[0])))
				err := ts.Exec(words[0], words[1:]...)
				if neg == (err == nil) {
					ts.Fatalf("%s: %v", strings.Join(words, " "), err)
				}
			},
			"conf": func(ts *testscript.TestScript, neg bool, args []string) {
				if neg || len(args) != 2 {
					ts.Fatalf("usage: conf 'a line of it' FILE")
				}
				text := replaced(ts, of(ts).take(ts, of(ts).configs, args[0]))
				ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(text+"\n"), 0o600))
			},
			"notrun": func(ts *testscript.TestScript, neg bool, args []string) {
				if neg || len(args) < 2 {
					ts.Fatalf("usage: notrun 'how the command begins' why")
				}
				of(ts).take(ts, of(ts).commands, args[0])
			},
			"guide-is-whole": func(ts *testscript.TestScript, _ bool, _ []string) {
				g := of(ts)
				for _, one := range slices.Concat(g.commands, g.configs) {
					if !g.done[one] {
						ts.Fatalf("the script never ran this part of the guide:\n%s", one)
					}
				}
			},
		},
	})
}

// guide is what stands indented in a guide.
type guide struct {
	commands []string // one line each
	configs  []string // with their line breaks
	done     map[string]bool
}

// readGuide finds the indented blocks: of commands (ingot, openstack, baremetal), and of configuration, which begin
// with a section. Others, such as pictures, are neither.
func readGuide(path string) (*guide, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	g := &guide{done: map[string]bool{}}
	lines := strings.Split(string(text), "\n")
	for i := 0; i < len(lines); i++ {
		if !strings.HasPrefix(lines[i], "    ") || i > 0 && strings.TrimSpace(lines[i-1]) != "" {
			continue
		}
		var block []string
		for ; i < len(lines) && (strings.HasPrefix(lines[i], "    ") || lines[i] == "" && i+1 < len(lines) && strings.HasPrefix(lines[i+1], "    ")); i++ {
			block = append(block, strings.TrimPrefix(lines[i], "    "))
		}
		if strings.HasPrefix(block[0], "[") {
			g.configs = append(g.configs, strings.Join(block, "\n"))
			continue
		}
		joined := strings.ReplaceAll(strings.Join(block, "\n"), "\\\n", " ")
		for _, line := range strings.Split(joined, "\n") {
			line, _, _ = strings.Cut(line, "  #")
			if first, _, _ := strings.Cut(line, " "); slices.Contains([]string{"ingot", "openstack", "baremetal"}, first) {
				g.commands = append(g.commands, line)
			}
		}
	}
	return g, nil
}

// take gives the next part that begins so, or has such a line, and notes that it was run.
func (g *guide) take(ts *testscript.TestScript, among []string, what string) string {
	for _, one := range among {
		if !g.done[one] && (strings.HasPrefix(one, what) || slices.Contains(strings.Split(one, "\n"), what)) {
			g.done[one] = true
			return one
		}
	}
	ts.Fatalf("the guide has no such part left: %s", what)
	return ""
}

func replaced(ts *testscript.TestScript, text string) string {
	for _, pair := range strings.Split(ts.Getenv("REPLACE"), ";") {
		if from, to, ok := strings.Cut(pair, " => "); ok {
			text = strings.ReplaceAll(text, strings.TrimSpace(from), strings.TrimSpace(to))
		}
	}
	return text
}

// aSwitch starts a server of the switch API whose ports carry no frames: $SWITCH, with the token in the file token.
func aSwitch(e *testscript.Env) error {
	s, err := vswitch.New(context.Background(), vswitch.Config{Token: "canary-switch", Fabric: noFrames{},
		Networks: []vswitch.Network{{Name: "provisioning"}, {Name: "cleaning"}, {Name: "inspection"}, {Name: "servicing"}, {Name: "rescuing"}, {Name: "tenant-a", Tenant: true}},
		Ports:    [][2]string{{"52:54:ff:12:4d:01", "Ethernet1/7"}}})
	if err != nil {
		return err
	}
	h := httptest.NewServer(s)
	e.Defer(h.Close)
	e.Setenv("SWITCH", h.URL+"/v1")
	return os.WriteFile(filepath.Join(e.WorkDir, "token"), []byte("canary-switch\n"), 0o600)
}

type noFrames struct{}

func (noFrames) Connect(context.Context, string, string, string) error { return nil }
