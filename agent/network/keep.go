package network

import (
	"context"
	"encoding/json"
	"log/slog"
	"time"
)

// againWhole is the pause before all of the network is tried once more.
const againWhole = 15 * time.Second

// Keep is Up that never gives up: for an agent that is found rather than telling where it is, however late a DHCP server
// answers or a NIC appears. It returns when ctx has ended.
func Keep(ctx context.Context, log *slog.Logger, data json.RawMessage) {
	for ctx.Err() == nil {
		tryAll(ctx, log, data)
		pause(ctx, againWhole)
	}
}

// tryAll returns when the network did not come up, or when ctx ended.
func tryAll(ctx context.Context, log *slog.Logger, data json.RawMessage) {
	one, cancel := context.WithCancel(ctx)
	defer cancel()
	ended, err := Up(one, log, data)
	if err != nil {
		log.Warn("network is not up, and is tried again", "after", againWhole, "error", err)
		return
	}
	<-ctx.Done()
	ended()
}
