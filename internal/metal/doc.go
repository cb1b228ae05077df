// Package metal is the vocabulary of the control plane: what a node is, the states it can be in, what
// leads from one to the next, what can be asked of it and of its hardware.
//
// It is pure: no I/O, no clock, no database. Every room above it speaks in these types; none of them
// chooses a transition by comparing states, they ask Next. Names are Ironic's wherever a user sees them.
package metal
