package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ingot/internal/client"
	"ingot/internal/metal"
	"ingot/internal/wire"
)

// The addresses of TestBootHostIsCutOff. The test itself is on the machines' side.
const (
	machineSide = "198.18.230.1" // the host's own namespace: machines and BMCs
	bootOutside = "198.18.230.2" // the boot host's, towards machines
	bootInside  = "198.18.230.6" // the boot host's, towards the wall
	wallOutside = "198.18.230.5"
	wallInside  = "198.18.230.9"
	controlSide = "198.18.230.10"
)

// TestBootHostIsCutOff deploys a machine through a boot host that cannot reach the control plane:
//
//	machine, BMC ──── boot host ──── wall ──── control plane, image server
//	   .1          .2           .6  .5  .9           .10
//
// The wall routes nothing. Through it goes one thing: connections of the control plane to the boot host's peer listener,
// which it makes anew on the other side. The machine's way to the agents' door is a second one, which begins on the
// machine's own loopback, where the boot host is not: our agent calls that door. The conductor's ways to the BMC and to the
// agent's commands are relays as well, from the control plane outwards.
func TestBootHostIsCutOff(t *testing.T) {
	beside(t)
	boot, wall, control := namespace(t, "boot"), namespace(t, "wall"), namespace(t, "control")
	boot.cable(t, machineSide, "", bootOutside)
	boot.cable(t, wallOutside, string(wall), bootInside)
	control.cable(t, wallInside, string(wall), controlSide)
	// Whoever has the boot host sets routes as he likes.
	boot.run(t, "ip", "route", "add", "default", "via", wallOutside)
	control.run(t, "ip", "route", "add", "default", "via", wallInside)

	port := func() string { _, p, _ := net.SplitHostPort(free(t, "127.0.0.1")); return p }
	push, peers, door, media, apiPort, bootPort := port(), port(), port(), port(), port(), port()
	s := serve(t, "127.0.0.1", "deploy.boot_hosts=boot1=https://"+wallInside+":"+push, "agent.image_download_source=local")
	s.in, s.api, s.agent, s.boot = control, "127.0.0.1:"+apiPort, controlSide+":"+door, controlSide+":"+media
	s.args = []string{"--peer-listen", controlSide + ":" + peers, "--agent-url", "https://127.0.0.1:" + door}
	var err error
	if s.Client, err = client.New("http://"+s.api, client.Options{HTTP: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}); err != nil {
		t.Fatal(err)
	}
	b := serve(t, "127.0.0.1")
	b.in, b.boot, b.noAPI = boot, bootOutside+":"+bootPort, true
	b.args = []string{"--roles", "boot", "--peer-listen", bootInside + ":" + push}

	outside := space("") // this test's
	relay(t, outside, s.api, control, s.api)
	relay(t, outside, "127.0.0.1:"+door, wall, controlSide+":"+door) // the machine's way to the agents' door
	relay(t, wall, wallInside+":"+push, wall, bootInside+":"+push)   // the hole in the wall: from inside outwards
	control.run(t, program(t, "ingot"), "peer", "init", "--data", s.data, "--name", "one")
	s.ramdisk()
	s.start()
	// A boot host that reaches nobody joins where it can, and its folder is carried to it.
	token := filepath.Join(b.data, "token")
	if err := os.WriteFile(token, []byte(control.run(t, "env", "INGOT_ENDPOINT=http://"+s.api, program(t, "ingot"), "peer", "invite", "boot1", "--data", s.data, "--roles", "boot",
		"--url", "https://"+controlSide+":"+peers)), 0o600); err != nil {
		t.Fatal(err)
	}
	control.run(t, program(t, "ingot"), "peer", "join", "--data", b.data, "--token-file", token)
	if err := os.Remove(token); err != nil {
		t.Fatal(err)
	}
	b.start()
	b.says("msg=serving")

	m := newMachine(t)
	m.listen = free(t, "127.0.0.1")
	relay(t, control, m.reach.host(), outside, m.reach.host())
	relay(t, control, m.listen, outside, m.listen)
	image := wholeDisk(16 * mib)
	source := serveIn(t, control, image)

	inside, outsideWall, toMachines := capture(t, wall, wallInside), capture(t, wall, wallOutside), capture(t, boot, bootOutside)
	n := s.enrol(t, m.reach, map[string]any{"properties": map[string]any{"root_device": map[string]any{"serial": "first"}}})
	n.available(soon)
	_, err = n.UpdateNode(t.Context(), n.name, []wire.PatchOp{client.Set("/instance_info", map[string]any{
		"image_source": source + "/image", "image_os_hash_algo": "sha256", "image_os_hash_value": sum(image)})}, false)
	if err != nil {
		t.Fatal(err)
	}
	n.ends(metal.VerbActive, metal.Active, soon)
	n.deployed(m, image)
	for _, e := range n.history() {
		if strings.Contains(e.Why, "stays on a boot host") {
			t.Error(e.Why)
		}
	}
	left, err := os.ReadDir(filepath.Join(b.data, "pushed"))
	if err != nil || len(left) > 0 {
		t.Errorf("the boot host keeps %v, %v", left, err)
	}
	onlyFrom(t, "into the control plane", inside(), wallInside, controlSide)
	onlyFrom(t, "between wall and boot host", outsideWall(), wallOutside)
	onlyFrom(t, "between boot host and machines", toMachines(), machineSide)
	b.knows(t, "canary-of-the-bmc", source)

	// And now from a shell on the boot host, and from the machines' side through it.
	inside, outsideWall = capture(t, wall, wallInside), capture(t, wall, wallOutside)
	outside.run(t, "ip", "route", "replace", controlSide+"/32", "via", bootOutside)
	for _, p := range []string{peers, door, media, apiPort} {
		for _, from := range []space{boot, outside} {
			if out, err := from.command("timeout", "1", "bash", "-c", "exec 3<>/dev/tcp/"+controlSide+"/"+p).CombinedOutput(); err == nil {
				t.Errorf("port %s of the control plane is reached from %q: %s", p, from, out)
			}
		}
	}
	for _, s := range inside() {
		if s.from != wallInside && s.from != controlSide {
			t.Errorf("into the control plane, while the boot host tries: %v", s)
		}
	}
	if tried := outsideWall(); !slices.ContainsFunc(tried, func(s syn) bool { return s.from == bootInside && s.to == controlSide+":"+door }) {
		t.Errorf("the capture does not see what the boot host tried: %v", tried)
	}
}

