// Package policy says who may do what: one table of rules, one language in which they are written, one function
// that judges them.
//
// A rule is named as Ironic names it, without the prefix "baremetal:"; those under "ingot:" are ours. Its check
// string is in oslo.policy's language, which this room reads itself: an operator's policy file may replace the check
// string of any rule. Every route of the API names a rule. api judges the rules that have no object, ops the others,
// with the object in hand and inside the transaction that found it.
//
// This room knows no HTTP, no files and no identity provider: the caller arrives as a Caller, a policy file as bytes.
// What it cannot understand is an error when the set of rules is made, never when a request is judged; and whatever is
// not in the table is denied to all, so that a route cannot invent a right.
package policy
