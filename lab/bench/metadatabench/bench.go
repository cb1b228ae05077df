package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"ingot/internal/api"
	"ingot/internal/metadata"
)

// bench measures the service on one kind of database.
func bench(ctx context.Context, o options, kind string) error {
	db, done, err := open(ctx, kind)
	if err != nil {
		return err
	}
	defer done()
	v, end, err := vendor()
	if err != nil {
		return err
	}
	defer end()
	defer v.Close()
	if err := fill(ctx, db, v, o.instances); err != nil {
		return err
	}
	debug.FreeOSMemory() // what filling took is not the service's
	c := metadata.Defaults()
	c.RateLimit = 0
	s, err := metadata.New(metadata.Options{Config: c, Instances: &metadata.Stored{DB: db, Vendor: v, Log: slog.New(slog.DiscardHandler)}})
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := api.Server(s, nil)
	go func() { _ = server.Serve(api.Crowd(l, 4096)) }() // until it is closed
	defer server.Close()
	sweep, stop := context.WithCancel(ctx)
	defer stop()
	go func() { _ = s.Run(sweep) }()
	for _, what := range []string{"boots", "pages"} {
		if err := measure(ctx, o, s, l.Addr().String(), kind, what); err != nil {
			return err
		}
	}
	return nil
}

// measure has the instances ask, in a process of their own.
func measure(ctx context.Context, o options, s *metadata.Service, at, kind, what string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	var most, held atomic.Int64
	watching, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		for tick := time.NewTicker(100 * time.Millisecond); watching.Err() == nil; <-tick.C {
			most.Store(max(most.Load(), resident()))
			_, bytes := s.Held()
			held.Store(max(held.Load(), int64(bytes)))
		}
	}()
	before := processor()
	child := exec.CommandContext(ctx, self, "-child", at, "-instances", strconv.Itoa(o.instances), "-workers", strconv.Itoa(o.workers), "-time", o.time.String(), what)
	child.Stderr = os.Stderr
	out, err := child.Output()
	if err != nil {
		return fmt.Errorf("the instances: %w", err)
	}
	cpu := processor() - before
	stop()
	var r result
	if err := json.Unmarshal(out, &r); err != nil {
		return err
	}
	if r.Failed > 0 || r.Requests == 0 {
		return fmt.Errorf("%d of %d requests failed: %s", r.Failed, r.Requests, r.Why)
	}
	runtime.GC()
	fmt.Printf("| %s | %s | %d | %.0f | %s | %s | %s | %s | %d MiB, %d MiB, %.1f MiB |\n", kind, what, r.Requests, float64(r.Requests)/r.Took.Seconds(), round(r.P50), round(r.P99), round(r.Most),
		round(cpu/time.Duration(r.Requests)), most.Load()>>20, resident()>>20, float64(held.Load())/(1<<20))
	return nil
}

func round(d time.Duration) time.Duration {
	if d > 10*time.Millisecond {
		return d.Round(time.Millisecond)
	}
	return d.Round(10 * time.Microsecond)
}

// processor is the processor time that this process has taken. A PostgreSQL is another process.
func processor() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// resident is the memory that this process has now. Source: Linux, proc_pid_statm(5).
func resident() int64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	words := strings.Fields(string(text))
	if len(words) < 2 {
		return 0
	}
	pages, _ := strconv.ParseInt(words[1], 10, 64)
	return pages * int64(os.Getpagesize())
}
