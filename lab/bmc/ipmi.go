package bmc

import (
	"bytes"
	"net"
	"strconv"
)

// ipmiAddress is where the BMC's IPMI is: port 623 beside a BMC at 443, and otherwise the same number, for UDP, so that many can be
// on one host.
func ipmiAddress(tcp string) (string, error) {
	host, port, err := net.SplitHostPort(tcp)
	if err != nil {
		return "", err
	}
	if port == "443" {
		port = strconv.Itoa(623)
	}
	return net.JoinHostPort(host, port), nil
}

func listenPings(tcp string) (net.PacketConn, error) {
	at, err := ipmiAddress(tcp)
	if err != nil {
		return nil, err
	}
	return net.ListenPacket("udp", at)
}

// ping and pong are the ASF presence messages (DSP0136, 3.2.4.2 and 3.2.4.3) but for the tag, their tenth byte. The answer says
// that IPMI is spoken, by the highest bit of the supported entities.
var (
	ping = []byte{0x06, 0x00, 0xff, 0x06, 0x00, 0x00, 0x11, 0xbe, 0x80}
	pong = []byte{0x06, 0x00, 0xff, 0x06, 0x00, 0x00, 0x11, 0xbe, 0x40, 0x00, 0x00, 0x10,
		0x00, 0x00, 0x11, 0xbe, 0x00, 0x00, 0x00, 0x00, 0x81, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00}
)

// answerPings is all the IPMI there is: whoever asks learns that it is spoken, while a fault says that it is.
func (b *BMC) answerPings(conn net.PacketConn) {
	buf := make([]byte, 512)
	for {
		n, from, err := conn.ReadFrom(buf)
		if err != nil {
			return // closed
		}
		if n < 12 || !bytes.HasPrefix(buf[:n], ping) || !b.faults.has(IPMIOn) && !b.faults.has(IPMIUntold) {
			continue
		}
		b.counters.add("ipmi.ping")
		out := bytes.Clone(pong)
		out[9] = buf[9]
		conn.WriteTo(out, from) // who asks asks again
	}
}
