// Package policy says who may do what: one table of rules, one function that reads it.
//
// A rule is named as Ironic names it, without the prefix "baremetal:". Every route of the API names one.
// This room knows no HTTP and no identity provider: the caller arrives as a Caller. While the server has no
// authentication (it then listens on loopback only) every caller may do everything the table lists; a rule
// that is not in the table is denied to all, so that a route cannot invent one. api judges the rules that have no
// object, ops the others, with the object in hand.
package policy

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

// object is what a rule is judged against.
type object int

const (
	nothing object = iota // the caller alone: api judges the rule before it does anything
	aNode                 // a node, or the node that owns a port, port group or volume: ops judges it
)

// right is one row of the table.
type right struct {
	need rights
	on   object
}

// rules is every right. The names are Ironic's (ironic/common/policy.py); those under "ingot:" are ours.
var rules = map[Rule]right{
	"public_api":                     {everybody, nothing},
	"driver:ipa_lookup":              {everybody, nothing},
	"driver:ipa_continue_inspection": {everybody, nothing},
	"node:ipa_heartbeat":             {everybody, nothing},
	"node:list":                      {operator, nothing},
	"node:create":                    {operator, nothing},
	"node:get":                       {operator, aNode},
	"node:update":                    {operator, aNode},
	"node:delete":                    {operator, aNode},
	"node:validate":                  {operator, aNode},
	"node:get_states":                {operator, aNode},
	"node:set_power_state":           {operator, aNode},
	"node:set_provision_state":       {operator, aNode},
	"node:set_maintenance":           {operator, aNode},
	"node:clear_maintenance":         {operator, aNode},
	"node:get_boot_device":           {operator, aNode},
	"node:set_boot_device":           {operator, aNode},
	"node:set_boot_mode":             {operator, aNode},
	"node:set_secure_boot":           {operator, aNode},
	"node:inventory:get":             {operator, aNode},
	"node:traits:list":               {operator, aNode},
	"node:traits:set":                {operator, aNode},
	"node:traits:delete":             {operator, aNode},
	"deploy_template:get":            {operator, nothing},
	"deploy_template:create":         {operator, nothing},
	"deploy_template:update":         {operator, nothing},
	"deploy_template:delete":         {operator, nothing},
	"node:history:get":               {operator, aNode},
	"port:list":                      {operator, nothing},
	"port:create":                    {operator, aNode},
	"port:get":                       {operator, aNode},
	"port:update":                    {operator, aNode},
	"port:delete":                    {operator, aNode},
	"driver:get":                     {operator, nothing},
	"driver:get_properties":          {operator, nothing},
	"conductor:get":                  {operator, nothing},
	"ingot:node:why":                 {operator, aNode},
	"ingot:node:events":              {operator, aNode},
	"ingot:node:logs":                {operator, aNode},
	"ingot:node:operation":           {operator, aNode},
	"ingot:operation:list":           {operator, nothing},
	"ingot:doctor":                   {operator, nothing},
	"ingot:debug":                    {operator, nothing},
	"ingot:events":                   {operator, nothing},
	"ingot:server:list":              {operator, nothing},
	"ingot:server:revoke":            {operator, nothing},
}

// Known tells whether the table has the rule.
func Known(r Rule) bool {
	_, ok := rules[r]
	return ok
}

// HasObject tells whether a rule is judged against an object, which whoever asks must have found first.
func HasObject(r Rule) bool { return rules[r].on != nothing }

// allows is the one reader of the table.
func allows(c Caller, r Rule, _ Target) bool {
	row, ok := rules[r]
	return ok && (row.need == everybody || c.Trusted)
}
