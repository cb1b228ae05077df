// Package agentapi is the protocol between a conductor and the agent in a ramdisk: the types both sides
// share and two thin clients. It is Ironic's agent protocol on the wire, so that this conductor can drive
// the upstream agent and this agent can serve an upstream conductor.
//
// Client speaks from a conductor to an agent (commands API, port 9999). Caller speaks from an agent to a
// control plane (lookup and heartbeat). Neither keeps state between calls beyond its connection; neither
// retries what it cannot prove to be safe. The conductor, the agent and tests use it; the REST API's own
// JSON is wire's, not this room's.
package agentapi