// onlyFrom sees that connections began, and only at these addresses.
func onlyFrom(t *testing.T, where string, seen []syn, from ...string) {
	t.Helper()
	if len(seen) == 0 {
		t.Errorf("%s: the capture saw nothing", where)
	}
	count := map[string]int{}
	for _, s := range seen {
		count[s.from+" → "+s.to]++
		if !slices.Contains(from, s.from) {
			t.Errorf("%s: %s asks for a connection to %s", where, s.from, s.to)
		}
	}
	t.Logf("%s: %v", where, count)
}

// knows sees that none of these words is in a server's data folder, and no database or key.
func (s *server) knows(t *testing.T, not ...string) {
	t.Helper()
	err := filepath.Walk(s.data, func(path string, info os.FileInfo, err error) error {
		if err != nil || info.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		for _, word := range not {
			if bytes.Contains(text, []byte(word)) {
				t.Errorf("%s holds %q", path, word)
			}
		}
		if strings.HasSuffix(path, ".db") || strings.HasSuffix(path, "ingot.key") || strings.HasSuffix(path, "authority.key") {
			t.Errorf("the boot host has %s", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// host is the address of a BMC without its scheme.
func (r reach) host() string { return strings.TrimPrefix(r.url, "https://") }

// serveIn serves an image on a namespace's loopback, where nobody else is.
func serveIn(t *testing.T, at space, image []byte) string {
	t.Helper()
	l := at.listen(t, free(t, "127.0.0.1"))
	h := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "", testStart, bytes.NewReader(image))
	})}
	ended := make(chan struct{})
	go func() { _ = h.Serve(l); close(ended) }() // Close ends it
	t.Cleanup(func() { _ = h.Close(); <-ended })
	return "http://" + l.Addr().String()
}

// relay makes connections to one address anew in another namespace.
func relay(t *testing.T, from space, at string, in space, to string) {
	t.Helper()
	l := from.listen(t, at)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				d, err := in.dial(to)
				if err != nil {
					return
				}
				defer d.Close()
				up := make(chan struct{})
				go func() { defer close(up); _, _ = io.Copy(d, c); _ = d.(*net.TCPConn).CloseWrite() }()
				_, _ = io.Copy(c, d)
				_ = c.(*net.TCPConn).CloseWrite()
				<-up
			}()
		}
	}()
}

// command is a program as it runs in a namespace.
func (s space) command(name string, args ...string) *exec.Cmd {
	if s != "" {
		name, args = "ip", append([]string{"netns", "exec", string(s), name}, args...)
	}
	return exec.Command(name, args...)
}

func (s space) run(t *testing.T, name string, args ...string) string {
	t.Helper()
	var wrong bytes.Buffer
	cmd := s.command(name, args...)
	cmd.Stderr = &wrong
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(fmt.Errorf("%s: %w\n%s%s", cmd, err, out, &wrong))
	}
	return string(out)
}
