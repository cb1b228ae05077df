// Package policy says who may do what: one table of rules, one function that reads it.
//
// A rule is named as Ironic names it, without the prefix "baremetal:". Every route of the API names one.
// This room knows no HTTP and no identity provider: the caller arrives as a Caller. While the server has no
// authentication (it then listens on loopback only) every caller may do everything the table lists; a rule
// that is not in the table is denied to all, so that a route cannot invent one. Only api calls it.
package policy

import "ingot/internal/fault"

// Rule is the name of a right.
type Rule string

// Caller is who asks. The zero Caller is nobody, who may use public rules only.
type Caller struct {
	Trusted bool // the server has no authentication: whoever reaches it is its operator
}

// rights says who has a right.
type rights int

const (
	everybody rights = iota // also somebody unknown: discovery, and what agents in ramdisks need
	operator
)

// rules is every right. The names are Ironic's (ironic/common/policy.py); those under "ingot:" are ours.
var rules = map[Rule]rights{
	"public_api":                     everybody,
	"driver:ipa_lookup":              everybody,
	"driver:ipa_continue_inspection": everybody,
	"node:ipa_heartbeat":             everybody,
	"node:list":                      operator,
	"node:create":                    operator,
	"node:get":                       operator,
	"node:update":                    operator,
	"node:delete":                    operator,
	"node:validate":                  operator,
	"node:get_states":                operator,
	"node:set_power_state":           operator,
	"node:set_provision_state":       operator,
	"node:set_maintenance":           operator,
	"node:clear_maintenance":         operator,
	"node:get_boot_device":           operator,
	"node:set_boot_device":           operator,
	"node:set_boot_mode":             operator,
	"node:set_secure_boot":           operator,
	"node:inventory:get":             operator,
	"node:traits:list":               operator,
	"node:traits:set":                operator,
	"node:traits:delete":             operator,
	"deploy_template:get":            operator,
	"deploy_template:create":         operator,
	"deploy_template:update":         operator,
	"deploy_template:delete":         operator,
	"node:history:get":               operator,
	"port:list":                      operator,
	"port:create":                    operator,
	"port:get":                       operator,
	"port:update":                    operator,
	"port:delete":                    operator,
	"driver:get":                     operator,
	"driver:get_properties":          operator,
	"conductor:get":                  operator,
	"ingot:node:why":                 operator,
	"ingot:node:events":              operator,
	"ingot:node:logs":                operator,
	"ingot:node:operation":           operator,
	"ingot:operation:list":           operator,
	"ingot:doctor":                   operator,
	"ingot:debug":                    operator,
	"ingot:events":                   operator,
	"ingot:server:list":              operator,
	"ingot:server:revoke":            operator,
}

// Known tells whether the table has the rule.
func Known(r Rule) bool {
	_, ok := rules[r]
	return ok
}

// Check is nil if the caller has the right, and fault.Forbidden if not.
func Check(c Caller, r Rule) error {
	need, ok := rules[r]
	if ok && (need == everybody || c.Trusted) {
		return nil
	}
	return fault.New(fault.Forbidden, "Access was denied to the following resource: baremetal:%s", r)
}
