package main

import (
	"context"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"ingot/internal/client"
)

// certified NODE waits until the node has an erase certificate.
func certified(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: certified NODE")
	}
	c, err := client.New(ts.Getenv("INGOT_ENDPOINT"), client.Options{})
	ts.Check(err)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	for {
		list, err := c.Erasures(ctx, args[0])
		ts.Check(err)
		if len(list) > 0 {
			return
		}
		select {
		case <-ctx.Done():
			ts.Fatalf("node %s has no certificate within a minute", args[0])
		case <-look.C:
		}
	}
}
