package cli

import (
	"fmt"
	"strings"
	"time"

	"ingot/internal/metal"
)

// How often a changing line is written again where nobody can rewrite it.
const (
	progressEvery = 10 * time.Second
	waitingEvery  = time.Minute
)

// whyStatus is what a node's operation is doing, in one line. Its key changes with the step and what it
// waits for.
func whyStatus(w *metal.Why, now time.Time) status {
	head := w.Step
	if w.StepsTotal > 0 {
		head = fmt.Sprintf("[%d/%d] %s", stepNumber(w), w.StepsTotal, w.Step)
	}
	if w.Undoing {
		head += " (undoing)"
	}
	waiting, _, _ := strings.Cut(w.WaitingFor, ", after: ") // the line before told what failed
	st := status{key: head + "|" + waiting, every: waitingEvery}
	if w.Since != nil {
		st.age = now.Sub(*w.Since)
	}
	var parts []string
	switch p := w.Progress; {
	case p != nil:
		parts = append(parts, progressText(p))
		st.key, st.every = head+"|"+p.What, progressEvery
	case waiting != "":
		parts = append(parts, "waiting for "+waiting+lasting(w, now))
	case w.Since != nil:
		parts = append(parts, "under way"+lasting(w, now))
	}
	if w.Attempts > 1 {
		parts = append(parts, fmt.Sprintf("try %d", w.Attempts))
	}
	if len(parts) > 0 {
		head += ": " + strings.Join(parts, "; ")
	}
	st.text = head
	return st
}

// lasting is how long a step has lasted and how much longer it may.
func lasting(w *metal.Why, now time.Time) string {
	out := ""
	if w.Since != nil {
		out = " for " + span(now.Sub(*w.Since))
	}
	if w.Limit != nil {
		out += ", " + span(w.Limit.Sub(now)) + " left"
	}
	return out
}

// teller makes lines of a node's history, for somebody who waits for the end of one operation.
type teller struct {
	begun time.Time // when the step that runs began: when the one before it ended
	last  time.Time // the event told before
}

// line is one event as it is told; false for what is not worth a line: a state that only says that a step
// waits, and what the command prints at its end anyway.
func (t *teller) line(e metal.HistoryEvent) (string, bool) {
	text := ""
	switch e.Kind {
	case "step":
		text = t.step(e)
	case "transition":
		if metal.States[e.From].Kind == metal.Waiting || metal.States[e.To].Kind == metal.Waiting {
			return "", false
		}
		text = string(e.From) + " -> " + string(e.To)
		if e.Step == "" && e.Why != "" && metal.States[e.To].Kind == metal.Busy { // a caller's; the conductor's repeat what the steps have told
			text += ": " + strings.TrimSuffix(e.Why, ".")
			t.begun = e.At
		}
	case "request":
		t.begun = e.At
	case "error", "retry", "undo":
		text = outcome(e)
	case "takeover":
		text = strings.TrimSuffix(e.Why, ".")
	}
	t.last = e.At
	return e.At.Local().Format(time.TimeOnly) + "  " + text, text != ""
}

// step tells the end of a step, or of a part of one, and how long it took.
func (t *teller) step(e metal.HistoryEvent) string {
	text, since := outcome(e), t.last
	if rest, whole := ofStep(e); whole && rest == "done" {
		since, t.begun = t.begun, e.At
	}
	if took := e.At.Sub(since); !since.IsZero() && took > time.Second {
		text += " (" + span(took) + ")"
	}
	return text
}

// outcome is what became of a step: "write image  done".
func outcome(e metal.HistoryEvent) string {
	if rest, ok := ofStep(e); ok {
		return e.Step + "  " + rest
	}
	return strings.TrimSuffix(e.Why, ".")
}

// outcomes are the beginnings of what the conductor says of a whole step, and how it is told beside the
// step's name.
var outcomes = []struct{ said, told string }{
	{"is done", "done"}, {"was undone", "undone"}, {"failed", "failed"}, {"could not be undone", "not undone"},
}

// ofStep is the sentence of an event without the step's name; false if it is about something else.
func ofStep(e metal.HistoryEvent) (string, bool) {
	rest, ok := strings.CutPrefix(e.Why, fmt.Sprintf("Step %q ", e.Step))
	if !ok || e.Step == "" {
		return "", false
	}
	for _, o := range outcomes {
		if after, ok := strings.CutPrefix(rest, o.said); ok {
			return o.told + strings.TrimSuffix(after, "."), true
		}
	}
	return rest, true
}
