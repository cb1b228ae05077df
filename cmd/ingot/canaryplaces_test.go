package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"ingot/internal/store"
)

// derived are what the server derives keys for; each is looked for.
var derived = []string{"boot addresses", "names of pushed files", "names of images", sealPurpose}

// engine is the database of a server, and how a thief reads it.
type engine struct {
	short    bool     // only the verbs that every machine knows, each once
	options  []string // of the configuration
	prepare  func(*aviary)
	database func(*aviary)
}

func onSQLite(*testing.T) engine {
	return engine{prepare: func(*aviary) {}, database: func(g *aviary) {
		copied := copyOf(g.t, filepath.Join(g.dir, "ingot-data"), "ingot.db")
		for name, data := range copied {
			g.clean("the database ("+name+")", data)
		}
		holds(g.t, "the database", string(slices.Concat(copied["ingot.db"], copied["ingot.db-wal"])), witness, "redfish-virtual-media")
		g.withKey(func(key store.Key) (*store.DB, error) {
			dir := g.t.TempDir()
			for name, data := range copied {
				g.write(filepath.Join(dir, name), string(data))
			}
			return store.OpenSQLite(g.t.Context(), filepath.Join(dir, "ingot.db"), key)
		})
	}}
}

// placeholder is a part of a route's path.
var placeholder = regexp.MustCompile(`\{[^}]+\}`)

// everybody asks, as every user, for all that can be asked for: for each route of the server's own list.
func (g *aviary) everybody(when string) {
	g.t.Helper()
	paths := g.paths()
	var asking sync.WaitGroup
	next := make(chan [2]string)
	for range 3 {
		asking.Go(func() {
			for q := range next {
				if status, _ := g.ask(q[0], "GET", q[1], nil); status == http.StatusOK {
					g.mu.Lock()
					g.shown[q[1]]++
					g.mu.Unlock()
				}
			}
		})
	}
	for _, who := range slices.Sorted(maps.Keys(personas)) {
		for _, path := range paths {
			next <- [2]string{who, path}
		}
	}
	close(next)
	asking.Wait()
	g.t.Logf("%s: of %d paths %d were shown to somebody up to now", when, len(paths), len(g.shown))
	_, nodes := g.ask("boss", "GET", "/v1/nodes/detail", nil)
	holds(g.t, "the list of nodes", string(nodes), witness, `"redfish_password":"******"`, `"nobodys_key":"******"`)
}

// paths are all paths that can be asked for, with what stands in them filled in.
func (g *aviary) paths() (out []string) {
	g.t.Helper()
	var doc struct {
		Paths map[string]map[string]any `json:"paths"`
	}
	if err := json.Unmarshal(g.call("GET", "/openapi.json", nil, 200), &doc); err != nil {
		g.t.Fatal(err)
	}
	values := g.values()
	for _, path := range slices.Sorted(maps.Keys(doc.Paths)) {
		if doc.Paths[path]["get"] == nil {
			continue
		}
		for _, node := range []string{"real", "a-fake-hardware"} {
			filled := placeholder.ReplaceAllStringFunc(path, func(p string) string {
				if p == "{node}" {
					return node
				}
				for prefix, v := range values {
					if strings.HasPrefix(path, prefix+p) {
						return v(node)
					}
				}
				g.t.Errorf("%s: values does not say what to put for %s", path, p)
				return "none"
			})
			if out = append(out, filled); !strings.Contains(path, "{node}") {
				break
			}
		}
	}
	for _, node := range []string{"real", "a-fake-hardware"} {
		out = append(out, "/v1/nodes/validate?node="+node)
		for _, name := range g.logs(node) {
			out = append(out, "/ingot/v1/nodes/"+node+"/logs/"+name)
		}
	}
	return append(out, "/v1/nodes?fields=uuid,driver_info,instance_info,driver_internal_info,last_error,extra,properties", "/v1/drivers?detail=true",
		"/ingot/v1/debug/metrics", "/ingot/v1/debug/goroutines")
}

// neverShown are the paths that have nothing to show here: what the machine's hardware type lacks, and what needs more in the request.
var neverShown = regexp.MustCompile(`vendor_passthru|/logs/none$|policy/explain$|^/v1/nodes/validate$|^/v1/nodes/real/(allocation|bios/|management/indicators|states/console)|^/v1/nodes/a-fake-hardware/inventory$|^/ingot/v1/nodes/a-fake-hardware/metadata(/page)?$|/baseline$`)

// unshown sees that every route of the server showed something to somebody in this test, who was looked at.
func (g *aviary) unshown() {
	g.t.Helper()
	for _, path := range g.paths() {
		if g.shown[path] == 0 && !neverShown.MatchString(path) {
			g.t.Errorf("nobody was shown %s: the test has to make what it shows, or neverShown has to name it", path)
		}
	}
}

