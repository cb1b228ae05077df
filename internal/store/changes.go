package store

import (
	"context"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// changes tells waiters of this process that something was committed.
type changes struct {
	self string // who this process is among those that notify

	mu sync.Mutex
	ch chan struct{} // nil: nobody waits
}

func (c *changes) announce() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ch != nil {
		close(c.ch)
		c.ch = nil
	}
}

// Changed gives a channel that is closed at the next commit that changed an operation. Ask for it before
// looking, or the change is missed.
func (db *DB) Changed() <-chan struct{} {
	db.changed.mu.Lock()
	defer db.changed.mu.Unlock()
	if db.changed.ch == nil {
		db.changed.ch = make(chan struct{})
	}
	return db.changed.ch
}

// The listener's pauses between tries to connect, and how long a connection that says nothing is trusted.
const (
	firstPause = 100 * time.Millisecond
	lastPause  = 5 * time.Second
	quiet      = 30 * time.Second
)

// listener connects and listens for other processes' commits.
func listener(ctx context.Context, config *pgx.ConnConfig) (*pgx.Conn, error) {
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	if _, err := conn.Exec(ctx, "LISTEN ingot_changed"); err != nil {
		hangUp(ctx, conn)
		return nil, err
	}
	return conn, nil
}

// listen hears of other processes' commits until ctx ends, first on conn. Without a connection nothing is
// heard, and who waits must look now and then; when it is back everybody is woken, for something may have been
// missed.
func (c *changes) listen(ctx context.Context, conn *pgx.Conn, config *pgx.ConnConfig) {
	pause := firstPause
	for {
		if conn != nil {
			c.hear(ctx, conn)
			hangUp(ctx, conn)
			pause = firstPause
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		pause = min(2*pause, lastPause)
		var err error
		if conn, err = listener(ctx, config); err != nil {
			conn = nil
			continue
		}
		c.announce()
	}
}

// hear listens until the connection breaks or ctx ends.
func (c *changes) hear(ctx context.Context, conn *pgx.Conn) {
	for {
		wait, cancel := context.WithTimeout(ctx, quiet)
		n, err := conn.WaitForNotification(wait)
		silent := wait.Err() != nil && ctx.Err() == nil
		cancel()
		switch {
		case err == nil && n.Payload != c.self: // its own it has heard already
			c.announce()
		case err == nil:
		case !silent || conn.Ping(ctx) != nil:
			return
		}
	}
}

// hangUp closes a connection that may be dead.
func hangUp(ctx context.Context, conn *pgx.Conn) {
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = conn.Close(end)
}
