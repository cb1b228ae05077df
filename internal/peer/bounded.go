package peer

import (
	"io"
	"net"
	"sync"
)

// maxConnections is how many connections other servers, and strangers, may have open at once.
const maxConnections = 512

// bounded closes what comes when too many are there: strangers are told nothing and cost little.
type bounded struct {
	net.Listener
	slots chan struct{}
}

func newBounded(l net.Listener) net.Listener {
	return &bounded{l, make(chan struct{}, maxConnections)}
}

// Accept gives the next connection there is room for.
func (b *bounded) Accept() (net.Conn, error) {
	for {
		c, err := b.Listener.Accept()
		if err != nil {
			return nil, err
		}
		select {
		case b.slots <- struct{}{}:
			return &slot{Conn: c, free: sync.OnceFunc(func() { <-b.slots })}, nil
		default:
			_ = c.Close() // nothing was said on it
		}
	}
}

// slot gives its room back when it is closed.
type slot struct {
	net.Conn
	free  func()
	begun bool // only its one reader looks
}

// Read ends the connection of who does not begin with a TLS handshake: net/http would answer a request in clear
// with a hint.
func (s *slot) Read(b []byte) (int, error) {
	n, err := s.Conn.Read(b)
	if n > 0 && !s.begun {
		s.begun = true
		if b[0] != recordHandshake {
			return 0, io.EOF
		}
	}
	return n, err
}

// recordHandshake is the type of the first record of a TLS connection. Source: RFC 8446, section 5.1.
const recordHandshake = 22

func (s *slot) Close() error {
	defer s.free()
	return s.Conn.Close()
}
