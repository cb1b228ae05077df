package config

import "time"

// Memory is the part of the section [DEFAULT] about work that holds much memory: config drives, and images that this server reads whole.
type Memory struct {
	// MinimumRequiredMemory is the most, in MiB, that must be available before such work begins. Work that takes less waits for what
	// it takes; what streams, as most does, waits for nothing. 0 lets all begin.
	MinimumRequiredMemory int `key:"minimum_required_memory" min:"0"`
	// MinimumMemoryWaitTime is how long work pauses that found too little.
	MinimumMemoryWaitTime time.Duration `key:"minimum_memory_wait_time" min:"1" max:"3600"`
	// MinimumMemoryWaitRetries is how often it looks again before it fails.
	MinimumMemoryWaitRetries int `key:"minimum_memory_wait_retries" min:"0" max:"1000"`
	// MinimumMemoryWarningOnly lets it begin all the same, with a warning in the log.
	MinimumMemoryWarningOnly bool `key:"minimum_memory_warning_only"`
}
