package netboot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/pin/tftp/v3"
)

const (
	// transferLimit bounds one transfer, so that who acknowledges slowly does not hold it for ever. A ramdisk of
	// 300 MiB takes half a minute over a good network.
	transferLimit = 15 * time.Minute
	tftpTimeout   = 2 * time.Second // for one block; five times
	tftpBlock     = 1468            // fits an Ethernet frame
)

// errTooLong ends a transfer.
var errTooLong = errors.New("the transfer took too long")

// errAbsent is all that is told of a file that is not served, whatever the reason.
var errAbsent = errors.New("file not found")

// serveTFTP serves files until the socket is closed.
func (s *Service) serveTFTP(ctx context.Context) error {
	server := tftp.NewServer(func(name string, to io.ReaderFrom) error { return s.transfer(ctx, name, to) }, nil)
	server.SetTimeout(tftpTimeout)
	server.SetBlockSize(tftpBlock)
	done := make(chan error, 1)
	go func() { done <- server.Serve(s.tftp) }()
	select {
	case err := <-done:
		return fmt.Errorf("TFTP: %w", err)
	case <-ctx.Done():
	}
	server.Shutdown()
	<-done
	return nil
}

// transfer answers one read request.
func (s *Service) transfer(ctx context.Context, name string, to io.ReaderFrom) error {
	out, ok := to.(interface {
		tftp.OutgoingTransfer
		tftp.RequestPacketInfo
	})
	if !ok {
		return errAbsent
	}
	peer := out.RemoteAddr()
	from := peer.AddrPort().Addr().Unmap()
	log := s.log.With("protocol", "tftp", "from", from)
	leave, ok := s.enter(from)
	if !ok {
		s.count("tftp", "busy")
		return errors.New("busy")
	}
	defer leave()
	r, ok := parseName(name)
	if !ok {
		s.count("tftp", "no such file")
		log.Debug("not served", "reason", "a name that is in no table", "name", masked(name))
		return errAbsent
	}
	limited, cancel := context.WithTimeout(ctx, transferLimit)
	defer cancel()
	local, _ := netip.AddrFromSlice(out.LocalIP())
	f, err := s.openFor(limited, r, from, local.Unmap())
	if err != nil {
		s.count("tftp", reasonOf(err))
		log.Debug("not served", "file", r.name, "error", err)
		return errAbsent
	}
	defer f.Close()
	out.SetSize(f.Size)
	_, err = to.ReadFrom(&sending{ctx: limited, f: f, begin: func() error { return s.give(limited, f, from) }})
	s.count("tftp", reasonOf(err))
	if err != nil { // firmware asks for the size first, and aborts
		log.Debug("transfer ended", "file", r.name, "node", f.boot.NodeUUID, "error", err)
		return errAbsent
	}
	log.Info("file served", "file", r.name, "node", f.boot.NodeUUID, "size", f.Size)
	return nil
}

// sending reads a file for a transfer, until its time is over. The first read comes after the machine has agreed to the size.
type sending struct {
	ctx   context.Context //nolint:containedctx // one transfer's
	f     io.Reader
	begin func() error
}

func (t *sending) Read(p []byte) (int, error) {
	if t.ctx.Err() != nil {
		return 0, errTooLong
	}
	if t.begin != nil {
		if err := t.begin(); err != nil {
			return 0, errAbsent
		}
		t.begin = nil
	}
	return t.f.Read(p)
}

// masked is a name for the log: without anything that may be a key.
func masked(name string) string {
	words := strings.Split(name[:min(len(name), maxName)], "/")
	for i, w := range words {
		if len(w) > 24 && !strings.HasPrefix(w, FileGrub) {
			words[i] = "******"
		}
	}
	return strings.Join(words, "/")
}

// openFiles opens the TFTP server's socket and the HTTP listener.
func (s *Service) openFiles() error {
	if at := s.o.TFTPListen; at != "" {
		a, err := net.ResolveUDPAddr("udp", at)
		if err != nil {
			return fmt.Errorf("[netboot] tftp_listen %q is no address with a port: %w", at, err)
		}
		if s.tftp, err = net.ListenUDP("udp", a); err != nil {
			return cannotListen("TFTP at "+at, err)
		}
	}
	if at := s.o.HTTPListen; at != "" {
		l, err := net.Listen("tcp", at)
		if err != nil {
			return cannotListen("HTTP boot at "+at, err)
		}
		s.http = l
	}
	return nil
}
