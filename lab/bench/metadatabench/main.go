// Command metadatabench measures the metadata service with many instances: requests per second, how long they take, and the memory
// that the service holds.
//
//	metadatabench [-instances N] [-time DURATION] [-database sqlite|postgres|both]
//
// This process is the service, on a real socket with the limits that our listeners have (but for the rate of one instance), over a
// database with that many deployed instances, each at an address of its own in 127.0.0.0/8, with user data and a vendordata target's
// answer. The instances are another process. First all of them boot: each asks what cloud-init asks, over a new connection each time.
// Then they ask for random pages over connections that stay open. "make bench" calls it.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

type options struct {
	instances, workers int
	time               time.Duration
	database           string
	child              string // host and port of the service
}

func main() {
	var o options
	flag.IntVar(&o.instances, "instances", 10_000, "instances that are deployed")
	flag.IntVar(&o.workers, "workers", 32, "instances that ask at the same time")
	flag.DurationVar(&o.time, "time", 20*time.Second, "how long random pages are asked for")
	flag.StringVar(&o.database, "database", "both", "sqlite, postgres (a private one, of Debian's package) or both")
	flag.StringVar(&o.child, "child", "", "be the instances of a service at this address; for this program itself")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "metadatabench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	if o.child != "" {
		return instances(ctx, o)
	}
	fmt.Printf("%d instances, each with 2 KiB of user data and the answer of a vendordata target; %d ask at the same time, from another process:\n\n", o.instances, o.workers)
	fmt.Println("| database | what | requests | per second | p50 | p99 | most | processor of the service, each | memory of the service: most, at the end, of it instances |")
	fmt.Println("|---|---|---|---|---|---|---|---|---|")
	for _, kind := range []string{"sqlite", "postgres"} {
		if o.database != kind && o.database != "both" {
			continue
		}
		if err := bench(ctx, o, kind); err != nil {
			return fmt.Errorf("%s: %w", kind, err)
		}
	}
	return nil
}
