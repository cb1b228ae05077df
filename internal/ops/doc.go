// Package ops is every verb a caller may ask for, once: it authorises, consults the state table and writes
// intent in one transaction. It never touches a machine; the conductor does, when it claims the operation
// row that ops wrote. A request that needs the machine before it can answer (validate, boot device) is a
// short-lived row too, and ops waits for it a few seconds.
//
// The REST API, the agents' door and tests call it. Errors are faults whose public sentences are Ironic's
// where a client may look at them.
package ops
