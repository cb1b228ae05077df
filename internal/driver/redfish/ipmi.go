package redfish

import (
	"context"
	"errors"
	"net"
	"net/url"
	"os"
	"strconv"
	"syscall"
	"time"

	"ingot/internal/metal"
)

// How a BMC is asked whether it speaks IPMI over the network. A datagram may be lost, so there is a second.
const (
	pingTries = 2
	pingWait  = 500 * time.Millisecond
	rmcpPort  = 623
)

// presencePing is the message to which whatever speaks RMCP, and so IPMI over LAN, answers without a password.
// Source: DMTF DSP0136 (ASF 2.0), 3.2.2.3 and 3.2.4.3: RMCP header, class ASF; enterprise number 4542, type 0x80, tag, no data.
var presencePing = []byte{0x06, 0x00, 0xff, 0x06, 0x00, 0x00, 0x11, 0xbe, 0x80, 0x49, 0x00, 0x00}

// pong tells whether an answer to presencePing says that IPMI is spoken: type 0x40, our tag, and the bit for IPMI in the
// ninth byte of its data.
func pong(b []byte) bool {
	return len(b) >= 12+9 && b[0] == 0x06 && b[3]&0x1f == 0x06 && string(b[4:8]) == string(presencePing[4:8]) &&
		b[8] == 0x40 && b[9] == presencePing[9] && b[12+8]&0x80 != 0
}

// answersIPMI sends a ping to the BMC's own address, and to no other. No means that nothing answered: a firewall may be why.
func (c *call) answersIPMI() metal.Answer {
	u, err := url.Parse(c.bmc.base)
	if err != nil {
		return metal.Unknown
	}
	port := c.bmc.cfg.IPMIPort
	if port == 0 {
		port = rmcpPort
	}
	conn, err := (&net.Dialer{}).DialContext(c.ctx, "udp", net.JoinHostPort(u.Hostname(), strconv.Itoa(port)))
	if err != nil {
		return metal.Unknown
	}
	defer conn.Close()
	defer context.AfterFunc(c.ctx, func() { conn.Close() })()
	for range pingTries {
		if _, err := conn.Write(presencePing); err != nil {
			return refusedDatagram(err)
		}
		if err := conn.SetReadDeadline(time.Now().Add(pingWait)); err != nil {
			return metal.Unknown
		}
		answer := make([]byte, 64)
		n, err := conn.Read(answer)
		switch {
		case err == nil && pong(answer[:n]):
			return metal.Yes
		case err == nil:
			return metal.No
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return refusedDatagram(err)
		}
	}
	return metal.No
}

// refusedDatagram: a host that says that nobody listens has answered, too.
func refusedDatagram(err error) metal.Answer {
	if errors.Is(err, syscall.ECONNREFUSED) {
		return metal.No
	}
	return metal.Unknown
}
