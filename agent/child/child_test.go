package child

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestMain makes this program what the tests run, where they name a part to play.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "play" {
		play(os.Args[2])
	}
	os.Exit(m.Run())
}

func play(part string) {
	switch part {
	case "echo":
		b, _ := os.ReadFile("/dev/stdin")
		fmt.Printf("%s env=%v dir=%v", b, os.Environ(), must(os.Getwd()))
		fmt.Fprint(os.Stderr, "complaint")
		os.Exit(3)
	case "flood":
		for {
			fmt.Println(strings.Repeat("x", 1000))
		}
	case "sleep":
		signal.Ignore(syscall.SIGTERM)
		time.Sleep(time.Hour)
	case "family": // leaves one behind in its group, which holds the pipe
		cmd := exec.Command(os.Args[0], "play", "sleep")
		cmd.Stdout = os.Stdout
		if err := cmd.Start(); err != nil {
			panic(err)
		}
		fmt.Print(cmd.Process.Pid)
		os.Exit(0)
	case "hungry":
		var all [][]byte
		for {
			all = append(all, bytes.Repeat([]byte{1}, 1<<20))
			if len(all) > 1000 {
				fmt.Print("had all of it")
				os.Exit(0)
			}
		}
	case "init": // the first process of a machine: its orphans are its own
		if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
			panic(err)
		}
		orphans()
	}
	os.Exit(0)
}

func must(s string, err error) string {
	if err != nil {
		panic(err)
	}
	return s
}

// orphans makes orphans and children at once, and says how they ended.
func orphans() {
	var c Children
	go c.Reap()
	ends := make(chan error, 8)
	for range cap(ends) {
		go func() {
			var out bytes.Buffer
			// sh starts another in the background, which outlives it in a session of its own.
			code, err := c.Run(context.Background(), Program{Path: "/bin/sh", Args: []string{"-c", "setsid sh -c 'exit 1' & exit 7"}, Env: []string{"PATH=/usr/bin:/bin"}, Stdout: &out})
			if err == nil && code != 7 {
				err = fmt.Errorf("code %d", code)
			}
			ends <- err
		}()
	}
	for range cap(ends) {
		if err := <-ends; err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
	for end := time.Now().Add(20 * time.Second); ; {
		if err := unix.Waitid(unix.P_ALL, 0, nil, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil); errors.Is(err, unix.ECHILD) {
			fmt.Print("all buried")
			os.Exit(0)
		}
		if time.Now().After(end) {
			fmt.Print("somebody is left")
			os.Exit(1)
		}
		time.Sleep(time.Millisecond)
	}
}

func self(part string) Program {
	return Program{Path: os.Args[0], Args: []string{"play", part}}
}

func TestRun(t *testing.T) {
	var c Children
	var out bytes.Buffer
	complaints := Tail{Limit: 5}
	p := self("echo")
	p.Env, p.Dir, p.Stdin, p.Stdout, p.Stderr = []string{"A=b"}, t.TempDir(), []byte("in"), &out, &complaints
	code, err := c.Run(t.Context(), p)
	if want := fmt.Sprintf("in env=[A=b] dir=%s", p.Dir); err != nil || code != 3 || out.String() != want || complaints.String() != "laint" {
		t.Errorf("%d %v %q %q", code, err, out.String(), complaints.String())
	}
	if _, err := c.Run(t.Context(), Program{Path: "/nonexistent"}); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	if len(c.mine) != 0 {
		t.Error("children are remembered after their end", c.mine)
	}
}

// full takes some output and no more.
type full struct{ left int }

func (f *full) Write(p []byte) (int, error) {
	if f.left -= len(p); f.left < 0 {
		return 0, errors.New("too much")
	}
	return len(p), nil
}

func TestAProgramIsEnded(t *testing.T) {
	var c Children
	p := self("flood")
	p.Stdout = &full{1 << 16}
	if _, err := c.Run(t.Context(), p); !errors.Is(err, ErrTooMuch) {
		t.Errorf("one that prints for ever: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	p = self("sleep")
	cancel()
	if _, err := c.Run(ctx, p); !errors.Is(err, context.Canceled) {
		t.Errorf("one that never ends: %v", err)
	}
	p = self("hungry")
	var out bytes.Buffer
	p.Stdout, p.Memory = &out, 256<<20
	if code, err := c.Run(t.Context(), p); code == 0 && err == nil || out.Len() > 0 {
		t.Errorf("one that takes all memory: %d %v %q", code, err, out.String())
	}
}

func TestNothingIsLeftOfAGroup(t *testing.T) {
	var c Children
	var out bytes.Buffer
	p := self("family")
	p.Stdout = &out
	code, err := c.Run(t.Context(), p)
	if code != 0 || err != nil {
		t.Fatal(code, err)
	}
	var pid int
	if _, err := fmt.Sscan(out.String(), &pid); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil || strings.Contains(string(stat), ") Z ") {
			return // gone, or dead and the test machine's first process has not looked yet
		}
	}
	t.Errorf("process %d goes on", pid)
}

func TestOrphansAreBuried(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), os.Args[0], "play", "init").CombinedOutput()
	if err != nil || string(out) != "all buried" {
		t.Errorf("%v %s", err, out)
	}
}
