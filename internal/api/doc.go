// Package api serves the REST API: it translates HTTP into calls of ops and their results back into JSON.
//
// routes.go is the one table of what is served: method, path, policy rule, first microversion, parameters,
// handler. serve.go is what happens to every request before and after its handler: request id, version
// negotiation, routing, policy, body limits, errors, access log. The rest is one file per resource. What an
// answer looks like at which microversion is wire's; what may be done to a node is ops's and metal's; this
// room only refuses what is wrong in itself.
//
// There are two doors. New is for operators and their tools. AgentHandler is for agents in ramdisks, on a
// listener of its own: it has nothing but discovery, lookup and heartbeat. cmd/ingot makes both.
//
// When a handler fails, its fault decides the answer (errors.go); any other error is a 500 that shows only
// the request id, under which the log has the rest. A panic is treated the same.
package api
