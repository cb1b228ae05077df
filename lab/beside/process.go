package beside

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"ingot/lab/ports"
)

const (
	// startLimit is how long a server may take until it answers: a busy host starts Python slowly.
	startLimit = time.Minute
	// stopLimit is how long one may take to end before it is killed.
	stopLimit = 15 * time.Second
)

// Server is one server that answers.
type Server struct {
	Name string
	URL  string // of the API, without trailing slash
	Dir  string // its files, logs among them

	processes []*process
}

// process is one program and what it forked: a process group of its own.
type process struct {
	cmd   *exec.Cmd
	log   string
	ended chan struct{}
}

// start runs a program whose output goes to DIR/NAME.log.
func (s *Server) start(name string, command ...string) error {
	log := filepath.Join(s.Dir, name+".log")
	out, err := os.Create(log)
	if err != nil {
		return err
	}
	defer out.Close()
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.Dir, out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		return err
	}
	p := &process{cmd: cmd, log: log, ended: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // how it ended is in its log
		close(p.ended)
	}()
	s.processes = append(s.processes, p)
	return nil
}

// Stop ends the server's processes, last started first.
func (s *Server) Stop() {
	for i := len(s.processes) - 1; i >= 0; i-- {
		p := s.processes[i]
		_ = syscall.Kill(p.cmd.Process.Pid, syscall.SIGTERM) // gone already is as good
		select {
		case <-p.ended:
		case <-time.After(stopLimit):
		}
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // its workers
		<-p.ended
	}
	s.processes = nil
}

// await asks path until it answers 200 and its body has the text.
func (s *Server) await(ctx context.Context, path, text string) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for {
		if s.has(ctx, path, text) {
			return nil
		}
		for _, p := range s.processes {
			select {
			case <-p.ended:
				return fmt.Errorf("%s ended at once; see %s:\n%s", s.Name, p.log, tail(p.log))
			default:
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s did not answer within %v; its logs are in %s", s.Name, startLimit, s.Dir)
		case <-time.After(100 * time.Millisecond): // between two looks
		}
	}
}

func (s *Server) has(ctx context.Context, path, text string) bool {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+path, nil)
	if err != nil {
		return false
	}
	r.Header.Set("X-OpenStack-Ironic-API-Version", "1.82")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return false
	}
	defer answer.Body.Close()
	var body bytes.Buffer
	_, err = body.ReadFrom(answer.Body)
	return err == nil && answer.StatusCode == http.StatusOK && strings.Contains(body.String(), text)
}

func tail(file string) string {
	b, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-2000):])
}

// freePorts finds TCP ports of loopback that nothing listens on at the moment.
func freePorts(n int) ([]int, error) {
	var found []int
	for range n {
		a, err := ports.Free("127.0.0.1")
		if err != nil {
			return nil, err
		}
		at, err := net.ResolveTCPAddr("tcp", a)
		if err != nil {
			return nil, err
		}
		found = append(found, at.Port)
	}
	return found, nil
}

// Usage is what a server has used, all its processes together.
type Usage struct {
	CPU      time.Duration // since each was started
	Resident int64         // bytes now; pages that processes share are counted once (PSS) where the kernel tells
}

// clockTick is the unit of times in /proc: USER_HZ, 100 on every Linux that Go runs on.
const clockTick = 10 * time.Millisecond

// Used reads it from /proc.
func (s *Server) Used() (Usage, error) {
	var all Usage
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return all, err
	}
	for _, name := range stats {
		b, err := os.ReadFile(name)
		if err != nil {
			continue // it ended meanwhile
		}
		_, rest, found := strings.Cut(string(b), ") ") // a program's name may have anything in it
		f := strings.Fields(rest)
		if !found || len(f) < 13 || !s.owns(f[2]) {
			continue
		}
		user, err1 := strconv.ParseInt(f[11], 10, 64)
		system, err2 := strconv.ParseInt(f[12], 10, 64)
		if err := errors.Join(err1, err2); err != nil {
			return all, fmt.Errorf("%s: %w", name, err)
		}
		all.CPU += time.Duration(user+system) * clockTick
		all.Resident += resident(filepath.Dir(name))
	}
	if all.Resident == 0 {
		return all, fmt.Errorf("%s has no process", s.Name)
	}
	return all, nil
}

// owns tells whether a process group is one of the server's.
func (s *Server) owns(group string) bool {
	for _, p := range s.processes {
		if strconv.Itoa(p.cmd.Process.Pid) == group {
			return true
		}
	}
	return false
}

// resident is a process's memory: its proportional share, or else all that is resident.
func resident(proc string) int64 {
	for _, from := range []struct{ file, key string }{{"smaps_rollup", "Pss:"}, {"status", "VmRSS:"}} {
		b, err := os.ReadFile(filepath.Join(proc, from.file))
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(b)) {
			if f := strings.Fields(line); len(f) >= 2 && f[0] == from.key {
				if kib, err := strconv.ParseInt(f[1], 10, 64); err == nil {
					return kib << 10
				}
			}
		}
	}
	return 0
}
