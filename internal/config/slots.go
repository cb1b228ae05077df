package config

// Slots is the part of the section [conductor] about how many operations there may be at a time. All servers of one database should
// have the same.
type Slots struct {
	// MaxConcurrentDeploy is how many deployments and rebuilds may be under way at a time, in the whole system. Those that are held
	// or being undone count, those that failed do not.
	MaxConcurrentDeploy int `key:"max_concurrent_deploy" min:"1"`
	// MaxConcurrentClean is how many cleanings (after provide too), tear downs and services may be under way at a time, in the whole
	// system. A tear down and the cleaning that follows it are one.
	MaxConcurrentClean int `key:"max_concurrent_clean" min:"1"`
	// ConcurrentLimitAction is what becomes of a request beyond these limits: "refuse" answers 503, "queue" accepts it, and it
	// begins when others have ended.
	ConcurrentLimitAction string `key:"concurrent_limit_action" oneof:"refuse,queue"`
}
