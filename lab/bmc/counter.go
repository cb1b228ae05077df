package bmc

import (
	"maps"
	"sync"
)

// counters counts everything that was asked of the BMC, whether or not it was granted:
//
//	GET, PATCH, POST, DELETE, …    requests by HTTP method
//	login, logout                  sessions asked for and ended by their user
//	Reset.On, Reset.ForceOff, …    power actions by ResetType
//	InsertMedia, EjectMedia        virtual media, by action or by PATCH
//	SetBoot.Cd, SetBoot.None, …    boot overrides by target
//	401                            requests with wrong, missing or expired credentials
//	Certificate.db, …              certificates that were given to a database of Secure Boot, and could be read
//	Set.SecureBootEnable, …        changes of boot mode, Secure Boot and its keys that were granted
type counters struct {
	mu sync.Mutex
	n  map[string]int
}

func (c *counters) add(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == nil {
		c.n = map[string]int{}
	}
	// A stranger chooses some names (methods, reset types): they must not fill the memory.
	if _, known := c.n[name]; !known && len(c.n) >= 200 {
		name = "other"
	}
	c.n[name]++
}

func (c *counters) all() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := maps.Clone(c.n)
	if out == nil {
		out = map[string]int{}
	}
	return out
}

// Counters tells how often each thing was asked since the BMC started. The names are in counter.go.
func (b *BMC) Counters() map[string]int { return b.counters.all() }
