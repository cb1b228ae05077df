package policy

import (
	"slices"
	"strings"
)

// expr is a check string, understood. It is immutable.
type expr interface {
	// holds tells whether the caller passes on the object.
	holds(on *judged) bool
	// never tells that nobody passes, whoever asks for whatever.
	never() bool
	// String is the check string that reads as this.
	String() string
}

// judged is one question: who asks, on what.
type judged struct {
	who     *Caller
	roles   []string // the caller's, in lower case
	on      *Target
	service string // config.service_project_name, "" if services are not lifted
}

type (
	constant bool           // @ and !
	allOf    []expr         // and
	anyOf    []expr         // or
	inverse  struct{ expr } // not
	hasRole  struct{ name template }
	equal    struct { // KEY:VALUE, where KEY is a credential
		key   string
		left  credential
		right template
	}
	literal struct { // 'text':VALUE
		text  string // as written
		value string
		right template
	}
	// ref is rule:NAME. link sets what it leads to, once, before anybody judges.
	ref struct {
		name Rule
		to   expr
	}
)

func (c constant) holds(*judged) bool { return bool(c) }
func (c constant) never() bool        { return !bool(c) }
func (c constant) String() string {
	if c {
		return "@"
	}
	return "!"
}

func (a allOf) holds(on *judged) bool {
	for _, e := range a {
		if !e.holds(on) {
			return false
		}
	}
	return true
}

func (a allOf) never() bool    { return slices.ContainsFunc(a, expr.never) }
func (a allOf) String() string { return joined(a, " and ") }

func (a anyOf) holds(on *judged) bool {
	for _, e := range a {
		if e.holds(on) {
			return true
		}
	}
	return false
}

func (a anyOf) never() bool {
	return !slices.ContainsFunc(a, func(e expr) bool { return !e.never() })
}
func (a anyOf) String() string { return joined(a, " or ") }

func (n inverse) holds(on *judged) bool { return !n.expr.holds(on) }
func (n inverse) never() bool           { return n.expr == constant(true) }
func (n inverse) String() string        { return "not " + inner(n.expr) }

func (r *ref) holds(on *judged) bool { return r.to.holds(on) }
func (r *ref) never() bool           { return r.to.never() }
func (r *ref) String() string        { return "rule:" + string(r.name) }

func (h hasRole) holds(on *judged) bool {
	name, ok := h.name.fill(on)
	if !ok {
		return false
	}
	if !h.name.fixed() {
		name = strings.ToLower(name)
	}
	return slices.Contains(on.roles, name)
}

func (h hasRole) never() bool    { return false }
func (h hasRole) String() string { return "role:" + h.name.String() }

// holds compares as text. A credential that is not set is Python's None, which only that very word equals: an object's
// owner that is called None is nobody's.
func (e equal) holds(on *judged) bool {
	right, ok := e.right.fill(on)
	if !ok {
		return false
	}
	if e.left.list != nil {
		return slices.Contains(e.left.list(on.who), right)
	}
	left := e.left.one(on.who)
	if left == "" {
		return e.right.fixed() && right == "None"
	}
	return left == right
}

func (e equal) never() bool    { return false }
func (e equal) String() string { return e.key + ":" + e.right.String() }

func (l literal) holds(on *judged) bool {
	right, ok := l.right.fill(on)
	return ok && right == l.value
}

func (l literal) never() bool    { return false }
func (l literal) String() string { return l.text + ":" + l.right.String() }

func joined(parts []expr, by string) string {
	out := make([]string, len(parts))
	for i, e := range parts {
		out[i] = inner(e)
	}
	return strings.Join(out, by)
}

// inner is an expression inside another one.
func inner(e expr) string {
	switch e.(type) {
	case allOf, anyOf:
		return "(" + e.String() + ")"
	}
	return e.String()
}

// template is the right side of a check: text, with values of the object or the caller in it.
type template struct {
	parts []part
}

// part is text, or the value of a key.
type part struct {
	text  string // of a key, its name
	value func(*judged) string
}

// fixed tells whether the template is the same for all.
func (t template) fixed() bool { return len(t.parts) == 1 && t.parts[0].value == nil }

// fill gives the text. A value that is not there is no text: whatever is compared with it differs.
func (t template) fill(on *judged) (string, bool) {
	if len(t.parts) == 1 {
		return t.parts[0].fill(on)
	}
	var b strings.Builder
	for _, p := range t.parts {
		s, ok := p.fill(on)
		if !ok {
			return "", false
		}
		b.WriteString(s)
	}
	return b.String(), true
}

func (p part) fill(on *judged) (string, bool) {
	if p.value == nil {
		return p.text, true
	}
	s := p.value(on)
	return s, s != ""
}

func (t template) String() string {
	var b strings.Builder
	for _, p := range t.parts {
		if p.value == nil {
			b.WriteString(strings.ReplaceAll(p.text, "%", "%%"))
		} else {
			b.WriteString("%(" + p.text + ")s")
		}
	}
	return b.String()
}