// logs are the names of the logs that are kept of a node.
func (g *aviary) logs(node string) (names []string) {
	g.t.Helper()
	var list struct {
		Logs []struct{ Name string }
	}
	if err := json.Unmarshal(g.call("GET", "/ingot/v1/nodes/"+node+"/logs", nil, 200), &list); err != nil {
		g.t.Fatal(err)
	}
	for _, l := range list.Logs {
		names = append(names, l.Name)
	}
	return names
}

// values say what stands for a part of a path, by what is before it.
func (g *aviary) values() map[string]func(node string) string {
	first := func(path, key, field string) func(string) string {
		return func(node string) string {
			var list map[string][]map[string]any
			if err := json.Unmarshal(g.call("GET", strings.ReplaceAll(path, "NODE", node), nil, 200), &list); err != nil || len(list[key]) == 0 {
				return "none"
			}
			return fmt.Sprint(list[key][0][field])
		}
	}
	is := func(v string) func(string) string { return func(string) string { return v } }
	return map[string]func(string) string{
		"/v1/ports/": first("/v1/ports", "ports", "uuid"), "/v1/portgroups/": is(witness), "/v1/chassis/": first("/v1/chassis", "chassis", "uuid"),
		"/v1/volume/connectors/": first("/v1/volume/connectors", "connectors", "uuid"), "/v1/volume/targets/": first("/v1/volume/targets", "targets", "uuid"),
		"/v1/allocations/": is(witness), "/v1/runbooks/": is("CUSTOM_CANARY_BOOK"), "/v1/deploy_templates/": is("CUSTOM_CANARY"), "/v1/os_definitions/": is("canary-os"),
		"/v1/inspection_rules/": first("/v1/inspection_rules", "inspection_rules", "uuid"), "/v1/drivers/": is("redfish"), "/v1/conductors/": is(witness),
		"/v1/nodes/{node}/history/": first("/v1/nodes/NODE/history", "history", "uuid"), "/v1/nodes/{node}/bios/": is("AdminPassword"),
		"/v1/nodes/{node}/management/indicators/": is("led@system"), "/ingot/v1/debug/": is("metrics"), "/ingot/v1/nodes/{node}/logs/": is("none"),
		"/v1/drivers/{driver}/vendor_passthru/": is("none"), "/v1/nodes/{node}/vendor_passthru/": is("none"),
	}
}

// bundle looks at what is given to whoever helps, and at metrics.
func (g *aviary) bundle() {
	g.t.Helper()
	g.ingot("support-bundle", "--node", "real", "--node", "a-fake-hardware", "--config", g.conf, "--data", filepath.Join(g.dir, "ingot-data"), "--file", filepath.Join(g.dir, "bundle.tar.gz"))
	files := unpacked(g.t, filepath.Join(g.dir, "bundle.tar.gz"))
	holds(g.t, "the bundle", files["ingot-support/nodes/real/node.json"], witness)
	holds(g.t, "the bundle", files["ingot-support/config.json"], "auth_url")
	packed, err := os.ReadFile(filepath.Join(g.dir, "bundle.tar.gz"))
	if err != nil {
		g.t.Fatal(err)
	}
	g.clean("the support bundle", packed)
	for _, path := range []string{"/metrics", "/healthz", "/readyz"} {
		g.clean(path, []byte(byHTTP(g.t, "http://"+g.metrics()+path)))
	}
	for _, args := range [][]string{{"config", "show", "--config", g.conf}, {"node", "show", "real"}, {"node", "why", "real"}, {"node", "events", "real"}} {
		g.ingot(args...)
	}
}

// otherDoors starts the server with the other ways to log in, and tries them well and badly.
func (g *aviary) otherDoors() {
	g.t.Helper()
	good := g.plant("password of an htpasswd file")
	hash, err := bcrypt.GenerateFromPassword([]byte(good), bcrypt.MinCost)
	if err != nil {
		g.t.Fatal(err)
	}
	file := filepath.Join(g.dir, "ingot-data", "users.htpasswd")
	g.write(file, "boss:"+string(hash)+"\n")
	text, err := os.ReadFile(g.conf)
	if err != nil {
		g.t.Fatal(err)
	}
	g.write(g.conf, string(text)+"[DEFAULT]\nhttp_basic_auth_user_file = "+file+"\n")
	ask := func(want int, header func(http.Header)) {
		g.t.Helper()
		req, err := http.NewRequestWithContext(g.t.Context(), http.MethodGet, g.r.url+"/v1/nodes", nil)
		if err != nil {
			g.t.Fatal(err)
		}
		header(req.Header)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			g.t.Fatal(err)
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode != want {
			g.t.Errorf("%s, %v: %s", res.Status, err, body)
		}
		g.clean("the answer to a log-in", fmt.Append(body, res.Header))
	}
	basic := func(password string) func(http.Header) {
		return func(h http.Header) {
			h.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte("boss:"+password)))
		}
	}
	g.start("--auth", "http_basic")
	ask(http.StatusOK, basic(good))
	ask(http.StatusUnauthorized, basic(g.plantOdd("wrong password of an htpasswd file")))
	g.stop()
	g.start("--auth", "keystone")
	token := g.plant("Keystone token")
	ask(http.StatusServiceUnavailable, func(h http.Header) { h.Set("X-Auth-Token", token) })
	ask(http.StatusUnauthorized, basic(g.plantOdd("password where Keystone is")))
	g.stop()
}

