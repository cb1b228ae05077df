package policy

import (
	"slices"
	"strings"
	"sync"

	"ingot/internal/fault"
)

// Rights is what the caller of one request may do: by the rules that were in force when it came. It notes which rules
// were judged, so that a door can see that none of its routes forgot to ask. It is safe for concurrent use.
type Rights struct {
	set   *Set
	who   Caller
	roles []string // in lower case

	mu    sync.Mutex
	asked []Rule // guarded by mu; short: a request judges a handful
}

// For gives the rights of a caller.
func (s *Set) For(who Caller) *Rights {
	r := &Rights{set: s, who: who, roles: make([]string, len(who.Roles))}
	for i, role := range who.Roles {
		r.roles[i] = strings.ToLower(role)
	}
	return r
}

// Who is whose rights these are. Nobody's are of the zero Caller.
func (r *Rights) Who() Caller {
	if r == nil {
		return Caller{}
	}
	return r.who
}

// Allows tells whether the caller has a right on t, the zero Target for rules without an object. Nobody has rights
// of their own: a nil *Rights allows nothing.
func (r *Rights) Allows(rule Rule, t Target) bool {
	if r == nil {
		return false
	}
	r.Asks(rule)
	return r.set.allows(rule, r.judging(&t))
}

func (r *Rights) judging(t *Target) *judged {
	return &judged{who: &r.who, roles: r.roles, on: t, service: r.set.config.ServiceProject}
}

// Check is nil if the caller has the right on t, and fault.Forbidden if not.
func (r *Rights) Check(rule Rule, t Target) error {
	if r.Allows(rule, t) {
		return nil
	}
	name := string(rule)
	if !strings.HasPrefix(name, "ingot:") {
		name = prefix + name
	}
	return fault.New(fault.Forbidden, "Access was denied to the following resource: %s", name)
}

// Step judges a step that a request names: interface.step, such as deploy.erase_devices. It is for whoever may ask for
// steps at all, unless a policy file has the rule step:execute of that step.
func (r *Rights) Step(step string, t Target) error {
	rule := stepPrefix + Rule(step)
	if r == nil || r.set.rules[rule] == nil {
		return nil
	}
	return r.Check(rule, t)
}

// Asks notes that a rule was judged, or that others were that stand for it.
func (r *Rights) Asks(rule Rule) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.Contains(r.asked, rule) {
		r.asked = append(r.asked, rule)
	}
}

// Asked tells whether the rule was judged.
func (r *Rights) Asked(rule Rule) bool {
	if r == nil {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Contains(r.asked, rule)
}
