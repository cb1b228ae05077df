package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"ingot/internal/image"
	"ingot/internal/image/imagetest"
)

// aviary is a server with canaries in everything that can hold a secret, a machine, and whoever looks for them.
type aviary struct {
	t       *testing.T
	dir     string // the server's, with all that is its own in it
	conf    string // its configuration
	r       *running
	args    []string // how it is started
	short   bool
	more    []string // and what the engine needs for that
	machine *cagedMachine
	parrot  *httptest.Server
	images  *httptest.Server
	image   []byte
	watch   *onlooker
	environ []string // of the server
	vendor  *vendorTarget
	// collected looks at what was sent to a collector of traces.
	collected func()

	mu      sync.Mutex
	search  *search           // guarded by mu
	planted map[string]canary // guarded by mu
	shown   map[string]int    // guarded by mu; answers of 200, by path
	strange int               // guarded by mu; boots at which a stranger tried
	tried   []string          // guarded by mu; with what packages were asked for
}

// witness is a word that is no secret, in the same places: a place that does not show it was not looked at.
const witness = "witness-of-the-search"

// newAviary starts nothing yet. options are lines of the configuration.
func newAviary(t *testing.T, program string, options ...string) *aviary {
	t.Helper()
	g := &aviary{t: t, dir: t.TempDir(), search: searchFor(), planted: map[string]canary{}, shown: map[string]int{}, image: bootable()}
	g.parrot = httptest.NewServer(http.HandlerFunc(parrot))
	t.Cleanup(g.parrot.Close)
	g.images = httptest.NewServer(http.HandlerFunc(g.serveImage))
	t.Cleanup(g.images.Close)
	g.machine = newCagedMachine(t, program, g.plant("BMC password"), g.booted)
	data := filepath.Join(g.dir, "ingot-data")
	cagedRamdisk(t, filepath.Join(data, "ramdisk"), filepath.Join(data, "ramdisk-debian"))
	if err := os.Mkdir(filepath.Join(g.dir, "tmp"), 0o700); err != nil {
		t.Fatal(err)
	}
	g.users(data)
	g.conf = filepath.Join(g.dir, "ingot.conf")
	lines := []string{"[DEFAULT]", "debug = true", "host = " + witness, "enabled_hardware_types = redfish,ipmi,idrac,manual-management,fake-hardware",
		"enabled_power_interfaces = redfish,ipmitool,idrac-redfish,agent,fake", "enabled_management_interfaces = redfish,ipmitool,idrac-redfish,noop,fake",
		"[agent]", "deploy_logs_collect = always", "[api]", "rate_limit = 0", "[deploy]", "erase_devices_priority = 0", "[neutron]", "auth_url = " + g.parrot.URL + "/v3", "username = ingot",
		"[keystone_authtoken]", "auth_url = " + g.parrot.URL + "/v3", "username = ingot"}
	lines = append(lines, g.vendordata()...)
	for _, o := range secretOptions() {
		if name := "option [" + o[0] + "] " + o[1]; o[0] != "database" { // that one is in its URL, where there is one
			lines = append(lines, "["+o[0]+"]", o[1]+" = "+g.plant(name))
		}
	}
	g.write(g.conf, strings.Join(append(lines, options...), "\n")+"\n")
	return g
}

// bootable is an image with a table of partitions as UEFI wants it, and nothing in them.
func bootable() []byte {
	b := make([]byte, 4<<20)
	imagetest.GPT(b, 512, imagetest.Part{Type: image.TypeESP, First: 2048, Last: 4095, Name: "esp"}, imagetest.Part{Type: image.TypeLinuxRoot, First: 4096, Last: 6143, Name: "root"})
	return b
}

// parrot answers whatever it is asked with a refusal that repeats all of the question.
func parrot(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(io.LimitReader(r.Body, 1<<20)) // what came is what is repeated
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusInternalServerError)
	said, _ := json.Marshal(map[string]any{"error": map[string]any{"code": 500, "title": "refused", "message": fmt.Sprint(r.Method, " ", r.URL, " ", r.Header, " ", string(body))}})
	_, _ = w.Write(said)
}

