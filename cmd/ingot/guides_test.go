package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"ingot/internal/driver/neutron/neutrontest"
	"ingot/lab/vswitch"
)

// TestGuides runs the commands of guides. A script in testdata/guides has the name of its guide and says, in the guide's
// order,
//
//	guide 'ingot node vif list'     the command of the guide that begins so, given to a shell
//	guide 'ingot serve' FILE        the same, put into FILE for a shell: what runs until it is ended
//	conf '[vswitch]' FILE           the configuration of the guide that has this line, put into FILE, after what is there
//	notrun 'ip netns' why           the command cannot be run here
//
// What stands for a site's own in the guide is replaced by pairs of $REPLACE, divided by semicolons. At its end the script
// has named every command and every configuration of the guide. [file:PATH] is true where there is that file,
// [cloud] with INGOT_LAB=1 where Neutron and Keystone are installed.
func TestGuides(t *testing.T) {
	var cloud *neutrontest.Cloud
	if os.Getenv("INGOT_LAB") == "1" && neutrontest.Installed() {
		cloud = neutrontest.Start(t)
	}
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
			for _, name := range []string{"PEER", "BOOTPEER", "HOST", "HTTP", "TFTP"} {
				address, err := free()
				if err != nil {
					return err
				}
				e.Setenv(name, address)
			}
			if name == "neutron" && cloud != nil {
				aCloud(e, cloud)
			}
			return aSwitch(e)
		},
		Condition: func(cond string) (bool, error) {
			if cond == "cloud" {
				return cloud != nil, nil
			}
			name, ok := strings.CutPrefix(cond, "file:")
			if !ok {
				return false, fmt.Errorf("there is no condition %s", cond)
			}
			_, err := os.Stat(name)
			return err == nil, nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"up": up, "until": until, "accepts": accepts, "served": served, "boots": boots, "certified": certified,
			"guide": func(ts *testscript.TestScript, neg bool, args []string) {
				if len(args) < 1 || len(args) > 2 || neg && len(args) == 2 {
					ts.Fatalf("usage: guide 'how the command begins' [FILE]")
				}
				line := replaced(ts, of(ts).take(ts, of(ts).commands, args[0]))
				if len(args) == 2 {
					ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte("exec "+line+"\n"), 0o600))
					return
				}
				if err := ts.Exec("sh", "-c", line); neg == (err == nil) {
					ts.Fatalf("%s: %v", line, err)
				}
			},
			"conf": func(ts *testscript.TestScript, neg bool, args []string) {
				if neg || len(args) != 2 {
					ts.Fatalf("usage: conf 'a line of it' FILE")
				}
				text := replaced(ts, of(ts).take(ts, of(ts).configs, args[0]))
				f, err := os.OpenFile(ts.MkAbs(args[1]), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
				ts.Check(err)
				_, err = f.WriteString(text + "\n")
				ts.Check(errors.Join(err, f.Close()))
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

// accepts ADDRESS: waits until somebody listens there. With ! it only sees that nobody does.
func accepts(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: accepts ADDRESS")
	}
	limit := time.After(20 * time.Second)
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for {
		switch there := taken(args[0]); {
		case neg && there:
			ts.Fatalf("somebody listens at %s", args[0])
		case neg || there:
			return
		}
		select {
		case <-limit:
			ts.Fatalf("nobody listens at %s", args[0])
		case <-look.C:
		}
	}
}

// served URL FILE: asks for it, and puts what is answered into FILE. With ! it only sees that there is nothing.
func served(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: served URL FILE")
	}
	res, err := http.Get(args[0])
	ts.Check(err)
	text, err := io.ReadAll(res.Body)
	ts.Check(errors.Join(err, res.Body.Close()))
	if neg != (res.StatusCode != http.StatusOK) {
		ts.Fatalf("%s: %s: %s", args[0], res.Status, text)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), text, 0o600))
}

// guide is what stands indented in a guide, or between fences.
type guide struct {
	commands []string // one line each
	configs  []string // with their line breaks
	done     map[string]bool
}

// readGuide finds the blocks: of commands (ingot, openstack, baremetal), and of configuration, which begin with a section
// or have a fence that names their form. Others, such as pictures, are neither.
func readGuide(path string) (*guide, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	g := &guide{done: map[string]bool{}}
	lines := strings.Split(string(text), "\n")
	for i := 0; i < len(lines); i++ {
		if form, fenced := strings.CutPrefix(lines[i], "```"); fenced {
			end := slices.Index(lines[i+1:], "```")
			if form == "" || end < 0 {
				return nil, fmt.Errorf("%s: line %d: a fence that names no form, or does not end", path, i+1)
			}
			g.configs = append(g.configs, strings.Join(lines[i+1:i+1+end], "\n"))
			i += 1 + end
			continue
		}
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
			line, _, _ = strings.Cut(strings.TrimPrefix(line, "bin/"), "  #")
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

// aCloud gives a script a Neutron and a user of it: $KEYSTONE, $VIF, and what the command openstack logs in with.
func aCloud(e *testscript.Env, c *neutrontest.Cloud) {
	c.Publish("baremetal", "ironic", e.Getenv("INGOT_ENDPOINT"))
	e.Setenv("KEYSTONE", c.AuthURL)
	e.Setenv("VIF", c.MakePort(c.Network("tenant", "physnet1", "10.1.0.0/24"), nil))
	for name, value := range map[string]string{"AUTH_URL": c.AuthURL + "/v3", "USERNAME": c.User, "PASSWORD": neutrontest.Password, "PROJECT_NAME": "service",
		"USER_DOMAIN_ID": "default", "PROJECT_DOMAIN_ID": "default", "IDENTITY_API_VERSION": "3", "REGION_NAME": "here"} {
		e.Setenv("OS_"+name, value)
	}
}

type noFrames struct{}

func (noFrames) Connect(context.Context, string, string, string) error { return nil }
