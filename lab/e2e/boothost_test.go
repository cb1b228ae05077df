package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/peer"
	"ingot/internal/secret"
	"ingot/lab/bmc"
)

// TestBootHost boots a machine from an ISO that a boot host serves: a process that connects to nobody, and serves
// nothing any more when the operation has ended.
func TestBootHost(t *testing.T) {
	beside(t)
	peers, push := free(t, "127.0.0.1"), free(t, "127.0.0.1")
	s := serve(t, "127.0.0.1", "deploy.boot_hosts=boot1=https://"+push)
	c := &cluster{t: t, one: s}
	c.ingot("peer", "init", "--data", s.data, "--name", "one")
	s.args = []string{"--peer-listen", peers}
	s.ramdisk()
	s.start()

	b := serve(t, "127.0.0.1")
	token := filepath.Join(b.data, "token")
	if err := os.WriteFile(token, []byte(c.ingot("peer", "invite", "boot1", "--data", s.data, "--roles", "boot", "--url", "https://"+peers)), 0o600); err != nil {
		t.Fatal(err)
	}
	c.ingot("peer", "join", "--data", b.data, "--token-file", token)
	b.noAPI, b.args = true, []string{"--roles", "boot", "--peer-listen", push}
	b.start()
	b.says("msg=serving")
	outgoing := b.watchSockets(push)

	m := newMachine(t)
	n := s.enrol(t, m.reach, map[string]any{"properties": map[string]any{"root_device": map[string]any{"serial": "first"}}})
	n.ends(metal.VerbManage, metal.Manageable, soon)
	m.silence(true)
	n.ask(metal.VerbProvide)
	n.until("wait for agent")
	var media struct{ Image string }
	n.read(bmc.MediaPath, &media)
	if !strings.HasPrefix(media.Image, "http://"+b.boot+"/pushed/") || !strings.HasSuffix(media.Image, "/boot.iso") {
		t.Fatalf("the drive holds %q, not what the boot host at %s serves", media.Image, b.boot)
	}
	if code, part := got(t, media.Image, "bytes=1-9"); code != http.StatusPartialContent || len(part) != 9 {
		t.Errorf("a range of the ISO: %d, %q", code, part)
	}
	for _, path := range []string{"/", "/pushed", "/pushed/", "/pushed/" + strings.Repeat("A", 43) + "/boot.iso", "/v1/files", "/boot/", "/files/"} {
		if code, body := got(t, "http://"+b.boot+path, ""); code != http.StatusNotFound || len(body) > 100 {
			t.Errorf("%s: %d %q", path, code, body)
		}
	}
	b.kill() // what was pushed is still there
	b.start()
	await(t, soon, "the boot host after a kill", func() (bool, error) {
		res, err := http.Get("http://" + b.boot + "/healthz")
		if err != nil {
			return false, nil
		}
		return res.StatusCode == http.StatusOK, res.Body.Close()
	})
	again := b.watchSockets(push)
	if code, _ := got(t, media.Image, ""); code != http.StatusOK {
		t.Errorf("after a restart the ISO is answered %d", code)
	}
	b.strangers(push)

	n.ask(metal.VerbAbort)
	n.rests(metal.CleanFailed, soon)
	b.nothing(media.Image)
	m.silence(false)
	n.ends(metal.VerbManage, metal.Manageable, soon)
	n.ends(metal.VerbProvide, metal.Available, soon)
	if boots := m.Boots(); len(boots) < 2 || boots[len(boots)-1].First != "Cd" {
		t.Errorf("the machine booted %+v", boots)
	}
	n.nothingLeft()
	b.nothing(media.Image)
	for _, seen := range [][]string{outgoing(), again()} {
		if len(seen) > 0 {
			t.Errorf("the boot host has connections of its own: %v", seen)
		}
	}
	for _, e := range n.history() {
		if strings.Contains(e.Why, "stays on a boot host") {
			t.Error(e.Why)
		}
	}
}

