package osinstall

import (
	"strings"
	"sync"
	"unicode"

	"ingot/internal/agentapi"
)

const (
	stagePackage = "package"
	running      = "running"
	done         = "done"

	maxStages  = 64
	maxStage   = 64 // runes
	maxMessage = 200
	percent    = "percent"
)

// gauge tells how far the work is: of each stage the percentage never falls, whatever scripts say.
type gauge struct {
	report func(agentapi.Progress)
	hide   *scrubber

	mu     sync.Mutex
	stages map[string]int
}

// say reports one word of how far it is.
func (g *gauge) say(p agentapi.OSProgress) {
	stage := short(g.hide.text(p.Stage), maxStage)
	if stage == "" {
		stage = running
	}
	what := stage
	if message := short(g.hide.text(p.Message), maxMessage); message != "" {
		what += ": " + message
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, known := g.stages[stage]; !known {
		if len(g.stages) == maxStages {
			return // nobody looks at more of them
		}
		if g.stages == nil {
			g.stages = map[string]int{}
		}
	}
	g.stages[stage] = max(g.stages[stage], min(max(p.Percent, 0), 100))
	if g.report != nil { // under the lock, so that what is newest comes last
		g.report(agentapi.Progress{What: what, Done: int64(g.stages[stage]), Total: 100, Unit: percent})
	}
}

// short makes a text one line of at most so many runes.
func short(text string, most int) string {
	runes := []rune(strings.Join(strings.Fields(plain(text)), " "))
	if len(runes) > most {
		return string(runes[:most-1]) + "…"
	}
	return string(runes)
}

// plain takes out what would act on a terminal.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case r == unicode.ReplacementChar || unicode.IsControl(r) && r != '\n' || unicode.Is(unicode.Cf, r):
			return -1
		}
		return r
	}, text)
}
