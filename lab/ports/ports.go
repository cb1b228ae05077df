package ports

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
)

// The ports that are given.
const first, many = 10_000, 20_000

var (
	mu   sync.Mutex
	next = rand.IntN(many)            // guarded by mu
	held []interface{ Close() error } // guarded by mu; until the process ends
)

// Free gives an address of a host where nobody listens now.
func Free(host string) (string, error) {
	mu.Lock()
	defer mu.Unlock()
	for range many {
		port := first + next
		next = (next + 1) % many
		hold, err := net.Listen("unix", fmt.Sprintf("@ingot-port-%s-%d", host, port))
		if err != nil {
			continue // another process has it
		}
		l, err := net.Listen("tcp", net.JoinHostPort(host, fmt.Sprint(port)))
		if err != nil {
			hold.Close()
			continue
		}
		held = append(held, hold)
		return l.Addr().String(), l.Close()
	}
	return "", errors.New("no port is free on " + host)
}
