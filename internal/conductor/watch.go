package conductor

import (
	"context"
	"time"
)

// Watcher is told what a conductor does, for those who count and trace it. Its methods return at once.
type Watcher interface {
	// Claimed is one operation taken on; takenOver: its holder had stopped answering.
	Claimed(takenOver bool)
	// Fenced is a write that was refused because another holder has the operation.
	Fenced()
	// Polled is an agent that was asked: "met", "answered", "running", "unreachable" or "refused". It was due for late.
	Polled(outcome string, late time.Duration)
	// Step begins one run of a step, in the context that the step then gets; over is told how it came out:
	// "done", "again", "wait", "failed" or "stopped".
	Step(ctx context.Context, s StepRun) (in context.Context, over func(outcome string, err error))
}

// StepRun is one run of a step. Trace is W3C's traceparent of the request, "" for none.
type StepRun struct {
	Plan, Step                      string
	Attempt                         int
	Operation, Node, Request, Trace string
}

// Watch has w told. Call it before Run.
func (c *Conductor) Watch(w Watcher) { c.watch = w }

// nobody watches.
type nobody struct{}

func (nobody) Claimed(bool)                 {}
func (nobody) Fenced()                      {}
func (nobody) Polled(string, time.Duration) {}
func (nobody) Step(ctx context.Context, _ StepRun) (context.Context, func(string, error)) {
	return ctx, func(string, error) {}
}

// cameOut is the outcome of one run in a word.
func cameOut(ctx context.Context, o Outcome, err error) string {
	switch {
	case ctx.Err() != nil:
		return "stopped"
	case err != nil:
		return "failed"
	case o.kind == "":
		return "done"
	}
	return o.kind
}