// serveImage gives the image to whoever has the credentials.
func (g *aviary) serveImage(w http.ResponseWriter, r *http.Request) {
	_, password, _ := r.BasicAuth()
	switch {
	case r.URL.Path == "/open.raw", r.URL.Path == "/closed.raw" && password == g.value("instance_info image_pull_secret"):
		_, _ = w.Write(g.image)
	case r.URL.Path == "/drive" && password == g.value("credentials in a config drive's URL"):
		_, _ = io.WriteString(w, g.packedDrive(g.value("user data behind a URL")))
	default:
		w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
		http.Error(w, fmt.Sprint("refused: ", r.URL, r.Header), http.StatusUnauthorized)
	}
}

// users writes the server's users, with passwords that are canaries.
func (g *aviary) users(data string) {
	g.t.Helper()
	var text strings.Builder
	text.WriteString("domain: default\nusers:\n")
	for _, name := range slices.Sorted(maps.Keys(personas)) {
		hash, err := bcrypt.GenerateFromPassword([]byte(g.plant("password of "+name)), bcrypt.MinCost)
		if err != nil {
			g.t.Fatal(err)
		}
		fmt.Fprintf(&text, "  - name: %s\n    password: %s\n", name, hash)
		switch may := personas[name]; may[0] {
		case "--system":
			fmt.Fprintf(&text, "    system: [%s]\n", may[1])
		default:
			project, role, _ := strings.Cut(may[1], ":")
			fmt.Fprintf(&text, "    projects: {%s: [%s]}\n", project, role)
		}
	}
	g.write(filepath.Join(data, "identity.yaml"), text.String())
}

func (g *aviary) write(name, text string) {
	g.t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o700), os.WriteFile(name, []byte(text), 0o600)); err != nil {
		g.t.Fatal(err)
	}
}

// plant makes a canary of letters and digits, and gives its value.
func (g *aviary) plant(name string) string { return g.learn(plant(name)) }

// plantOdd makes one with everything in it that has to be escaped.
func (g *aviary) plantOdd(name string) string { return g.learn(plantOdd(name)) }

// plantTyped makes one that the machine's own program can repeat.
func (g *aviary) plantTyped(name string) string { return g.learn(plantTyped(name)) }

// learn looks for a secret from now on.
func (g *aviary) learn(c canary) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	if old, ok := g.planted[c.name]; ok {
		return old.value
	}
	g.planted[c.name] = c
	g.search.add(c)
	return c.value
}

// value is that of a canary.
func (g *aviary) value(name string) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.planted[name].value
}

// all is the search for everything that is known now.
func (g *aviary) all() *search {
	g.mu.Lock()
	defer g.mu.Unlock()
	return &search{planted: slices.Clone(g.search.planted), needles: slices.Clone(g.search.needles)}
}

// clean sees that no canary is in b.
func (g *aviary) clean(where string, b []byte) {
	g.t.Helper()
	for _, f := range g.all().in(b) {
		g.t.Errorf("%s shows the %s", where, f)
	}
}

// start starts the server, or starts it again.
func (g *aviary) start(args ...string) {
	g.t.Helper()
	if g.args == nil {
		var at [5]string
		for i := range at {
			var err error
			if at[i], err = free(); err != nil {
				g.t.Fatal(err)
			}
		}
		g.args = []string{"serve", "--config", g.conf, "--listen", at[0], "--agent-listen", at[1], "--boot-listen", at[2], "--metrics-listen", at[3], "--metadata-listen", at[4], "--auth", "local"}
		g.args = append(g.args, g.more...)
	}
	if g.environ == nil {
		g.environ = append([]string{"TMPDIR=" + filepath.Join(g.dir, "tmp")}, g.traces()...)
	}
	old := g.r
	g.r = begin(g.t, g.dir, g.environ, append(slices.Clone(g.args), args...)...)
	g.r.url = "http://" + g.args[4]
	if err := answering(g.r.url); err != nil {
		g.t.Fatalf("%v\nlog:\n%s", err, g.r.log)
	}
	if old != nil { // one log of all of them
		_, _ = g.r.log.Write([]byte(old.log.String()))
	}
	g.watch = looking(g, g.r.cmd.Process.Pid)
}