func got(t *testing.T, url, part string) (int, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if part != "" {
		req.Header.Set("Range", part)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, body
}

// nothing sees that a boot host serves an address no more, and keeps no file.
func (s *server) nothing(url string) {
	s.t.Helper()
	if code, _ := got(s.t, url, ""); code != http.StatusNotFound {
		s.t.Errorf("after the operation's end the ISO is answered %d", code)
	}
	left, err := os.ReadDir(filepath.Join(s.data, "pushed"))
	if err != nil || len(left) > 0 {
		s.t.Errorf("after the operation's end the boot host keeps %v, %v", left, err)
	}
}

// strangers sees that a server of another cluster can push nothing.
func (s *server) strangers(push string) {
	s.t.Helper()
	dir := s.t.TempDir()
	if _, err := peer.Init(dir, "one", []peer.Role{peer.Conductor}, secret.New("another cluster's key"), time.Hour); err != nil {
		s.t.Fatal(err)
	}
	p, err := peer.Open(peer.Options{Config: peer.Defaults(), Dir: dir})
	if err != nil {
		s.t.Fatal(err)
	}
	content := []byte("foreign")
	sum := sha256.Sum256(content)
	f := peer.ShelfFile{Name: strings.Repeat("f", 43), Size: int64(len(content)), SHA256: hex.EncodeToString(sum[:]), Expires: time.Now().Add(time.Minute)}
	at := peer.Server{Name: "boot1", URL: "https://" + push}
	if err := p.Push(s.t.Context(), at, f, bytes.NewReader(content)); fault.KindOf(err) != fault.Unavailable {
		s.t.Errorf("a foreign certificate's push: %v", err)
	}
	if code, _ := got(s.t, "http://"+s.boot+"/pushed/"+f.Name+"/x", ""); code != http.StatusNotFound {
		s.t.Errorf("what a stranger pushed is answered %d", code)
	}
}

// watchSockets looks at the process's TCP sockets all the time. What it returns ends that, and gives those that
// are not at its own listeners.
func (s *server) watchSockets(listeners ...string) func() []string {
	s.t.Helper()
	listeners = append(listeners, s.boot)
	pid, quit, done := s.cmd.Process.Pid, make(chan struct{}), make(chan []string)
	go func() {
		seen, own := []string{"no listener of its own"}, 0
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for {
			for _, local := range sockets(pid) {
				if slices.Contains(listeners, local) {
					if own++; own == 1 {
						seen = seen[1:]
					}
				}
				if !slices.Contains(listeners, local) && !slices.Contains(seen, local) {
					seen = append(seen, local)
				}
			}
			select {
			case <-quit:
				done <- seen
				return
			case <-tick.C:
			}
		}
	}()
	return sync.OnceValue(func() []string { close(quit); return <-done })
}

// sockets are the local addresses of a process's TCP sockets over IPv4; all of IPv6 are told as they are.
func sockets(pid int) (out []string) {
	own := map[string]bool{}
	fds, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	for _, fd := range fds {
		if to, err := os.Readlink(fd); err == nil {
			own[strings.TrimSuffix(strings.TrimPrefix(to, "socket:["), "]")] = true
		}
	}
	for _, table := range []string{"tcp", "tcp6", "udp", "udp6"} {
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", pid, table))
		for _, line := range strings.Split(string(text), "\n")[1:] {
			f := strings.Fields(line)
			if len(f) < 10 || !own[f[9]] {
				continue
			}
			_, port, _ := strings.Cut(f[1], ":")
			n, err := strconv.ParseUint(port, 16, 16)
			if err != nil || table != "tcp" {
				out = append(out, table+" "+f[1])
				continue
			}
			out = append(out, fmt.Sprintf("127.0.0.1:%d", n))
		}
	}
	return out
}

// TestABootHostSaysWhatItNeeds starts it without what it needs.
func TestABootHostSaysWhatItNeeds(t *testing.T) {
	beside(t)
	for want, args := range map[string][]string{
		"has no certificate yet":          {"--roles", "boot", "--peer-listen", "127.0.0.1:0"},
		"nobody could push anything here": {"--roles", "boot"},
		"has the role boot alone":         {"--roles", "boot,api"},
	} {
		cmd := exec.Command(program(t, "ingot"), append([]string{"serve", "--data", t.TempDir(), "--boot-listen", "127.0.0.1:0"}, args...)...)
		if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), want) {
			t.Errorf("%v: %v\n%s", args, err, out)
		}
	}
}
