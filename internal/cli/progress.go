package cli

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/term"

	"ingot/internal/metal"
)

// screen shows lines that stay and, below them, one that changes. Where nobody can rewrite a line (a file,
// a pipe, a log) the changing one is written only when it says something new.
type screen struct {
	w     io.Writer
	live  bool
	width func() int // columns; called when live
	shown string     // the changing line as it stands; live only
	key   string     // what the changing line was about
}

func newScreen(w io.Writer) *screen {
	s := &screen{w: w}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		s.live = true
		s.width = func() int {
			if n, _, err := term.GetSize(int(f.Fd())); err == nil && n > 0 {
				return n
			}
			return 80
		}
	}
	return s
}

// line writes a line that stays.
func (s *screen) line(text string) {
	s.wipe()
	fmt.Fprintln(s.w, oneLine(text))
}

// status sets the changing line. key is what it is about, without the numbers that run.
func (s *screen) status(key, text string) {
	text = oneLine(text)
	if !s.live {
		if key != s.key {
			fmt.Fprintln(s.w, text)
		}
		s.key = key
		return
	}
	if text == s.shown {
		return
	}
	s.wipe()
	fmt.Fprint(s.w, cut(text, s.width()-1))
	s.shown, s.key = text, key
}

// finish leaves the cursor at the start of an empty line.
func (s *screen) finish() { s.wipe() }

func (s *screen) wipe() {
	if s.live && s.shown != "" {
		fmt.Fprint(s.w, "\r\x1b[K")
		s.shown = ""
	}
}

// cut shortens text to n columns, so that the line does not wrap and can be wiped.
func cut(text string, n int) string {
	if n < 1 || utf8.RuneCountInString(text) <= n {
		return text
	}
	return string([]rune(text)[:n])
}

// whyLine is what a node's operation is doing, in one line. The key changes with the step, what it waits
// for and every tenth of its progress.
func whyLine(w *metal.Why, now time.Time) (key, text string) {
	head := w.Step
	if w.StepsTotal > 0 {
		head = fmt.Sprintf("[%d/%d] %s", stepNumber(w), w.StepsTotal, w.Step)
	}
	if w.Undoing {
		head += " (undoing)"
	}
	key = head + "|" + w.WaitingFor
	var parts []string
	if p := w.Progress; p != nil {
		parts = append(parts, progressText(p))
		if p.Total > 0 {
			key += fmt.Sprintf("|%s %d", p.What, p.Done*10/p.Total)
		}
	}
	if w.WaitingFor != "" {
		t := "waiting for " + w.WaitingFor
		if w.Since != nil {
			t += " for " + span(now.Sub(*w.Since))
		}
		if w.Limit != nil {
			t += ", " + span(w.Limit.Sub(now)) + " left"
		}
		parts = append(parts, t)
	}
	if w.Attempts > 1 {
		parts = append(parts, fmt.Sprintf("try %d", w.Attempts))
	}
	if len(parts) > 0 {
		head += ": " + strings.Join(parts, "; ")
	}
	return key, head
}

// stepNumber counts from one, as people do; StepIndex counts from zero.
func stepNumber(w *metal.Why) int { return min(w.StepIndex+1, w.StepsTotal) }

// progressText is how far a step is: amount, share, rate and the time that is left at this rate.
func progressText(p *metal.Progress) string {
	amount := func(n int64) string { return fmt.Sprintf("%d %s", n, p.Unit) }
	rate := func() string { return fmt.Sprintf("%.1f %s/s", p.Rate, p.Unit) }
	if p.Unit == "bytes" {
		amount = size
		rate = func() string { return size(int64(p.Rate)) + "/s" }
	}
	out := p.What
	if p.Total > 0 {
		out += fmt.Sprintf(" %s of %s (%d%%)", amount(p.Done), amount(p.Total), p.Done*100/p.Total)
	} else {
		out += " " + amount(p.Done)
	}
	if p.Rate > 0 {
		out += ", " + rate()
		if left := p.Total - p.Done; left > 0 {
			out += ", " + span(time.Duration(float64(left)/p.Rate*float64(time.Second))) + " left"
		}
	}
	return strings.TrimSpace(out)
}

// eventLine is one line of history for somebody who waits; false for what the changing line says already.
func eventLine(e metal.HistoryEvent) (string, bool) {
	var text string
	switch e.Kind {
	case "step":
		text = "step " + e.Step
	case "transition":
		text = string(e.From) + " -> " + string(e.To)
	case "takeover":
		text = "taken over by " + e.Who
	case "error":
		text = "error"
		if e.Step != "" {
			text += " in step " + e.Step
		}
	default:
		return "", false
	}
	if e.Why != "" {
		text += ": " + e.Why
	}
	return e.At.Local().Format(time.TimeOnly) + "  " + text, true
}

// span writes a duration for people: "350ms", "42s", "3m05s", "2h10m". Negative is "0s": clocks differ.
func span(d time.Duration) string {
	switch {
	case d <= 0:
		return "0s"
	case d < time.Second:
		return fmt.Sprintf("%dms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	}
	return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
}
