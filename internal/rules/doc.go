// Package rules judges what an inspection found by the operator's inspection rules: conditions over inventory,
// plugin data and node, and actions on node, ports, traits and plugin data.
//
// It is pure: it reads and writes nothing. The API asks it whether a rule is well formed; the conductor gives it
// the facts and gets back what to change, what to log and which URLs to call, or why the inspection fails. The
// operations, their arguments and their meaning are Ironic's (ironic/common/inspection_rules, and the rest-api
// reference §12).
//
// Texts of a rule may name facts: {inventory[cpu][count]}, {plugin_data[key]}, {node.properties[key]}, {item}. A
// machine's report is a stranger's: what is put in place of a name is never read as a rule again, a name leads to
// keys of JSON only, secrets of the node have no name, and everything is bounded in number and size.
package rules
