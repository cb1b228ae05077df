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
// a pipe, a log) the changing one is written only when it says something new, and no oftener than it asks.
type screen struct {
	w     io.Writer
	live  bool
	width func() int       // columns; called when live
	now   func() time.Time // nil: time.Now
	shown string           // the changing line as it stands; live only
	key   string           // what the changing line was about
	at    time.Time        // when it was last written; not live
}

// status is the changing line.
type status struct {
	key   string        // what it is about, without the numbers that run
	text  string        // "write image: 1.0 GiB of 2.0 GiB (50%), 100 MiB/s, 10s left"
	age   time.Duration // how long it has been so: what is over at once is not worth a line that stays
	every time.Duration // how often it is written again where lines stay; 0: never
}

// patience is how long something is under way before it gets a line that stays.
const patience = 3 * time.Second

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

// status sets the changing line.
func (s *screen) status(st status) {
	text := oneLine(st.text)
	if !s.live {
		s.note(st, text)
		return
	}
	if text == s.shown {
		return
	}
	s.wipe()
	fmt.Fprint(s.w, cut(text, s.width()-1))
	s.shown, s.key = text, st.key
}

// note writes the changing line where it stays, if it is worth it.
func (s *screen) note(st status, text string) {
	now := time.Now()
	if s.now != nil {
		now = s.now()
	}
	news := st.key != s.key
	if st.age < patience || !news && (st.every == 0 || now.Sub(s.at) < st.every) {
		return
	}
	s.key, s.at = st.key, now
	fmt.Fprintln(s.w, now.Local().Format(time.TimeOnly)+"  "+text)
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

// stepNumber counts from one, as people do; StepIndex counts from zero.
func stepNumber(w *metal.Why) int { return min(w.StepIndex+1, w.StepsTotal) }

// progressText is how far a step is: amount, share, rate and the time that is left at this rate.
func progressText(p *metal.Progress) string {
	if p.Unit == "percent" { // of an installation that says so itself: its stage, and what it does in it
		stage, message, _ := strings.Cut(p.What, ": ")
		return strings.TrimSpace(fmt.Sprintf("%s %d %% %s", stage, p.Done, message))
	}
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
