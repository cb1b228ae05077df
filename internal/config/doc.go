// Package config is the server's configuration: one struct made of what the rooms read, and the only reader
// of the configuration file and of INGOT_… variables.
//
// A section is a struct with a field in Config; an option is one of its fields with a key tag. That is all:
// reading, checking, printing and docs/config.md follow from the types, the tags and the comments. A room
// that declares its own Config beside the code that reads it takes part by a field of that type here. Only
// options that something reads may exist: an operator who sets one must be able to rely on it.
//
// Names are upstream's, so that the lines of an ironic.conf work as written. An unknown option is an error
// that names the nearest, and all errors are told at once. cmd/ingot calls Load when a server starts and for
// "ingot config show"; nobody else needs this room.
package config

//go:generate go test . -run TestDocumentIsFresh -update
