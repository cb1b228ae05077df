package conductor

import (
	"context"
	"time"

	"ingot/internal/metal"
)

// The plans behind "rescue" and "unrescue" of a node whose rescue interface is fake: nothing happens to the machine. ops
// refuses the verbs of others, whose rescue is not built.
var (
	rescuePlan = plan{
		done: metal.EventDone,
		fail: metal.EventFail,
		steps: []step{
			{name: "check driver info", class: repeatable, run: (*runner).checkDriverInfo, limit: time.Minute},
			{name: "rescue", class: repeatable, run: (*runner).restFor, limit: time.Hour},
		},
	}
	unrescuePlan = plan{
		done: metal.EventDone,
		fail: metal.EventFail,
		steps: []step{
			{name: "check driver info", class: repeatable, run: (*runner).checkDriverInfo, limit: time.Minute},
			{name: "unrescue", class: repeatable, run: (*runner).restFor, limit: time.Hour},
		},
	}
)

// restFor lets pass the time that the fake interface is configured to take.
func (r *runner) restFor(_ context.Context, op *Op) (Outcome, error) {
	if left := r.pause(op, "rescue"); left > 0 {
		return again(left, "the fake rescue to take its time"), nil
	}
	return done, nil
}
