package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"ingot/lab/beside"
)

// ingotMore serves agents where Ironic serves them: at the same address as everybody.
const ingotMore = "[api]\nramdisk_endpoints_public = true\n"

type options struct {
	program, explained, only, report, dir string
}

func main() {
	var o options
	flag.StringVar(&o.program, "ingot", "bin/ingot", "our server")
	flag.StringVar(&o.explained, "explained", "docs/compatibility.md", "the document that explains differences")
	flag.StringVar(&o.only, "only", "", "only scripts whose name begins with one of these words, divided by commas; rows that explain nothing are no failure then")
	flag.StringVar(&o.report, "report", "", "write every unexplained difference to this file")
	flag.StringVar(&o.dir, "dir", "", "keep databases and logs here (default: a temporary folder)")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM) // the servers must go
	ok, err := run(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "oracle:", err)
	}
	if err != nil || !ok {
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) (bool, error) {
	document, err := os.ReadFile(o.explained)
	if err != nil {
		return false, err
	}
	rows, err := readRows(string(document))
	if err != nil {
		return false, fmt.Errorf("%s: %w", o.explained, err)
	}
	steps, err := load()
	if err != nil {
		return false, err
	}
	if o.dir == "" {
		if o.dir, err = os.MkdirTemp("", "oracle"); err != nil {
			return false, err
		}
		defer os.RemoveAll(o.dir)
	}
	theirs, ours, err := startBoth(ctx, o)
	if err != nil {
		return false, err
	}
	defer theirs.Stop()
	defer ours.Stop()
	began := time.Now()
	t := &tally{rows: rows, version: beside.IronicVersion(ctx)}
	for _, st := range steps {
		if !wanted(st.place, o.only) {
			continue
		}
		if err := do(ctx, st, theirs, ours, t); err != nil {
			return false, err
		}
	}
	t.print(os.Stdout, time.Since(began), o.only == "")
	if o.report != "" {
		if err := os.WriteFile(o.report, []byte(t.list()), 0o644); err != nil {
			return false, err
		}
	}
	return t.passed(o.only == ""), nil
}

// wanted tells whether a step's script is one of those that were asked for.
func wanted(place, only string) bool {
	return slices.ContainsFunc(strings.Split(only, ","), func(word string) bool { return strings.HasPrefix(place, word) })
}

func startBoth(ctx context.Context, o options) (theirs, ours *side, err error) {
	dirs := [2]string{filepath.Join(o.dir, "ironic"), filepath.Join(o.dir, "ingot")}
	for _, d := range dirs {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, nil, err
		}
	}
	a, err := beside.StartIronic(ctx, dirs[0])
	if err != nil {
		return nil, nil, err
	}
	b, err := beside.StartIngot(ctx, o.program, dirs[1], ingotMore)
	if err != nil {
		a.Stop()
		return nil, nil, err
	}
	return newSide(a), newSide(b), nil
}

// do takes one step on both servers.
func do(ctx context.Context, st step, theirs, ours *side, t *tally) error {
	switch st.do {
	case keep:
		theirs.keep(st.name, st.path)
		ours.keep(st.name, st.path)
	case wait:
		var late [2]error
		var both errgroup.Group
		both.Go(func() error { late[0] = theirs.wait(ctx, st); return nil })
		both.Go(func() error { late[1] = ours.wait(ctx, st); return nil })
		_ = both.Wait()
		t.waited(st, late[0], late[1])
		return ctx.Err()
	case send:
		for _, v := range st.versions {
			var a [2]answer
			both, ctx := errgroup.WithContext(ctx)
			both.Go(func() (err error) { a[0], err = theirs.send(ctx, st, v); return err })
			both.Go(func() (err error) { a[1], err = ours.send(ctx, st, v); return err })
			if err := both.Wait(); err != nil {
				return err
			}
			t.take(st, v, compare(a[0], a[1]))
		}
	}
	return nil
}
