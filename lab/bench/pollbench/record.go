package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// recorder takes in what the agents tell.
type recorder struct {
	mu     sync.Mutex
	counts map[what]int               // guarded by mu
	since  map[string]moment          // what a node waits after, guarded by mu
	found  map[string]time.Time       // when the agents of nodes listened, guarded by mu
	took   map[string][]time.Duration // by what was awaited, guarded by mu
	told   chan struct{}
}

// moment is something that a machine waits after.
type moment struct {
	what what
	at   time.Time
}

func newRecorder() *recorder {
	return &recorder{counts: map[what]int{}, since: map[string]moment{}, found: map[string]time.Time{}, took: map[string][]time.Duration{}, told: make(chan struct{}, 1)}
}

func (r *recorder) run(all <-chan seen) {
	for s := range all {
		r.note(s)
		select {
		case r.told <- struct{}{}:
		default: // told already
		}
	}
}

func (r *recorder) note(s seen) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counts[s.What]++
	switch s.What {
	case listens:
		r.found[s.Node], r.since[s.Node] = s.At, moment{listens, s.At}
	case asked:
		if at, ok := r.found[s.Node]; ok {
			r.took["found"] = append(r.took["found"], s.At.Sub(at))
			delete(r.found, s.Node)
		}
	case ended:
		r.since[s.Node] = moment{ended, s.At}
	case ordered, poweroff:
		if m, ok := r.since[s.Node]; ok {
			r.took[string(m.what)] = append(r.took[string(m.what)], s.At.Sub(m.at))
			delete(r.since, s.Node)
		}
	}
}

func (r *recorder) count(w what) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.counts[w]
}

// forget drops what was measured until now.
func (r *recorder) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.took)
	clear(r.found)
	clear(r.since)
}

// latencies are the times from an agent that listens until it was asked and until its first command, and from the end of a
// command to the next.
func (r *recorder) latencies() (found, ordered, next []time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Sorted(slices.Values(r.took["found"])), slices.Sorted(slices.Values(r.took[string(listens)])), slices.Sorted(slices.Values(r.took[string(ended)]))
}

// until waits until so much was told of.
func (r *recorder) until(ctx context.Context, w what, n int, limit time.Duration) error {
	end := time.NewTimer(limit)
	defer end.Stop()
	for r.count(w) < n {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-end.C:
			return fmt.Errorf("%d of %d agents: %s", r.count(w), n, w)
		case <-r.told:
		}
	}
	return nil
}

// at gives the p-th part of a sorted list, rounded for people.
func at(list []time.Duration, p float64) time.Duration {
	if len(list) == 0 {
		return 0
	}
	return list[min(len(list)-1, int(p*float64(len(list))))].Round(time.Millisecond)
}

func print(o options, out outcome) {
	held, on := o.agents-o.flows, "SQLite"
	if o.database != "" {
		on = "PostgreSQL"
	}
	cores := func(cpu, over time.Duration) string { return fmt.Sprintf("%.2f", cpu.Seconds()/over.Seconds()) }
	fmt.Printf("%d agents, asked every %s, mutual TLS over connections that stay open, %s; the conductor's process:\n\n", held, o.interval, on)
	fmt.Println("| what | processors | |")
	fmt.Println("|---|---|---|")
	fmt.Printf("| meeting all: handshake, hardware, node_info | %s | %s, %.0f a second |\n", cores(out.meetCPU, out.meet), out.meet.Round(time.Second), float64(held)/out.meet.Seconds())
	fmt.Printf("| asking all | %s | %s for one answer, %d connections made anew |\n", cores(out.idleCPU, o.time),
		time.Duration(out.idleCPU.Seconds()/o.time.Seconds()*o.interval.Seconds()/float64(held)*1e9).Round(time.Microsecond), out.idleAnew)
	fmt.Printf("| asking all, and %d machines cleaned, %g begun a second | %s | %s, %d failed |\n", o.flows, o.rate, cores(out.flowsCPU, out.flows), out.flows.Round(time.Second), out.failed)
	fmt.Printf("\npeak memory %d MiB\n\n", peak())
	fmt.Println("| from … to | number | p50 | p99 | most |")
	fmt.Println("|---|---|---|---|---|")
	for _, l := range []struct {
		what string
		list []time.Duration
	}{{"agent listens … first question", out.found}, {"agent listens … first command of the plan", out.ordered}, {"end of a command … next command", out.next}} {
		fmt.Printf("| %s | %d | %s | %s | %s |\n", l.what, len(l.list), at(l.list, 0.5), at(l.list, 0.99), at(l.list, 1))
	}
}
