// Command pollbench measures how a conductor polls agents that call nobody: the processor time that it takes to keep up
// with many, and how long a machine waits for it.
//
//	pollbench [-agents N] [-flows N] [-rate PER-SECOND] [-interval DURATION] [-time DURATION] [-database postgres://…]
//
// All agents but the flows are held by an operation and asked for a sign of life every interval. Then the flows begin, some
// a second: each is a machine that is cleaned by hand with two steps, whose agent starts seconds after its power came. Of
// them is measured how long it takes from an agent that listens to the next command of the plan (it is asked until it is
// alive), and from the end of a command to the next (it is asked while it works).
//
// This process is the conductor, with its poller, workers and database; BMCs and the boot host are structs in it. The agents
// are in processes of their own: the agent's own server, each at an address of 127.0.0.0/8, with its own key pair, speaking to
// its commander alone. Every flow ends and so does the program, with a table. "make bench" calls it.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"
)

type options struct {
	agents, flows  int
	rate           float64
	interval, time time.Duration
	database       string
	child, verbose bool
}

func main() {
	var o options
	flag.IntVar(&o.agents, "agents", 10_000, "agents that are polled")
	flag.IntVar(&o.flows, "flows", 500, "of them those whose machines are cleaned meanwhile")
	flag.Float64Var(&o.rate, "rate", 5, "how many of these begin in a second")
	flag.DurationVar(&o.interval, "interval", 10*time.Second, "[agent] poll_interval")
	flag.DurationVar(&o.time, "time", time.Minute, "how long the processor time of polling alone is measured")
	flag.StringVar(&o.database, "database", "", "postgres://… (default: SQLite in a temporary folder)")
	flag.BoolVar(&o.child, "child", false, "be a process with agents; for this program itself")
	flag.BoolVar(&o.verbose, "debug", false, "log what the conductor does")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	run := bench
	if o.child {
		run = host
	}
	err := run(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "pollbench:", err)
		os.Exit(1)
	}
}

// logger says what goes wrong, or everything.
func logger(o options) *slog.Logger {
	level := slog.LevelError
	if o.verbose {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
}

// processor is the processor time that this process has taken.
func processor() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// peak is the most memory that this process had, MiB.
func peak() int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return u.Maxrss >> 10
}
