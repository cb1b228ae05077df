// Package client is a typed Go client of the REST API: Ironic's v1 paths and Ingot's own below /ingot/v1.
//
// It is for programs that stand outside the server: the CLI, the demo, tests. It is not for the agent, which
// speaks agentapi, and it keeps nothing between calls beyond its connections.
//
// Every method takes a context and gives up after CallLimit if that has no earlier deadline. Answers are
// bounded before they are decoded. Failures are *fault.Error: Public is the server's own sentence, the kind
// follows from the status, the cause is a *Refusal (the server said no) or an *Unreachable (nobody
// answered). A request is sent again only when that cannot do anything twice: the server itself refused it
// as locked or busy, or it was a GET. Tries are few, Retry-After is obeyed, and a wish to wait longer than
// LongestPause is handed to the caller instead.
//
// Values of driver_info may be secret: they travel in secret.Map and secret.Secret and are exposed in one
// place, encode.go, into the body that is sent. No error holds a request body.
package client
