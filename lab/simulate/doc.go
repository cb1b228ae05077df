// Package simulate is many machines that are only structs: BMCs and the agents that come up on them, for tests and
// benchmarks of the whole engine.
//
// A Fleet is the hardware of any number of nodes, by shape what a conductor needs. A machine that is switched on
// with a boot medium in its drive runs an agent: all agents of a fleet share one TLS listener, speak the real
// protocol and call back when they are told to. What a machine's disk holds is a word. Everything a machine can do
// wrong is a Fault; it is told, never drawn: whoever drives the fleet has the dice.
//
// It is not a simulator of BMCs (lab/bmc is) or of machines that boot (lab is). Tests of cmd/ingot use it.
package simulate
