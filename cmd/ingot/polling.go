package main

import (
	"cmp"

	"ingot/internal/conductor"
	"ingot/internal/config"
)

// pollConfig is the conductor's part of the configuration for agents that are only polled.
func pollConfig(cc *conductor.Config, c config.Config) {
	a := c.Agent
	cc.PollOnly, cc.PollInterval = a.PollOnly, cmp.Or(a.PollInterval, c.API.RamdiskHeartbeatTimeout)
	cc.AgentPort, cc.PollWorkers, cc.PollSlowWorkers = a.PollPort, a.PollWorkers, a.PollSlowWorkers
}
