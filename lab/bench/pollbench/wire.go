package main

import (
	"time"

	"ingot/internal/agentapi"
)

// start is what the conductor's process tells one with agents: a machine begins to boot.
type start struct {
	Node   string
	Listen string // address and port of its agent
	MAC    string
	Boot   agentapi.BootConfig
	After  time.Duration // until its agent listens
}

// seen is what an agent tells of.
type seen struct {
	Node string
	What what
	At   time.Time
}

type what string

// What is told. The clock is this host's, the same for all.
const (
	listens  what = "listens"  // the agent is ready
	opened   what = "opened"   // a connection was made to it
	asked    what = "asked"    // it is asked what its machine is made of
	told     what = "told"     // it was told its node
	ordered  what = "ordered"  // it got a command of the plan
	ended    what = "ended"    // a command that took its time has ended
	poweroff what = "poweroff" // it switched its machine off
)