func (g *aviary) agents() string  { return g.args[6] }
func (g *aviary) metrics() string { return g.args[10] }

// metadata is where instances ask.
func (g *aviary) metadata() string { return g.args[12] }

// ask sends a request as a user and looks at the answer.
func (g *aviary) ask(who, method, path string, body any) (status int, answer []byte) {
	g.t.Helper()
	var in io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			g.t.Fatal(err)
		}
		in = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(g.t.Context(), method, g.r.url+path, in)
	if err != nil {
		g.t.Fatal(err)
	}
	req.Header.Set("X-OpenStack-Ironic-API-Version", "latest")
	req.Header.Set("Content-Type", "application/json")
	req.SetBasicAuth(who, g.planted["password of "+who].value)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		g.t.Fatal(err)
	}
	defer res.Body.Close()
	answer, err = io.ReadAll(res.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	g.clean(fmt.Sprintf("the answer to %s %s (%s), asked by %s,", method, strings.Split(path, mark)[0], res.Status, who), fmt.Appendf(answer, "\n%v", res.Header))
	return res.StatusCode, answer
}

// call is ask by whoever may everything, for an answer of one status.
func (g *aviary) call(method, path string, body any, want int) []byte {
	g.t.Helper()
	status, answer := g.ask("boss", method, path, body)
	if status != want {
		g.t.Fatalf("%s %s: %d\n%s", method, path, status, answer)
	}
	return answer
}

// until waits until a node rests in a state.
func (g *aviary) until(node, state string) {
	g.t.Helper()
	g.untilField(node, "provision_state", state)
}

func (g *aviary) untilField(node, field string, want any) {
	g.t.Helper()
	var n map[string]any
	patiently(g.t, fmt.Sprintf("%s of node %s to become %v", field, node, want), func() bool {
		n = nil
		if err := json.Unmarshal(g.call("GET", "/v1/nodes/"+node+"?fields=last_error,reservation,provision_state", nil, http.StatusOK), &n); err != nil {
			g.t.Fatal(err)
		}
		if s, _ := n["provision_state"].(string); field == "provision_state" && s != want && (strings.HasSuffix(s, " failed") || s == "error") {
			g.t.Fatalf("node %s is %q and should become %q: %v", node, s, want, n["last_error"])
		}
		return n[field] == want
	})
}

// verb asks for one and waits for what comes of it.
func (g *aviary) verb(node string, body object, state string) {
	g.t.Helper()
	g.call("PUT", "/v1/nodes/"+node+"/states/provision", body, http.StatusAccepted)
	g.until(node, state)
}

// ingot runs one of our commands as whoever may everything, with the password in a file.
func (g *aviary) ingot(args ...string) string {
	g.t.Helper()
	file := filepath.Join(g.t.TempDir(), "password")
	g.write(file, g.planted["password of boss"].value+"\n")
	c := exec.Command("ingot", args...)
	c.Dir, c.Env = g.dir, append(os.Environ(), "INGOT_ENDPOINT="+g.r.url, "INGOT_USER=boss", "INGOT_PASSWORD_FILE="+file)
	out, err := c.CombinedOutput()
	g.clean("what ingot "+strings.Join(args[:min(2, len(args))], " ")+" printed", out)
	if err != nil {
		g.t.Fatalf("ingot %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// stop ends the server in good order.
func (g *aviary) stop() {
	g.t.Helper()
	g.watch.end()
	if code := g.r.stop(g.t); code != 0 {
		g.t.Errorf("the server ended with %d", code)
	}
}

// uuid is a node's.
func (g *aviary) uuid(node string) string {
	g.t.Helper()
	var n struct{ UUID string }
	if err := json.Unmarshal(g.call("GET", "/v1/nodes/"+node, nil, 200), &n); err != nil {
		g.t.Fatal(err)
	}
	return n.UUID
}
