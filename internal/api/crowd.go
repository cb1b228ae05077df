package api

import (
	"container/list"
	"context"
	"net"
	"net/http"
	"sync"
)

// crowd is a listener with a limit of connections. When it is reached, the connection that has waited longest without a request in
// work makes room: idle ones, and those that are slow to say what they want, never keep out who has something to ask. While
// every connection is at work nobody is let in.
type crowd struct {
	net.Listener
	limit int

	mu     sync.Mutex
	change *sync.Cond
	count  int        // open connections
	idle   *list.List // of *guest, the longest idle first
	closed bool
}

// guest is a connection of a crowd.
type guest struct {
	net.Conn
	c    *crowd
	busy bool          // a request is in work, or its answer not yet sent; guarded by crowd.mu
	at   *list.Element // in crowd.idle; nil while busy, or gone
	gone bool
}

// Crowd limits the connections of a listener; Server's handlers tell it which of them are at work.
func Crowd(l net.Listener, limit int) net.Listener {
	c := &crowd{Listener: l, limit: limit, idle: list.New()}
	c.change = sync.NewCond(&c.mu)
	return c
}

// Accept waits for a connection, and then for room for it: meanwhile the kernel keeps who else comes.
func (c *crowd) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err != nil {
		return nil, err
	}
	g := &guest{Conn: conn, c: c}
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.count >= c.limit && !c.closed {
		if longest := c.idle.Front(); longest != nil {
			_ = longest.Value.(*guest).leave() // whoever it was said nothing for longest
		} else {
			c.change.Wait()
		}
	}
	if c.closed {
		_ = conn.Close() // nobody spoke to it yet
		return nil, net.ErrClosed
	}
	c.count++
	g.at = c.idle.PushBack(g)
	return g, nil
}

// Close ends the listener and wakes who waits.
func (c *crowd) Close() error {
	c.mu.Lock()
	c.closed = true
	c.change.Broadcast()
	c.mu.Unlock()
	return c.Listener.Close()
}

// Close ends a connection and counts it out, once.
func (g *guest) Close() error {
	g.c.mu.Lock()
	defer g.c.mu.Unlock()
	return g.leave()
}

// leave is Close for who holds crowd.mu.
func (g *guest) leave() error {
	if !g.gone {
		g.gone = true
		g.c.count--
		if g.at != nil {
			g.c.idle.Remove(g.at)
			g.at = nil
		}
		g.c.change.Signal()
	}
	return g.Conn.Close()
}

// work tells that a request came whole, its body aside.
func (g *guest) work() {
	g.c.mu.Lock()
	defer g.c.mu.Unlock()
	if g.busy = true; g.at != nil {
		g.c.idle.Remove(g.at)
		g.at = nil
	}
}

// rest tells that the answer is sent to its end.
func (g *guest) rest() {
	g.c.mu.Lock()
	defer g.c.mu.Unlock()
	if g.busy && !g.gone {
		g.at = g.c.idle.PushBack(g)
		g.c.change.Signal()
	}
	g.busy = false
}

type guestKey struct{}

// guestOf finds the guest of a connection; it may be inside TLS.
func guestOf(conn net.Conn) *guest {
	if t, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = t.NetConn()
	}
	g, _ := conn.(*guest)
	return g
}

// remember puts the guest of a connection into the context of its requests.
func remember(ctx context.Context, conn net.Conn) context.Context {
	if g := guestOf(conn); g != nil {
		return context.WithValue(ctx, guestKey{}, g)
	}
	return ctx
}

// rested hears from the server that an answer is sent to its end, which is after its handler.
func rested(conn net.Conn, state http.ConnState) {
	if g := guestOf(conn); g != nil && state == http.StateIdle {
		g.rest()
	}
}

// counted tells a crowd which connections have requests in work.
func counted(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if g, ok := r.Context().Value(guestKey{}).(*guest); ok {
			g.work()
		}
		h.ServeHTTP(w, r)
	})
}
