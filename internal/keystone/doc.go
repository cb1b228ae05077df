// Package keystone logs this server in to OpenStack's identity service, for every section that has a user of its own there.
//
// Login is the options of such a section, and Endpoint those of one whose service is looked up in the catalogue: a section's struct
// embeds them. A Client logs in at the first use (a server may start before its Keystone), renews the token before it ends, and
// again when a service does not take it any more. Who comes while it logs in waits for the same answer. A renewal ahead of time
// that fails is tried again half a minute later, and nobody waits long for one: the old token is used as long as it lives.
//
// Requests are bounded in time and answers in size, and redirects are not followed: a token goes where the configuration says and
// nowhere else. Errors are faults of kind Unavailable which name the section; no error and no log line holds a password, a token or
// what Keystone answered.
//
// origin (Glance), driver/neutron, identity (whose tokens it checks) and vendordata use it. What a token of somebody else's stands
// for is identity's to ask.
package keystone
