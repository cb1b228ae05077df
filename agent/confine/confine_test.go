package confine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ingot/internal/fault"
	"ingot/internal/osdef"
	"ingot/internal/secret"
)

// confiner is one for a host that may have no control groups that bound: the bounds are shown in the lab.
func confiner(t *testing.T) *Confiner {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("confines scripts: needs root")
	}
	if _, err := exec.LookPath("bwrap"); err != nil {
		t.Skip("confines scripts: install bubblewrap")
	}
	c := &Confiner{unbounded: true}
	if err := c.Check(); err != nil {
		t.Skipf("confines scripts: %v", err)
	}
	return c
}

// bundle is a folder with one script.
func bundle(t *testing.T, script string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "create"), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func variables(pairs ...string) (out []osdef.Variable) {
	for _, p := range pairs {
		name, value, _ := strings.Cut(p, "=")
		out = append(out, osdef.Variable{Name: name, Value: secret.New(value)})
	}
	return out
}

// both are the two ways to run a script.
func both(c *Confiner) map[string]func(context.Context, Script) (int, error) {
	return map[string]func(context.Context, Script) (int, error){"confined": c.Run, "trusted": c.RunTrusted}
}

// What both ways have in common: exit codes, standard streams, further descriptors, the folder.
func TestAScriptRuns(t *testing.T) {
	c := confiner(t)
	for name, run := range both(c) {
		t.Run(name, func(t *testing.T) {
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			var out, complaints bytes.Buffer
			s := Script{Folder: bundle(t, `cat; echo "$1 in $(pwd)"; echo oh >&2; echo 42 >&3; exit 7`), Path: "create", Args: []string{"a b"},
				Env: variables("PATH=/usr/bin:/bin"), Stdin: strings.NewReader("dump "), Stdout: &out, Stderr: &complaints, ExtraFiles: []*os.File{w}}
			code, err := run(t.Context(), s)
			_ = w.Close()
			size, _ := io.ReadAll(r)
			if want := "dump a b in " + s.Folder + "\n"; err != nil || code != 7 || out.String() != want || complaints.String() != "oh\n" || string(size) != "42\n" {
				t.Errorf("%d %v %q %q %q", code, err, out.String(), complaints.String(), size)
			}
			s = Script{Folder: bundle(t, "kill -KILL $$"), Path: "create"}
			if code, err := run(t.Context(), s); code != 137 || err != nil {
				t.Errorf("one that a signal ends: %d %v", code, err)
			}
			ctx, cancel := context.WithCancelCause(t.Context())
			late := errors.New("too late")
			s = Script{Folder: bundle(t, "(trap '' TERM; setsid sleep 1000 & setsid sleep 1000) & echo ready; sleep 1000"), Path: "create", Env: s.Env,
				Stdout: onWrite(func([]byte) { cancel(late) })}
			if code, err := run(ctx, s); code != -1 || !errors.Is(err, late) {
				t.Errorf("one that never ends: %d %v", code, err)
			}
		})
	}
	left, err := filepath.Glob(parent.at + "/script-*")
	if err != nil || len(left) > 0 {
		t.Errorf("control groups are left: %v %v", left, err)
	}
}

// What a script said before it ended is taken to the last byte, however slow whoever takes it is: it may be a dump of a disk.
func TestREQ17WhatAScriptSaysIsTakenWhole(t *testing.T) {
	c := confiner(t)
	defer func(limit time.Duration) { pipeLimit = limit }(pipeLimit)
	pipeLimit = time.Nanosecond
	const size = 60_000 // a pipe holds it
	for name, run := range both(c) {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		got := 0
		slow := onWrite(func(b []byte) {
			if got == 0 { // not before all of the script is dead
				_ = w.Close()
				_, _ = io.Copy(io.Discard, r)
			}
			got += len(b)
		})
		s := Script{Folder: bundle(t, fmt.Sprintf("head -c %d /dev/zero", size)), Path: "create", Env: variables("PATH=/usr/bin:/bin"), Stdout: slow, ExtraFiles: []*os.File{w}}
		if code, err := run(t.Context(), s); code != 0 || err != nil || got != size {
			t.Errorf("%s: %d bytes of %d, %d, %v", name, got, size, code, err)
		}
		_ = r.Close()
	}
}

