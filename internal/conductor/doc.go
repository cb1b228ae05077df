// Package conductor claims operations from the store and walks their plans, step by step, so that work
// survives the death of any process. Only it moves a node through its states after a verb was accepted.
//
// A step is short, classed and recorded. Waiting holds a row and no goroutine. Every write under a lease
// must match the operation's generation: an old holder that wakes up is refused. Drivers plug in by
// shape: hardware.go says what a machine must be able to do; nothing here knows a protocol of a BMC.
package conductor
