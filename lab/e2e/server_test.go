package e2e

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"ingot/internal/client"
	"ingot/lab/ports"
)

// server is `ingot serve` as a process, on a data folder of its own. Its addresses stay the same when it is
// killed and started again.
type server struct {
	*client.Client
	t                *testing.T
	data, log        string
	api, agent, boot string
	env, args        []string // args are added to the command line
	in               space    // where it runs
	noAPI            bool     // it serves none: others tell whether it is there
	cmd              *exec.Cmd
	ended            chan struct{}
}

// serve starts a server whose machines reach it at host. options are "section.option=value".
func serve(t *testing.T, host string, options ...string) *server {
	t.Helper()
	dir := t.TempDir()
	s := &server{t: t, data: filepath.Join(dir, "data"), log: filepath.Join(dir, "serve.log"), api: free(t, "127.0.0.1"), agent: free(t, host),
		boot: free(t, host), env: os.Environ()}
	for _, o := range options {
		name, value, _ := strings.Cut(o, "=")
		s.env = append(s.env, "INGOT_"+strings.ToUpper(strings.Replace(name, ".", "__", 1))+"="+value)
	}
	if err := os.MkdirAll(s.data, 0o700); err != nil {
		t.Fatal(err)
	}
	var err error
	// A client of the test's own connections: a killed server's must not be used again.
	if s.Client, err = client.New("http://"+s.api, client.Options{HTTP: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.stop)
	return s
}

// free finds an address where nobody listens now.
func free(t *testing.T, host string) string {
	t.Helper()
	a, err := ports.Free(host)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// start runs the process and returns when it answers.
func (s *server) start() {
	s.t.Helper()
	log, err := os.OpenFile(s.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	defer log.Close()
	s.cmd = s.in.command(program(s.t, "ingot"), "serve", "--data", s.data, "--listen", s.api, "--agent-listen", s.agent, "--boot-listen", s.boot)
	s.cmd.Args = append(s.cmd.Args, s.args...)
	s.cmd.Env, s.cmd.Stdout, s.cmd.Stderr = s.env, log, log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	ended := make(chan struct{})
	s.ended = ended
	go func() { s.cmd.Wait(); close(ended) }()
	if s.noAPI {
		return
	}
	await(s.t, 20*time.Second, "the server's first answer", func() (bool, error) {
		select {
		case <-ended:
			return false, fmt.Errorf("it ended at once: %s", s.cmd.ProcessState)
		default:
		}
		answer, err := http.Get("http://" + s.api + "/v1")
		if err != nil {
			return false, nil
		}
		_, _ = io.Copy(io.Discard, answer.Body)
		return answer.StatusCode == http.StatusOK, answer.Body.Close()
	})
}

// kill ends the process as a power cut would, at whatever it is doing.
func (s *server) kill() {
	s.t.Helper()
	if err := s.cmd.Process.Kill(); err != nil {
		s.t.Fatal(err)
	}
	<-s.ended
}

// stop ends the process in good order and shows its log if the test failed.
func (s *server) stop() {
	if s.cmd == nil || s.cmd.Process == nil {
		return
	}
	_ = s.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	select {
	case <-s.ended:
	case <-time.After(20 * time.Second):
		s.t.Error("the server does not end when asked")
		_ = s.cmd.Process.Kill()
		<-s.ended
	}
	if text, err := os.ReadFile(s.log); s.t.Failed() && err == nil {
		s.t.Logf("the server's log:\n%s", text[max(0, len(text)-20_000):])
	}
}
