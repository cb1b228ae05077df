package e2e

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// scratch is removed when all tests are over; "" until something is built.
var scratch string

// atOnce is how many tests run at a time. They wait for other processes far more than they compute; those with QEMU machines
// wait for each other, too.
const atOnce = "26"

func TestMain(m *testing.M) {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		if err := flag.Set("test.parallel", atOnce); err != nil {
			panic(err)
		}
	}
	code := m.Run()
	if scratch != "" {
		if err := os.RemoveAll(scratch); err != nil {
			fmt.Fprintln(os.Stderr, "e2e:", err)
		}
	}
	os.Exit(code)
}

// besides are the tests that emulate their machines in a process: many of them run side by side.
var besides sync.WaitGroup

// beside runs a test beside others. Every test of the package has said so before the first of them goes on.
func beside(t *testing.T) {
	besides.Add(1)
	t.Cleanup(besides.Done)
	t.Parallel()
}

// places are where QEMU machines stand. One computes all the time, so there are as many as processors.
var places = make(chan struct{}, runtime.NumCPU())

// takePlace runs a test with a QEMU machine when those without are over and a place is free.
func takePlace(t *testing.T) {
	t.Helper()
	t.Parallel()
	besides.Wait()
	places <- struct{}{}
	t.Cleanup(func() { <-places })
}

// build makes ingot and ingot-agent as `make build` does, once for all tests.
var build = sync.OnceValues(func() (dir string, err error) {
	if scratch, err = os.MkdirTemp("", "ingot-e2e-"); err != nil {
		return "", err
	}
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", scratch, "ingot/cmd/ingot", "ingot/cmd/ingot-agent")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the programs: %w\n%s", err, out)
	}
	return scratch, nil
})

// program is the path of ingot or ingot-agent.
func program(t *testing.T, name string) string {
	t.Helper()
	dir, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, name)
}

// await looks until ok, an error or the limit.
func await(t *testing.T, limit time.Duration, what string, look func() (ok bool, err error)) {
	t.Helper()
	end := time.After(limit)
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		ok, err := look()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if ok {
			return
		}
		select {
		case <-end:
			t.Fatalf("%s: not within %s", what, limit)
		case <-t.Context().Done():
			t.Fatalf("%s: %v", what, t.Context().Err())
		case <-again.C:
		}
	}
}

// contains tells whether text has all words, whatever the case.
func contains(text string, words ...string) bool {
	for _, w := range words {
		if !strings.Contains(strings.ToLower(text), strings.ToLower(w)) {
			return false
		}
	}
	return true
}
