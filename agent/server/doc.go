// Package server is the agent's HTTP API: it takes commands from a conductor, runs them one at a time and
// remembers what became of them. Shapes, status codes and texts are those of the agent protocol reference
// §6, so that any conductor of that protocol can drive this agent.
//
// It knows no command: the agent's steps bring them as a table. It keeps nothing on disk: a restarted
// agent has an empty list, which is how a conductor sees that it is fresh. cmd/ingot-agent calls it.
//
// A boot may name one certificate whose holder alone may command (poll mode): everybody else is refused in the TLS
// handshake and named in the log. GET /v1/commands/?wait=true&timeout=S answers when the command that runs has ended,
// or after S seconds (30 without a word, 60 at most). After a command that is the last (rescue) no other is taken.
//
// A command that panics or fails is a FAILED result, never an HTTP 500 or a dead agent. The token is
// compared in constant time, and no line of the log holds a query string.
package server
