package redfish_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"ingot/internal/driver/redfish"
)

// TestOneBMCIsNotCrowded: the limit is the address's, whatever credentials its nodes have, and outlives evictions.
func TestOneBMCIsNotCrowded(t *testing.T) {
	s := newStub(t)
	var inside, most atomic.Int32
	s.on("GET "+sys, func(w http.ResponseWriter, _ *http.Request) {
		n := inside.Add(1)
		defer inside.Add(-1)
		for {
			m := most.Load()
			if n <= m || most.CompareAndSwap(m, n) {
				break
			}
		}
		_ = json.NewEncoder(w).Encode(doc{"PowerState": "On"})
	})
	cfg := quick()
	cfg.Concurrency, cfg.Sessions = 1, 3
	d := redfish.New(cfg)
	defer d.Close()
	var wg sync.WaitGroup
	for i := range 20 {
		n := *s.node
		n.DriverInfo = n.DriverInfo.With("redfish_username", fmt.Sprintf("user%d", i%5)).With("redfish_auth_type", "basic")
		wg.Go(func() {
			if _, err := d.Power(t.Context(), &n); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if most.Load() != 1 {
		t.Errorf("%d requests at once", most.Load())
	}
}
