package main

import (
	"ingot/internal/conductor"
	"ingot/internal/config"
)

// lifeConfig is the part of the configuration about inspection and about what happens by itself.
func lifeConfig(cc *conductor.Config, c config.Config) {
	cc.InspectCallbackLimit = c.Timers.InspectWaitTimeout
	cc.Inspect = conductor.InspectConfig{AddPorts: c.Inspector.AddPorts, KeepPorts: c.Inspector.KeepPorts,
		UpdatePXEEnabled: c.Inspector.UpdatePXEEnabled, PowerOff: c.Inspector.PowerOff}
	s, t := &cc.Sweep, c.Timers
	s.PowerInterval, s.PowerWorkers, s.PowerRetries = t.SyncPowerStateInterval, t.SyncPowerStateWorkers, t.PowerStateSyncMaxRetries
	s.ForcePower, s.RecoveryInterval = t.ForcePowerStateDuringSync, t.PowerFailureRecoveryInterval
	s.HistoryInterval, s.HistoryEntries, s.HistoryDays = t.NodeHistoryCleanupInterval, t.NodeHistoryMaxEntries, t.NodeHistoryMinimumDays
	s.HistoryBatch = t.NodeHistoryCleanupBatchCount
	s.ConductorInterval, s.ConductorTimeout = t.ConductorCleanupInterval, t.ConductorCleanupTimeout
}