// dies starts the server where cores are allowed, and has it die in the middle of its work: it leaves none.
func (g *aviary) dies() {
	g.t.Helper()
	dumped := func(c *exec.Cmd) bool {
		var died *exec.ExitError
		err := c.Run()
		if !errors.As(err, &died) {
			g.t.Fatalf("%v did not die: %v", c.Args, err)
		}
		return died.Sys().(syscall.WaitStatus).CoreDump()
	}
	dir := g.t.TempDir()
	careless := exec.CommandContext(g.t.Context(), "sh", "-c", "ulimit -c unlimited; kill -ABRT $$")
	careless.Dir = dir
	if !dumped(careless) {
		g.t.Log("this host makes no core, whoever dies: that the server leaves none shows less here")
	}
	ctx, cancel := context.WithTimeout(g.t.Context(), time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, "sh", append([]string{"-c", `ulimit -c unlimited; exec "$0" "$@"`, "ingot"}, g.args...)...)
	c.Dir, c.Env = g.dir, append(append(os.Environ(), "GOTRACEBACK=crash"), g.environ...)
	log := &journal{}
	c.Stdout, c.Stderr = log, log
	ended := make(chan bool, 1)
	go func() { ended <- dumped(c) }()
	if err := answering(g.r.url); err != nil {
		g.t.Fatalf("%v\n%s", err, log)
	}
	g.call("GET", "/v1/nodes/detail", nil, 200)
	if err := c.Process.Signal(syscall.SIGABRT); err != nil {
		g.t.Fatal(err)
	}
	if <-ended || dumpedAnything(g.dir) {
		g.t.Error("the server left a core")
	}
	holds(g.t, "the last words of the server", log.String(), "SIGABRT")
	_, _ = g.r.log.Write([]byte(log.String()))
}

// dumpedAnything tells whether a core is in a folder.
func dumpedAnything(dir string) bool {
	cores, _ := filepath.Glob(filepath.Join(dir, "core*"))
	return len(cores) > 0
}

// left looks at everything that is left: logs, files, the machine's own words.
func (g *aviary) left() {
	g.t.Helper()
	for _, c := range g.machine.brought() {
		g.learn(c)
	}
	g.clean("the log", []byte(g.r.log.String()))
	holds(g.t, "the log", g.r.log.String(), "level=DEBUG", witness, "operation failed", "verb accepted")
	g.clean("the agent's journal, which is the machine's console,", g.machine.Console())
	holds(g.t, "the agent's journal", string(g.machine.Console()), "level=DEBUG", "the machine is handed over", "the password is ******")
	files := 0
	err := filepath.WalkDir(g.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		files++
		g.cleanFile(path, b)
		return err
	})
	if err != nil || files < 5 {
		g.t.Errorf("%d files are left, %v", files, err)
	}
	g.medium()
	g.collected()
}

// medium looks at the last boot ISO: it has the token and the key of its boot, and nothing else that is secret.
func (g *aviary) medium() {
	g.t.Helper()
	iso, err := os.ReadFile(filepath.Join(g.machine.root, "last.iso"))
	if err != nil {
		g.t.Fatal(err)
	}
	last := fmt.Sprintf("of boot %d", len(g.machine.brought()))
	has := false
	for _, f := range g.all().in(iso) {
		if has = has || strings.HasSuffix(f.name, last); !strings.HasSuffix(f.name, last) {
			g.t.Errorf("the boot ISO shows the %s", f)
		}
	}
	if !has {
		g.t.Error("the boot ISO does not have the token of its boot: the search does not work")
	}
}

// copyOf reads the files below dir whose names begin with prefix.
func copyOf(t *testing.T, dir, prefix string) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || !strings.HasPrefix(d.Name(), prefix) {
			return unlessGone(err)
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		b, err := os.ReadFile(path)
		if err == nil {
			out[rel] = b
		}
		return unlessGone(err)
	})
	if err != nil || len(out) == 0 {
		t.Fatalf("copy of %s: %d files, %v", dir, len(out), err)
	}
	return out
}

// unlessGone is an error, but for a file that a running database took away meanwhile.
func unlessGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
