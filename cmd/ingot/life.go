package main

import (
	"fmt"
	"os"

	"ingot/internal/conductor"
	"ingot/internal/config"
	"ingot/internal/metal"
	"ingot/internal/rules"
)

// lifeConfig is the part of the configuration about inspection and about what happens by itself.
func lifeConfig(cc *conductor.Config, c config.Config) (err error) {
	cc.InspectCallbackLimit = c.Timers.InspectWaitTimeout
	cc.Inspect = conductor.InspectConfig{AddPorts: c.Inspector.AddPorts, KeepPorts: c.Inspector.KeepPorts,
		UpdatePXEEnabled: c.Inspector.UpdatePXEEnabled, PowerOff: c.Inspector.PowerOff, MaskSecrets: c.Rules.MaskSecrets}
	if cc.Inspect.BuiltInRules, err = builtInRules(c.Rules.BuiltInRules); err != nil {
		return err
	}
	if cc.ImageRules, err = imageRules(c.ImageRules); err != nil {
		return err
	}
	cc.ValidateImages = c.ImageRules.ConductorAlwaysValidatesImages
	cc.Slots = slotLimits(c.Slots)
	cc.ForceConfigDrive, cc.DriveFormat = c.Deploy.ForceConfigDrive, c.Deploy.ConfigDriveFormat
	cc.Memory = conductor.MemoryConfig{Required: int64(c.Memory.MinimumRequiredMemory) << 20, Wait: c.Memory.MinimumMemoryWaitTime,
		Retries: c.Memory.MinimumMemoryWaitRetries, WarnOnly: c.Memory.MinimumMemoryWarningOnly}
	cc.RefuseSharedRescue = c.Conductor.RefuseSharedRescuingNetwork
	s, t := &cc.Sweep, c.Timers
	s.PowerInterval, s.PowerWorkers, s.PowerRetries = t.SyncPowerStateInterval, t.SyncPowerStateWorkers, t.PowerStateSyncMaxRetries
	s.ForcePower, s.RecoveryInterval = t.ForcePowerStateDuringSync, t.PowerFailureRecoveryInterval
	s.HistoryInterval, s.HistoryEntries, s.HistoryDays = t.NodeHistoryCleanupInterval, t.NodeHistoryMaxEntries, t.NodeHistoryMinimumDays
	s.HistoryBatch = t.NodeHistoryCleanupBatchCount
	s.ConductorInterval, s.ConductorTimeout = t.ConductorCleanupInterval, t.ConductorCleanupTimeout
	return nil
}

// slotLimits is how many operations of each kind may live at a time.
func slotLimits(c config.Slots) metal.SlotLimits {
	return metal.SlotLimits{metal.SlotDeploy: c.MaxConcurrentDeploy, metal.SlotClean: c.MaxConcurrentClean}
}

// builtInRules reads the inspection rules of a file; "" is none.
func builtInRules(path string) ([]*metal.InspectionRule, error) {
	if path == "" {
		return nil, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("[inspection_rules] built_in_rules: %w", err)
	}
	list, err := rules.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("[inspection_rules] built_in_rules %s: %w", path, err)
	}
	return list, nil
}
