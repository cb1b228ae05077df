package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// running is the real program serving, as a process of its own.
type running struct {
	url   string // of the API
	dir   string // where it was started
	cmd   *exec.Cmd
	log   *journal
	ended chan struct{} // closed when the process is gone
}

// journal keeps what a process writes, for reading while it runs.
type journal struct {
	mu sync.Mutex
	b  bytes.Buffer // guarded by mu
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.String()
}

// serving starts "ingot serve" in dir on free loopback addresses and waits for its answer.
func serving(t *testing.T, dir string, args ...string) *running {
	t.Helper()
	var at [3]string
	for i := range at {
		address, err := free()
		if err != nil {
			t.Fatal(err)
		}
		at[i] = address
	}
	args = append([]string{"serve", "--listen", at[0], "--agent-listen", at[1], "--boot-listen", at[2]}, args...)
	r := begin(t, dir, nil, args...)
	r.url = "http://" + at[0]
	if err := answering(r.url); err != nil {
		t.Fatalf("%v\nlog:\n%s", err, r.log)
	}
	return r
}

// begin starts the program; env is added to what this process has. The process ends with the test.
func begin(t *testing.T, dir string, env []string, args ...string) *running {
	t.Helper()
	r := &running{dir: dir, cmd: exec.Command("ingot", args...), log: &journal{}, ended: make(chan struct{})}
	r.cmd.Dir, r.cmd.Stdout, r.cmd.Stderr = dir, r.log, r.log
	r.cmd.Env = append(os.Environ(), env...)
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = r.cmd.Wait() // how it ended is in ProcessState
		close(r.ended)
	}()
	t.Cleanup(func() { r.stop(t) })
	return r
}

// stop asks the program to end, as an init system does, and gives its exit status.
func (r *running) stop(t *testing.T) int {
	t.Helper()
	_ = r.cmd.Process.Signal(syscall.SIGTERM) // it may have ended already
	return r.wait(t, 20*time.Second)
}

func (r *running) wait(t *testing.T, limit time.Duration) int {
	t.Helper()
	select {
	case <-r.ended:
	case <-time.After(limit):
		_ = r.cmd.Process.Kill()
		<-r.ended
		t.Errorf("the program did not end within %s; its log:\n%s", limit, r.log)
	}
	return r.cmd.ProcessState.ExitCode()
}

// ingot runs one of our commands against the server and gives what it printed.
func (r *running) ingot(t *testing.T, args ...string) string {
	t.Helper()
	out, err := r.command(args...).CombinedOutput()
	if err != nil {
		t.Fatalf("ingot %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// call sends a request at the newest microversion and gives the answer's body.
func (r *running) call(t *testing.T, method, path string, body any, want int) []byte {
	t.Helper()
	var in io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		in = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, r.url+path, in)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-OpenStack-Ironic-API-Version", "latest")
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	out, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != want {
		t.Fatalf("%s %s: %s %v\n%s", method, path, res.Status, err, out)
	}
	return out
}

// untilField waits until a field of a node is what it should become.
func (r *running) untilField(t *testing.T, node, field string, want any) {
	t.Helper()
	var n map[string]any
	patiently(t, fmt.Sprintf("%s of node %s to become %v", field, node, want), func() bool {
		n = nil
		if err := json.Unmarshal(r.call(t, http.MethodGet, "/v1/nodes/"+node, nil, http.StatusOK), &n); err != nil {
			t.Fatal(err)
		}
		return n[field] == want
	})
}

// patiently looks again and again until so is true; what says what is waited for.
func patiently(t *testing.T, what string, so func() bool) {
	t.Helper()
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	limit := time.After(30 * time.Second)
	for !so() {
		select {
		case <-look.C:
		case <-limit:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}
