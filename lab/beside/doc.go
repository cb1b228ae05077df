// Package beside runs two servers of the bare metal API on loopback, so that they can be compared: Debian's Ironic
// (package ironic-common: API and conductor as two programs that speak JSON-RPC) and ours. Both have a database file of
// their own in a scratch folder, fake hardware only, and no authentication. The oracle and the benches use it; it is not
// a lab: there are no machines, no BMCs and no networks.
//
// A server that does not come up within a minute is an error that names its log. Stop ends every process it started, and
// the kernel ends them if this process dies.
package beside
