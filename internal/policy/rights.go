package policy

import (
	"sync"

	"ingot/internal/fault"
)

// Target is what a rule is judged against, by the names that check strings use: "node.owner", "node.lessee",
// "allocation.owner", "runbook.owner". A key that is absent matches nothing.
type Target map[string]string

// Rights is what the caller of one request may do. It notes which rules were judged, so that a door can see
// that none of its routes forgot to ask. It is safe for concurrent use.
type Rights struct {
	who Caller

	mu    sync.Mutex
	asked map[Rule]bool // guarded by mu
}

// For gives the rights of a caller.
func For(who Caller) *Rights { return &Rights{who: who, asked: map[Rule]bool{}} }

// Who is whose rights these are.
func (r *Rights) Who() Caller { return r.who }

// Allows tells whether the caller has a right on t, which may be nil for rules without an object. Nobody has
// rights of their own: a nil *Rights allows nothing.
func (r *Rights) Allows(rule Rule, t Target) bool {
	if r == nil {
		return false
	}
	r.mu.Lock()
	r.asked[rule] = true
	r.mu.Unlock()
	return allows(r.who, rule, t)
}

// Check is nil if the caller has the right on t, and fault.Forbidden if not.
func (r *Rights) Check(rule Rule, t Target) error {
	if r.Allows(rule, t) {
		return nil
	}
	return fault.New(fault.Forbidden, "Access was denied to the following resource: baremetal:%s", rule)
}

// Asked tells whether the rule was judged.
func (r *Rights) Asked(rule Rule) bool {
	if r == nil {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.asked[rule]
}
