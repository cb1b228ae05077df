package policy

// Why is why somebody has a right, or has not.
type Why struct {
	Rule    Rule   `json:"rule"`
	Allowed bool   `json:"allowed"`
	Check   string `json:"check"`  // the check string that is in force
	Source  string `json:"source"` // the file and line it is from, or "default"
	// Said is what decided before the check string was looked at; "" if that decided.
	Said  string `json:"said,omitempty"`
	Parts []Part `json:"parts"` // of the check string, outermost first
}

// Part is a part of a check string and whether it holds. Depth is how deep it is inside others.
type Part struct {
	Check string `json:"check"`
	Holds bool   `json:"holds"`
	Depth int    `json:"depth"`
	Seen  string `json:"seen,omitempty"` // what a check compared
}

// maxParts bounds an explanation: rules that refer to rules can be long.
const maxParts = 500

// Explain says why the caller has a right on t, or has not.
func (r *Rights) Explain(rule Rule, t Target) Why {
	e := r.set.rules[rule]
	if e == nil {
		return Why{Rule: rule, Said: "There is no such rule" + near(rule, r.set.rules)}
	}
	on := r.judging(&t)
	w := Why{Rule: rule, Allowed: r.set.allows(rule, on), Check: e.expr.String(), Source: e.from()}
	switch {
	case e.own:
		w.Said = "It is a part of other rules, and no right by itself."
	case r.who.Trusted && !masking[rule] && w.Allowed:
		w.Said = "The caller is trusted: the server cannot tell rights apart, and only what is denied to everybody is denied."
	case r.who.Trusted && !masking[rule]:
		w.Said = "It is denied to everybody."
	case !r.set.inScope(e, &r.who):
		w.Said = "The rule is for a token of another scope than " + string(r.who.scope()) + "."
	}
	w.walk(e.expr, on, 0)
	return w
}

// from is where the check string is from.
func (e *entry) from() string {
	if e.source == "" {
		return "default"
	}
	return e.source
}

func (w *Why) walk(e expr, on *judged, depth int) {
	if len(w.Parts) == maxParts {
		return
	}
	w.Parts = append(w.Parts, Part{Check: e.String(), Holds: e.holds(on), Depth: depth, Seen: seen(e, on)})
	switch e := e.(type) {
	case allOf:
		for _, part := range e {
			w.walk(part, on, depth+1)
		}
	case anyOf:
		for _, part := range e {
			w.walk(part, on, depth+1)
		}
	case inverse:
		w.walk(e.expr, on, depth+1)
	case *ref:
		w.walk(e.to, on, depth+1)
	}
}

// seen is what a check compared, for people.
func seen(e expr, on *judged) string {
	var right template
	switch e := e.(type) {
	case equal:
		if e.left.one != nil {
			return "the caller's is " + clip(e.left.one(on.who)) + ", wanted is " + wanted(e.right, on)
		}
		right = e.right
	case literal:
		right = e.right
	case hasRole:
		right = e.name
	default:
		return ""
	}
	if right.fixed() {
		return ""
	}
	return "wanted is " + wanted(right, on)
}

func wanted(t template, on *judged) string {
	s, ok := t.fill(on)
	if !ok {
		return "what is not set"
	}
	return clip(s)
}

// Listed is a rule that is in force.
type Listed struct {
	Rule    Rule   `json:"rule"`
	Check   string `json:"check"`
	Default string `json:"default,omitempty"` // "" for an operator's own
	Source  string `json:"source"`
	On      string `json:"on,omitempty"`    // what it is judged on: node, allocation, runbook
	Scope   string `json:"scope,omitempty"` // the only kind of token it takes
}

// List gives all rules that are in force, by name.
func (s *Set) List() []Listed {
	out := make([]Listed, 0, len(s.rules))
	for _, name := range s.Names() {
		e := s.rules[name]
		l := Listed{Rule: name, Check: e.expr.String(), Source: e.from(), On: e.on.String(), Scope: string(e.scope)}
		if _, ok := table[name]; ok {
			l.Default = BuiltIn().rules[name].expr.String()
		}
		out = append(out, l)
	}
	return out
}
