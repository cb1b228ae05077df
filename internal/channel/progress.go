package channel

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"ingot/internal/agentapi"
	"ingot/internal/fault"
	"ingot/internal/osdef"
)

// The bounds of a progress.
const (
	maxProgress = 16 << 10 // bytes: a longer message is none
	maxStage    = 64       // bytes of a stage's name
	maxWords    = 1 << 10  // bytes of what is kept of a progress's message
	maxStages   = 64       // in one installation
)

// ParseProgress tells whether a message is a progress: a JSON object that has a stage, or is final, and nothing but what a progress has.
// One that is and has wrong values is a fault.
func ParseProgress(message []byte) (p agentapi.OSProgress, is bool, err error) {
	if len(message) > maxProgress || !bytes.HasPrefix(bytes.TrimLeft(message, " \t\r\n"), []byte("{")) {
		return p, false, nil
	}
	var fields map[string]json.RawMessage
	if json.Unmarshal(message, &fields) != nil {
		return p, false, nil
	}
	_, staged := fields["stage"]
	_, final := fields["final"]
	for name := range fields {
		if !slices.Contains([]string{"stage", "percent", "message", "final", "code"}, name) {
			return p, false, nil
		}
	}
	if !staged && !final {
		return p, false, nil
	}
	if err := json.Unmarshal(message, &p); err != nil {
		return p, true, fault.Wrap(fault.Invalid, err, `A progress is {"stage": "a name", "percent": a whole number, "message": "words"}; the last has "final": true and "code": a whole number.`)
	}
	return p, true, checkProgress(p)
}

func checkProgress(p agentapi.OSProgress) error {
	switch {
	case p.Percent < 0 || p.Percent > 100:
		return fault.New(fault.Invalid, "The percent of a progress is between 0 and 100.")
	case p.Stage == "" && !p.Final:
		return fault.New(fault.Invalid, "The stage of a progress has a name.")
	case len(p.Stage) > maxStage || strings.ContainsFunc(p.Stage, unprintable):
		return fault.New(fault.Invalid, "The stage of a progress has up to %d bytes that can be printed.", maxStage)
	case p.Code < 0 || p.Code > 255:
		return fault.New(fault.Invalid, "The code of a progress is an exit status, between 0 and 255.")
	case p.Code != 0 && !p.Final:
		return fault.New(fault.Invalid, `Only the last progress has a code: write "final": true beside it.`)
	}
	return nil
}

func unprintable(r rune) bool { return r == utf8.RuneError || !unicode.IsPrint(r) }

// Stages are how far each stage of an installation was. Whoever uses them sees to it that one does at a time.
type Stages map[string]int

// Next is a progress as it counts: of each stage the percentage never falls.
func (s Stages) Next(p agentapi.OSProgress) (agentapi.OSProgress, error) {
	if p.Stage == "" {
		return p, nil
	}
	before, known := s[p.Stage]
	if !known && len(s) >= maxStages {
		return p, fault.New(fault.Invalid, "An installation has at most %d stages.", maxStages)
	}
	p.Percent = max(p.Percent, before)
	s[p.Stage] = p.Percent
	return p, nil
}

// Clean is a progress whose words can be kept and shown: without private and secret values and control characters, and not too long.
func Clean(p agentapi.OSProgress, hide osdef.Classes) agentapi.OSProgress {
	p.Stage = Scrub(p.Stage, hide)
	p.Message = strings.ToValidUTF8(Scrub(p.Message, hide), "�")
	p.Message = strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, p.Message))
	if len(p.Message) > maxWords {
		p.Message = strings.ToValidUTF8(p.Message[:maxWords], "") + "…"
	}
	return p
}
