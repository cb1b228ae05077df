package server

import (
	"crypto/tls"
	"log/slog"
	"net"
	"sync"
	"time"

	"ingot/internal/agentapi"
)

const (
	// sayAgain is how long the log is silent about a peer that was refused; maxPeers is how many of them are remembered:
	// whoever knocks all the time must not push everything else out of the log.
	sayAgain = time.Minute
	maxPeers = 256
)

// secure is TLS 1.3 for one listener. With client, everybody who does not show exactly that certificate is refused in
// the handshake: nothing of the API answers, not even what needs no token.
func secure(own tls.Certificate, client *agentapi.Certificate, log *slog.Logger) *tls.Config {
	c := &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{own}}
	if client == nil {
		return c
	}
	c.ClientAuth = tls.RequestClientCert // required below, where the peer's address is known
	c.SessionTicketsDisabled = true
	door := &doorman{log: log, refused: map[string]time.Time{}}
	c.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		one := c.Clone()
		one.GetConfigForClient = nil
		one.VerifyConnection = func(s tls.ConnectionState) error {
			err := client.Verify(s)
			if err != nil {
				door.say(hello.Conn.RemoteAddr(), len(s.PeerCertificates) > 0)
			}
			return err
		}
		return one, nil
	}
	return c
}

// doorman tells the log who was refused.
type doorman struct {
	log *slog.Logger

	mu      sync.Mutex
	refused map[string]time.Time // when it was said last, by address
}

func (d *doorman) say(peer net.Addr, shown bool) {
	host, _, err := net.SplitHostPort(peer.String())
	if err != nil {
		host = peer.String()
	}
	now := time.Now()
	d.mu.Lock()
	last, known := d.refused[host]
	quiet := known && now.Sub(last) < sayAgain || !known && len(d.refused) >= maxPeers
	if len(d.refused) >= maxPeers {
		for h, at := range d.refused {
			if now.Sub(at) >= sayAgain {
				delete(d.refused, h)
			}
		}
	}
	if !quiet {
		d.refused[host] = now
	}
	d.mu.Unlock()
	if !quiet {
		d.log.Warn("a caller without the commander's certificate was refused", "peer", peer.String(), "showed_another", shown)
	}
}
