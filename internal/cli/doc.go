// Package cli is the commands of ingot that talk to a server: node, port, driver, conductor and bmc, and
// config, which talks to none. Commands gives them to cmd/ingot, which adds its own and runs them.
//
// It knows flags, tables and sentences; what the server can do it learns from package client. It decides
// nothing about nodes: before a deploy it asks metal.Next whether the state allows it, so that no
// instance_info is changed for nothing, and the server decides again.
//
// What a program reads goes to standard output (tables, or one JSON or YAML document with -o); progress,
// warnings and errors go to standard error. Text from the server, from BMCs and from logs is stripped of
// control characters where a terminal would obey them. Passwords come from files or standard input, never
// from flags, and live in secret.Secret until the client sends them.
//
// A command fails with an error that Exit prints with a hint and turns into the exit status: 1 failure,
// 2 usage, 3 not found, 4 the operation ran and failed, 5 nobody answers at the endpoint.
package cli
