package policy

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
)

// Rule is the name of a right.
type Rule string

// Config is what this room reads from the configuration.
type Config struct {
	// EnforceScope refuses a token for a project where a rule is for the system only, and the other way round.
	EnforceScope bool
	// ServiceProject is the project whose role "service" may do what services of the system may; "" for none.
	ServiceProject string
	// DefaultRule is the rule in place of one that a check refers to and that is nowhere defined; "" for none.
	DefaultRule string
}

// Defaults is the only place with default values.
func Defaults() Config { return Config{EnforceScope: true, DefaultRule: "default"} }

// Set is every rule that is in force at one time. It is immutable and safe for concurrent use.
type Set struct {
	config Config
	rules  map[Rule]*entry
}

// entry is one rule in force.
type entry struct {
	row
	own    bool   // an operator's own: only others refer to it
	source string // where its check string is from: a file and line, or "" for the table
	expr   expr
}

// written is a rule as a policy file has it.
type written struct {
	source string
	expr   expr
}

// New makes the rules that are in force: those of the table, and in their place what the files say, later ones over
// earlier ones. Its error tells everything that is wrong with them.
func New(c Config, files ...File) (*Set, error) {
	s := &Set{config: c, rules: make(map[Rule]*entry, len(table))}
	for name, r := range table {
		e, err := parse(r.check())
		if err != nil {
			panic("policy: " + string(name) + ": " + err.Error()) // a test makes a Set
		}
		s.rules[name] = &entry{row: r, expr: e}
	}
	var wrong []error
	for _, f := range files {
		rules, err := f.parse()
		wrong = append(wrong, err)
		for name, w := range rules {
			s.override(name, w)
		}
	}
	wrong = append(wrong, s.link()...)
	if err := errors.Join(wrong...); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *Set) override(name Rule, w written) {
	old := s.rules[name]
	if old == nil {
		old = &entry{own: !stepRule(name), row: row{on: aNode}}
	}
	s.rules[name] = &entry{row: old.row, own: old.own, source: w.source, expr: w.expr}
}

// builtIn makes the Set that is in force without a policy file, once: it is immutable.
var builtIn = sync.OnceValue(func() *Set {
	s, err := New(Defaults())
	if err != nil {
		panic("policy: " + err.Error()) // a test makes it
	}
	return s
})

// BuiltIn is the rules that are in force without a policy file.
func BuiltIn() *Set { return builtIn() }

// For gives the rights of a caller by the rules that are in force without a policy file.
func For(who Caller) *Rights { return BuiltIn().For(who) }

// Known tells whether the table has the rule.
func Known(r Rule) bool {
	_, ok := table[r]
	return ok
}

// HasObject tells whether a rule is judged in ops, on an object that must be found first or beside another rule.
func HasObject(r Rule) bool { return table[r].on != nothing }

// Names lists the rules that are in force, sorted.
func (s *Set) Names() []Rule {
	return slices.Sorted(maps.Keys(s.rules))
}

// masking are the rules that callers who are trusted are judged by, too.
var masking = map[Rule]bool{"show_password": true, "show_instance_secrets": true}

// allows is the one reader of a Set. on.who and on.on are set.
func (s *Set) allows(name Rule, on *judged) bool {
	e := s.rules[name]
	if e == nil || e.own {
		return false
	}
	if on.who.Trusted && !masking[name] {
		return !e.expr.never()
	}
	return s.inScope(e, on.who) && e.expr.holds(on)
}

// inScope tells whether the caller's token is of a kind that the rule takes.
func (s *Set) inScope(e *entry, who *Caller) bool {
	have := who.scope()
	if !s.config.EnforceScope || e.scope == have {
		return true
	}
	return e.scope == "" && have != domain
}

// link connects references to the rules they name, and finds those that lead nowhere or in a circle.
func (s *Set) link() (wrong []error) {
	const walking, done = 1, 2
	seen := map[*entry]int{}
	used := map[Rule]bool{}
	var visit func(e *entry, name Rule)
	visit = func(e *entry, name Rule) {
		seen[e] = walking
		for _, r := range refs(e.expr) {
			to := s.rules[r.name]
			if to == nil {
				to = s.rules[Rule(s.config.DefaultRule)]
			}
			used[r.name] = true
			switch {
			case to == nil:
				wrong = append(wrong, fmt.Errorf("%srule %s refers to rule:%s, which is not defined%s", at(e), name, r.name, near(r.name, s.rules)))
				continue
			case seen[to] == walking:
				wrong = append(wrong, fmt.Errorf("%srule %s refers to itself by way of rule:%s", at(e), name, r.name))
				continue
			case seen[to] == 0:
				visit(to, r.name)
			}
			r.to = to.expr
		}
		seen[e] = done
	}
	names := s.Names()
	for _, name := range names {
		if seen[s.rules[name]] == 0 {
			visit(s.rules[name], name)
		}
	}
	for _, name := range names {
		if e := s.rules[name]; e.own && !used[name] && name != Rule(s.config.DefaultRule) {
			wrong = append(wrong, fmt.Errorf("%sthere is no rule %s, and no other rule refers to it%s", at(e), name, near(name, s.rules)))
		}
	}
	return wrong
}

// at says where a rule is from, for an error.
func at(e *entry) string {
	if e.source == "" {
		return ""
	}
	return e.source + ": "
}

// refs are the references in e.
func refs(e expr) (out []*ref) {
	switch e := e.(type) {
	case *ref:
		return []*ref{e}
	case inverse:
		return refs(e.expr)
	case allOf:
		for _, part := range e {
			out = append(out, refs(part)...)
		}
	case anyOf:
		for _, part := range e {
			out = append(out, refs(part)...)
		}
	}
	return out
}
