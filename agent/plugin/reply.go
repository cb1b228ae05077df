package plugin

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"ingot/internal/agentapi"
)

// Bounds of what a plugin says.
const (
	maxLine     = 256 << 10 // bytes of one line, the result's too
	maxTalk     = 4 << 20   // bytes of all lines of one run
	maxSteps    = 64        // of one kind
	maxText     = 2 << 10   // bytes of an error or a log line
	maxPriority = 10_000
	maxSupport  = 100
	maxLimit    = 24 * 60 * 60 // seconds a step may ask for
	maxArgs     = 32           // arguments that a step may describe
)

// Step is a step as a plugin offers it.
type Step struct {
	Interface       string                      `json:"interface"`
	Step            string                      `json:"step"`
	Priority        int                         `json:"priority"`
	RebootRequested bool                        `json:"reboot_requested"`
	Abortable       bool                        `json:"abortable"`
	ArgsInfo        map[string]agentapi.ArgInfo `json:"argsinfo"`
	// Limit is how long it may take, in seconds; 0: an hour.
	Limit int `json:"limit"`
}

// description is the result of describe.
type description struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Support int    `json:"support"`
	Clean   []Step `json:"clean_steps"`
	Deploy  []Step `json:"deploy_steps"`
	Service []Step `json:"service_steps"`
}

// line is one line of a plugin's output: exactly one of its fields is set.
type line struct {
	Progress *agentapi.Progress `json:"progress"`
	Log      *string            `json:"log"`
	Result   json.RawMessage    `json:"result"`
	Error    *string            `json:"error"`
}

// parseLine reads one line. Unknown fields are ignored: a later protocol may have more.
func parseLine(b []byte) (line, error) {
	var l line
	if err := json.Unmarshal(b, &l); err != nil {
		return line{}, errors.New("a line of its output is no JSON object")
	}
	said := 0
	for _, is := range []bool{l.Progress != nil, l.Log != nil, l.Result != nil, l.Error != nil} {
		if is {
			said++
		}
	}
	if said != 1 {
		return line{}, errors.New("a line of its output must have one of progress, log, result and error")
	}
	if p := l.Progress; p != nil {
		p.What, p.Unit, p.Parts = clean(p.What), clean(p.Unit), nil
	}
	return l, nil
}

// clean makes a stranger's text one that can be logged and shown.
func clean(s string) string {
	s = s[:min(len(s), maxText)]
	return strings.TrimSpace(strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f {
			return ' '
		}
		return c
	}, strings.ToValidUTF8(s, "?")))
}

// talk splits a plugin's output into lines and gives each to say. It is an io.Writer that fails when there is
// too much of it, or when say does.
type talk struct {
	say  func(line) error
	open []byte
	size int
}

func (t *talk) Write(p []byte) (int, error) {
	if t.size += len(p); t.size > maxTalk {
		return 0, fmt.Errorf("it says more than %d MiB", maxTalk>>20)
	}
	t.open = append(t.open, p...)
	for {
		one, rest, whole := bytes.Cut(t.open, []byte("\n"))
		if len(one) > maxLine {
			return 0, fmt.Errorf("a line of its output is longer than %d KiB", maxLine>>10)
		}
		if !whole {
			return len(p), nil
		}
		t.open = rest
		if err := t.take(one); err != nil {
			return 0, err
		}
	}
}

// end takes the last line, which need not be ended.
func (t *talk) end() error {
	one := t.open
	t.open = nil
	return t.take(one)
}

func (t *talk) take(one []byte) error {
	if one = bytes.TrimSpace(one); len(one) == 0 {
		return nil
	}
	l, err := parseLine(one)
	if err != nil {
		return err
	}
	return t.say(l)
}

var _ io.Writer = (*talk)(nil)

var (
	nameForm    = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$`)
	versionForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.+-]{0,63}$`)
	stepForm    = regexp.MustCompile(`^[a-z][a-z0-9_]{0,63}$`)
)

// interfaces are those that a step may belong to. Source: lifecycle reference §3, step JSON.
var interfaces = map[string]bool{"vendor": true, "power": true, "management": true, "firmware": true, "deploy": true, "bios": true, "raid": true}

// parseDescription reads the result of describe.
func parseDescription(b []byte) (description, error) {
	var d description
	if err := json.Unmarshal(b, &d); err != nil {
		return description{}, errors.New("its description is of another form than the protocol's")
	}
	switch {
	case !nameForm.MatchString(d.Name):
		return description{}, errors.New("its name is no word of letters, digits, _, . and -")
	case !versionForm.MatchString(d.Version):
		return description{}, errors.New("its version is no word of letters, digits, _, ., + and -")
	case d.Support < 1 || d.Support > maxSupport:
		return description{}, fmt.Errorf("its support is %d, and must be 1 to %d", d.Support, maxSupport)
	}
	for _, steps := range [][]Step{d.Clean, d.Deploy, d.Service} {
		if err := checkSteps(steps); err != nil {
			return description{}, err
		}
	}
	return d, nil
}

func checkSteps(steps []Step) error {
	if len(steps) > maxSteps {
		return fmt.Errorf("it offers %d steps of one kind, more than %d", len(steps), maxSteps)
	}
	seen := map[string]bool{}
	for _, s := range steps {
		switch {
		case !stepForm.MatchString(s.Step):
			return errors.New("the name of a step is no word of small letters, digits and _")
		case seen[s.Step]:
			return fmt.Errorf("it offers the step %s twice", s.Step)
		case !interfaces[s.Interface]:
			return fmt.Errorf("its step %s belongs to no interface that has steps", s.Step)
		case s.Priority < 0 || s.Priority > maxPriority:
			return fmt.Errorf("the priority of its step %s is not 0 to %d", s.Step, maxPriority)
		case s.Limit < 0 || s.Limit > maxLimit:
			return fmt.Errorf("the limit of its step %s is not 0 to %d seconds", s.Step, maxLimit)
		case len(s.ArgsInfo) > maxArgs:
			return fmt.Errorf("its step %s describes more than %d arguments", s.Step, maxArgs)
		}
		for name, info := range s.ArgsInfo {
			if !stepForm.MatchString(name) || len(info.Description) > maxText {
				return fmt.Errorf("an argument of its step %s has a bad name or a description of more than %d bytes", s.Step, maxText)
			}
		}
		seen[s.Step] = true
	}
	return nil
}
