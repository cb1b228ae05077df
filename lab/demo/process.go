package demo

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// say begins a part of the story, with the time since the beginning.
func (d *demo) say(format string, args ...any) {
	fmt.Fprintf(d.Out, "\n[%6.1f s] %s\n", time.Since(d.began).Seconds(), fmt.Sprintf(format, args...))
}

// line is one line inside a part.
func (d *demo) line(format string, args ...any) {
	fmt.Fprintf(d.Out, "    %s\n", strings.ReplaceAll(strings.TrimRight(fmt.Sprintf(format, args...), "\n"), "\n", "\n    "))
}

func (d *demo) endpoint() string { return "http://" + d.Listen }

func (d *demo) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, d.Program, args...)
	cmd.Dir = d.Dir
	cmd.Env = append(os.Environ(), "INGOT_ENDPOINT="+d.endpoint())
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 15 * time.Second
	return cmd
}

// ingot shows a command, runs it, and shows what it says as it says it. The result is its standard output.
func (d *demo) ingot(ctx context.Context, args ...string) (string, error) {
	d.line("$ ingot %s", shown(args))
	cmd := d.command(ctx, args...)
	var out bytes.Buffer
	// One pipe for both keeps the order in which things were said; the copy of standard output goes aside.
	r, w := io.Pipe()
	cmd.Stdout, cmd.Stderr = io.MultiWriter(&out, w), w
	told := make(chan error, 1)
	go func() {
		lines := bufio.NewScanner(r)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			d.line("  %s", lines.Text())
		}
		r.CloseWithError(lines.Err()) // a line too long must not block the command
		told <- lines.Err()
	}()
	err := cmd.Run()
	w.Close()
	if e := <-told; err == nil && e != nil {
		return "", fmt.Errorf("read what ingot %s says: %w", args[0], e)
	}
	if err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return "", fmt.Errorf("ingot %s: %w", shown(args[:min(2, len(args))]), err)
	}
	return out.String(), nil
}

// quiet runs a command whose output is for us only.
func (d *demo) quiet(ctx context.Context, args ...string) (string, error) {
	var said bytes.Buffer
	cmd := d.command(ctx, args...)
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("ingot %s: %w: %s", shown(args), err, strings.TrimSpace(said.String()))
	}
	return string(out), nil
}

// shown joins arguments as a shell would take them.
func shown(args []string) string {
	words := make([]string, len(args))
	for i, a := range args {
		words[i] = a
		if a == "" || strings.ContainsAny(a, " \t\n'\"$&;|<>*?()[]{}\\`!#~") {
			words[i] = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
	}
	return strings.Join(words, " ")
}

// server is `ingot serve`, running.
type server struct {
	cmd   *exec.Cmd
	ended chan struct{} // closed when it has ended; err is set before
	err   error
	log   string
}

func (s *server) pid() int { return s.cmd.Process.Pid }

// startServer runs `ingot serve` in a process group of its own, so that an interrupt from the keyboard
// reaches the demo first, which then ends things in order.
func (d *demo) startServer(ctx context.Context) (string, error) {
	boot := net.JoinHostPort(d.hostAddr, "6387")
	args := []string{"serve", "--data", d.path("data"), "--listen", d.Listen, "--agent-listen", net.JoinHostPort(d.hostAddr, "6386"),
		"--boot-listen", boot, "--boot-url", "http://" + boot}
	d.line("$ ingot %s &", shown(args))
	log, err := os.Create(d.path("serve.log"))
	if err != nil {
		return "", err
	}
	defer log.Close()
	// Not bound to ctx: it must outlive an interrupt until the machine is off, and with Keep the demo itself.
	cmd := d.command(context.WithoutCancel(ctx), args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return "", fmt.Errorf("start the server: %w", err)
	}
	s := &server{cmd: cmd, ended: make(chan struct{}), log: log.Name()}
	go func() { s.err = cmd.Wait(); close(s.ended) }()
	d.server = s
	d.undo = append(d.undo, s.stop)
	took, err := s.ready(ctx, d.endpoint()+"/v1")
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("it answers after %d ms; its log is %s", took.Milliseconds(), s.log), nil
}

// ready asks until the server answers.
func (s *server) ready(ctx context.Context, url string) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second) // it promises one; a busy host may be slow to start anything
	defer cancel()
	began := time.Now()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return 0, err
		}
		answer, err := http.DefaultClient.Do(req)
		if err == nil {
			answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return time.Since(began), nil
			}
			err = errors.New(answer.Status)
		}
		select {
		case <-s.ended:
			return 0, fmt.Errorf("the server ended at once (%v): %s", s.err, tail(s.log, 10))
		case <-ctx.Done():
			return 0, fmt.Errorf("the server does not answer: %w", err)
		case <-again.C:
		}
	}
}

// stop asks the server to end, and ends it if it does not.
func (s *server) stop(ctx context.Context) error {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("end the server: %w", err)
	}
	select {
	case <-s.ended:
		return nil
	case <-ctx.Done():
	case <-time.After(15 * time.Second): // it gives up its leases and closes the store first
	}
	if err := s.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill the server: %w", err)
	}
	<-s.ended
	return errors.New("the server did not end when asked and was killed")
}

// explain shows, after a failure, what there is to see.
func (d *demo) explain(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	d.say("that failed; this is what there is to see")
	if d.nodeMade {
		for _, args := range [][]string{{"node", "why", nodeName}, {"node", "events", nodeName}, {"node", "logs", nodeName}} {
			if _, err := d.ingot(ctx, args...); err != nil {
				d.line("%v", err)
			}
		}
	}
	if d.server != nil {
		d.line("the end of %s:\n%s", d.server.log, tail(d.server.log, 15))
	}
	if d.machine.ConsolePath != "" {
		d.line("the end of the machine's console, %s:\n%s", d.machine.ConsolePath, tail(d.machine.ConsolePath, 25))
	}
	if d.Dir != "" {
		d.line("everything else is in %s", filepath.Clean(d.Dir))
	}
}

// tail gives the last lines of a file, as far as they are in its last 64 KiB.
func tail(name string, lines int) string {
	f, err := os.Open(name)
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() > 64<<10 {
		if _, err := f.Seek(-64<<10, io.SeekEnd); err != nil {
			return err.Error()
		}
	}
	text, err := io.ReadAll(f)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimRight(string(text), "\r\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