// Who got away with the other end of a pipe is not waited for, and adds no more than fits into it, whether it says nothing or does not stop.
func TestWhoGotAwayIsNotWaitedFor(t *testing.T) {
	defer func(limit time.Duration) { pipeLimit = limit }(pipeLimit)
	pipeLimit = time.Millisecond
	for name, endless := range map[string]bool{"says nothing": false, "does not stop": true} {
		var said, cmd = []byte(nil), exec.Cmd{}
		o, err := openOutputs(&cmd, Script{Stdout: onWrite(func(b []byte) { said = append(said, b...) })}, func(error) { t.Errorf("%s: it is stopped", name) })
		if err != nil {
			t.Fatal(err)
		}
		fd, err := unix.FcntlInt(o.pipes[0].into.Fd(), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		away := os.NewFile(uintptr(fd), "away")
		if _, err := away.WriteString("last words"); err != nil {
			t.Fatal(err)
		}
		var writer sync.WaitGroup
		if endless {
			writer.Go(func() {
				for {
					if _, err := away.WriteString(" and more"); err != nil {
						return // nobody reads any more
					}
				}
			})
		}
		o.begin()
		o.end(t.Context())
		select {
		case <-o.copied:
		default:
			t.Errorf("%s: it is still read", name)
		}
		writer.Wait()
		if !bytes.HasPrefix(said, []byte("last words")) || !endless && len(said) != len("last words") {
			t.Errorf("%s: %d bytes were taken: %.40q", name, len(said), said)
		}
		_ = away.Close()
	}
}

type onWrite func([]byte)

func (f onWrite) Write(p []byte) (int, error) {
	f(p)
	return len(p), nil
}

// What cannot be as it should be does not run.
func TestAScriptIsRefused(t *testing.T) {
	c := confiner(t)
	good := Script{Folder: bundle(t, "echo it ran"), Path: "create"}
	var out bytes.Buffer
	good.Stdout = &out
	for name, row := range map[string]struct {
		confiner Confiner
		change   func(*Script)
		kind     fault.Kind
		want     string
	}{
		"no bubblewrap":              {Confiner{unbounded: true, Bubblewrap: "/nonexistent/bwrap"}, nil, fault.NotSupported, "/nonexistent/bwrap"},
		"bubblewrap that fails":      {Confiner{unbounded: true, Bubblewrap: "/bin/false"}, nil, fault.NotSupported, "bubblewrap says"},
		"one that does nothing":      {Confiner{unbounded: true, Bubblewrap: "/bin/true"}, nil, fault.NotSupported, "bubblewrap says"},
		"a folder that is not there": {*c, func(s *Script) { s.Folder = "/nonexistent" }, fault.NotSupported, "surroundings"},
		"a relative folder":          {*c, func(s *Script) { s.Folder = "bundle" }, fault.Invalid, "no folder"},
		"a path that leads out":      {*c, func(s *Script) { s.Path = "../create" }, fault.Invalid, "no path"},
		"a disk that is not there":   {*c, func(s *Script) { s.Devices = []string{"/dev/nonexistent"} }, fault.Invalid, "no disk"},
		"a disk that is none":        {*c, func(s *Script) { s.Devices = []string{"/dev/null"} }, fault.Invalid, "no disk"},
		"a disk elsewhere":           {*c, func(s *Script) { s.Devices = []string{"/etc/passwd"} }, fault.Invalid, "no disk"},
		"a loader's variable":        {*c, func(s *Script) { s.Env = variables("LD_PRELOAD=/x") }, fault.Invalid, "LD_PRELOAD"},
	} {
		t.Run(name, func(t *testing.T) {
			s := good
			if row.change != nil {
				row.change(&s)
			}
			code, err := row.confiner.Run(t.Context(), s)
			var f *fault.Error
			if !errors.As(err, &f) || f.Kind != row.kind || code != -1 || !strings.Contains(f.Error(), row.want) {
				t.Errorf("%d %v", code, err)
			}
		})
	}
	if out.Len() > 0 {
		t.Error("a refused script said", out.String())
	}
}
