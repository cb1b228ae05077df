// Command apibench measures the REST API of our server beside that of Debian's Ironic, one after the other in the same
// run: requests per second, the 99th percentile of their times, the processor time that the server takes for one, and
// the memory it has in the end.
//
//	apibench [-ingot PROGRAM] [-nodes N] [-clients N] [-time DURATION] [-only ironic|ingot] [-dir DIR]
//
// Both run as a user gets them: Ironic's API with its default number of workers and its conductor, our server with all
// its roles; both with fake hardware, a SQLite file in WAL, and everything flushed to disk. The same client sends the
// same requests over the same number of connections that stay open. Every kind of request runs for a fixed time after a
// warm-up, so the load ends by itself. It prints a table and the ratios. "make bench" calls it; nothing else does.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"ingot/lab/beside"
)

type options struct {
	program, only, dir string
	nodes, clients     int
	time               time.Duration
}

func main() {
	var o options
	flag.StringVar(&o.program, "ingot", "bin/ingot", "our server")
	flag.StringVar(&o.only, "only", "", "measure only ironic or ingot")
	flag.StringVar(&o.dir, "dir", "", "keep databases and logs here (default: a temporary folder)")
	flag.IntVar(&o.nodes, "nodes", 1000, "nodes there are")
	flag.IntVar(&o.clients, "clients", 8, "connections")
	flag.DurationVar(&o.time, "time", 5*time.Second, "how long each kind of request is measured")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM) // the servers must go
	err := run(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "apibench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) (err error) {
	if o.dir == "" {
		if o.dir, err = os.MkdirTemp("", "apibench"); err != nil {
			return err
		}
		defer os.RemoveAll(o.dir)
	}
	var theirs, ours []result
	if o.only != "ingot" {
		theirs, err = measure(ctx, o, "ironic", ironic)
		if errors.Is(err, beside.ErrNoIronic) {
			fmt.Println("Ironic is left out:", err)
			err = nil
		}
		if err != nil {
			return err
		}
	}
	if o.only != "ironic" {
		if ours, err = measure(ctx, o, "ingot", ingot); err != nil {
			return err
		}
	}
	print(theirs, ours, o, beside.IronicVersion(ctx))
	return nil
}

// starter starts a server in dir and, once nodes are there, makes some of them wait for their agents.
type starter func(ctx context.Context, o options, dir string, fill func(*beside.Server) error) (*beside.Server, error)

// measure runs every kind of request against one server.
func measure(ctx context.Context, o options, name string, start starter) ([]result, error) {
	dir := filepath.Join(o.dir, name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	s, err := start(ctx, o, dir, func(s *beside.Server) error { return fill(ctx, s, o) })
	if err != nil {
		return nil, err
	}
	defer s.Stop()
	tokens, err := tokens(ctx, s)
	if err != nil {
		return nil, err
	}
	var out []result
	for _, k := range kinds(o, tokens) {
		r, err := load(ctx, s, k, o)
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", s.Name, k.name, err)
		}
		out = append(out, r)
	}
	return out, nil
}

// print prints what was measured, and how many times theirs ours is.
func print(theirs, ours []result, o options, version string) {
	fmt.Printf("%d nodes, %d connections, %v each; Ironic %s\n\n", o.nodes, o.clients, o.time, version)
	fmt.Println("| request | Ironic: per second | p99 | processor | here: per second | p99 | processor | rate | processor |")
	fmt.Println("|---|---|---|---|---|---|---|---|---|")
	for i := range max(len(theirs), len(ours)) {
		var t, u result
		if i < len(theirs) {
			t = theirs[i]
		}
		if i < len(ours) {
			u = ours[i]
		}
		fmt.Printf("| %s | %s | %s | %s |\n", t.name+map[bool]string{true: u.name}[t.name == ""], t, u, ratios(t, u))
	}
	if len(theirs) > 0 && len(ours) > 0 {
		t, u := theirs[len(theirs)-1].resident, ours[len(ours)-1].resident
		fmt.Printf("\nMemory in the end: Ironic %.0f MiB, here %.0f MiB: %.2f of it.\n", mib(t), mib(u), float64(u)/float64(t))
	}
}

func mib(n int64) float64 { return float64(n) / (1 << 20) }

func ratios(t, u result) string {
	if t.count == 0 || u.count == 0 {
		return "| "
	}
	return fmt.Sprintf("%.0f× | 1/%.0f", u.rate()/t.rate(), t.cpuEach().Seconds()/u.cpuEach().Seconds())
}
