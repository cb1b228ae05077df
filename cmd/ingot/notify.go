package main

import (
	"context"
	"net"
	"os"
	"strconv"
	"time"
)

// notify tells the service manager how the process stands, if one listens. Source: sd_notify(3): datagrams to the
// socket named by NOTIFY_SOCKET; a leading @ means the abstract namespace, which Go writes the same way.
func (s *server) notify(state string) {
	name := os.Getenv("NOTIFY_SOCKET")
	if name == "" {
		return
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: name, Net: "unixgram"})
	if err == nil {
		_, err = c.Write([]byte(state))
		_ = c.Close() // a datagram is sent or not
	}
	if err != nil {
		s.log.Warn("the service manager cannot be told", "state", state, "error", err)
	}
}

// tellManager says that the server is ready and, as often as the manager wants to hear it, that it lives; at the end
// that it stops. A database that fails is no reason to be started again, one that never answers may be: so a beat
// follows a question that came back, whatever the answer. Source: sd_watchdog_enabled(3): half of WATCHDOG_USEC.
func (s *server) tellManager(ctx context.Context) error {
	return s.tell(ctx, func(ctx context.Context) { s.ready(ctx) })
}

// tell is tellManager with the question that must come back.
func (s *server) tell(ctx context.Context, question func(context.Context)) error {
	s.notify("READY=1")
	defer s.notify("STOPPING=1")
	us, err := strconv.ParseInt(os.Getenv("WATCHDOG_USEC"), 10, 64)
	if err != nil || us <= 0 {
		<-ctx.Done()
		return nil
	}
	every := time.Duration(us) * time.Microsecond / 2
	beat := time.NewTicker(every)
	defer beat.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-beat.C:
		}
		ask, cancel := context.WithTimeout(ctx, readyLimit)
		question(ask)
		cancel()
		s.notify("WATCHDOG=1")
	}
}
