package e2e

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"time"
)

// frame is one Ethernet frame that passed on a network.
type frame struct {
	network  string
	at       time.Time
	from, to string
}

// readFrames reads what tcpdump wrote. Source of the form: pcap-savefile(5); times are in microseconds.
func readFrames(path, network string) (out []frame, err error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	const magic = 0xa1b2c3d4
	if len(b) < 24 || binary.LittleEndian.Uint32(b) != magic {
		return nil, errors.New("it is no capture of a little-endian host")
	}
	for b = b[24:]; len(b) >= 16; {
		n := int(binary.LittleEndian.Uint32(b[8:]))
		if len(b) < 16+n {
			return out, io.ErrUnexpectedEOF
		}
		f := frame{network: network, at: time.Unix(int64(binary.LittleEndian.Uint32(b)), int64(binary.LittleEndian.Uint32(b[4:]))*1000)}
		if n >= 12 {
			f.to, f.from = net.HardwareAddr(b[16:22]).String(), net.HardwareAddr(b[22:28]).String()
			out = append(out, f)
		}
		b = b[16+n:]
	}
	return out, nil
}
