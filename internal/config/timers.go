package config

import "time"

// Timers is the part of the section [conductor] about what happens by itself: when waiting is given up, and what
// comes round.
type Timers struct {
	// InspectWaitTimeout is how long a machine may take to call back in an inspection. 0 is for ever.
	InspectWaitTimeout time.Duration `key:"inspect_wait_timeout" min:"0"`
	// SyncPowerStateInterval is how often the power state of each machine is compared with what is recorded. 0
	// or less is never.
	SyncPowerStateInterval time.Duration `key:"sync_power_state_interval"`
	// SyncPowerStateWorkers is how many machines are asked at a time.
	SyncPowerStateWorkers int `key:"sync_power_state_workers" min:"1" max:"1000"`
	// PowerStateSyncMaxRetries is how often in a row a machine may fail to tell its power state, or to be brought
	// back to the recorded one, before it is put into maintenance with the fault "power failure".
	PowerStateSyncMaxRetries int `key:"power_state_sync_max_retries" min:"0" max:"1000"`
	// ForcePowerStateDuringSync brings a machine back to the recorded state; without it the record follows the
	// machine.
	ForcePowerStateDuringSync bool `key:"force_power_state_during_sync"`
	// PowerFailureRecoveryInterval is how often machines with the fault "power failure" are asked whether they are
	// back. 0 or less is never.
	PowerFailureRecoveryInterval time.Duration `key:"power_failure_recovery_interval"`
	// NodeHistoryMaxEntries is how many events of a node are kept; 0 keeps all.
	NodeHistoryMaxEntries int `key:"node_history_max_entries" min:"0"`
	// NodeHistoryMinimumDays is how many days events are kept whatever their number.
	NodeHistoryMinimumDays int `key:"node_history_minimum_days" min:"0"`
	// NodeHistoryCleanupInterval is how often old events are thrown away. 0 or less is never.
	NodeHistoryCleanupInterval time.Duration `key:"node_history_cleanup_interval"`
	// NodeHistoryCleanupBatchCount is how many events are thrown away at once.
	NodeHistoryCleanupBatchCount int `key:"node_history_cleanup_batch_count" min:"1"`
	// ConductorCleanupInterval is how often conductors that are gone are forgotten. 0 or less is never.
	ConductorCleanupInterval time.Duration `key:"conductor_cleanup_interval"`
	// ConductorCleanupTimeout is how long a conductor may be silent before it is forgotten.
	ConductorCleanupTimeout time.Duration `key:"conductor_cleanup_timeout" min:"60"`
}

func timers() Timers {
	return Timers{InspectWaitTimeout: 30 * time.Minute, SyncPowerStateInterval: 2 * time.Minute, SyncPowerStateWorkers: 8,
		PowerStateSyncMaxRetries: 3, ForcePowerStateDuringSync: true, PowerFailureRecoveryInterval: 5 * time.Minute,
		NodeHistoryMaxEntries: 300, NodeHistoryCleanupInterval: 24 * time.Hour, NodeHistoryCleanupBatchCount: 1000,
		ConductorCleanupInterval: 24 * time.Hour, ConductorCleanupTimeout: 14 * 24 * time.Hour}
}

// Inspector is the section [inspector].
type Inspector struct {
	// AddPorts says which NICs that an inspection finds become ports: the one the ramdisk booted from (where that
	// is not known, those with an IP address), those with an IP address, all, or none.
	AddPorts string `key:"add_ports" oneof:"pxe,active,all,disabled"`
	// KeepPorts says which ports an inspection leaves: all, those of NICs that are there, or those it would add.
	KeepPorts string `key:"keep_ports" oneof:"all,present,added"`
	// UpdatePXEEnabled sets pxe_enabled of ports by the NIC the ramdisk booted from, where that is known.
	UpdatePXEEnabled bool `key:"update_pxe_enabled"`
	// PowerOff switches the machine off after an inspection by its agent.
	PowerOff bool `key:"power_off"`
}

// Rules is the section [inspection_rules].
type Rules struct {
	// BuiltInRules is a YAML file with a list of inspection rules that the API neither shows nor changes. Empty means
	// none.
	BuiltInRules string `key:"built_in_rules" is:"path"`
	// MaskSecrets says for which rules passwords among what a machine tells are masked: for all, for none, or for all
	// but sensitive rules.
	MaskSecrets string `key:"mask_secrets" oneof:"always,never,sensitive"`
}
