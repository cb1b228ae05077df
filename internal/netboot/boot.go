package netboot

import (
	"context"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"

	"ingot/internal/fault"
	"ingot/internal/metal"
)

// offer is what a machine is told to boot; empty: nothing.
type offer struct {
	boot *metal.NetworkBoot
	file string     // what goes where file names go: a TFTP name, or a URL
	url  string     // the same as a URL, for DHCPv6
	http bool       // the firmware boots over HTTP, and wants that said
	tftp netip.Addr // the server of a TFTP name
}

// silence is why somebody gets no answer, or none about boots. It is for logs and counters.
type silence struct {
	reason string // one of a few words, for counters
	detail string
}

func (s silence) Error() string {
	if s.detail == "" {
		return s.reason
	}
	return s.reason + ": " + s.detail
}

// who finds the machine of a MAC and its boot. A stranger, and a machine that is not the node's by its UUID, is silence.
func (s *Service) who(ctx context.Context, mac string, a asker) (*Known, *metal.NetworkBoot, error) {
	known, err := s.o.Boots.Known(ctx, mac)
	if err != nil {
		return nil, nil, fmt.Errorf("look for the machine: %w", err)
	}
	boot, err := s.o.Boots.ByMAC(ctx, mac)
	if err != nil {
		return nil, nil, fmt.Errorf("look for its boot: %w", err)
	}
	if known == nil && boot != nil { // a boot host may know boots only
		known = &Known{NodeUUID: boot.NodeUUID, NodeName: boot.NodeName, MAC: mac}
	}
	if known == nil {
		return nil, nil, silence{reason: "unknown machine"}
	}
	if boot != nil && a.mute && a.boots() && tellsApart(boot.SystemUUID) {
		s.o.Boots.Note(ctx, Notice{NodeUUID: known.NodeUUID, Kind: NoticeUUID, Text: fmt.Sprintf(
			"A machine with the MAC %s asked for a boot file and told no system UUID, which the firmware of %s does: it was not answered.", mac, boot.SystemUUID)})
		return nil, nil, silence{reason: NoticeUUID, detail: "none"}
	}
	if boot != nil && a.uuid != nil && !sameUUID(boot.SystemUUID, *a.uuid) {
		s.o.Boots.Note(ctx, Notice{NodeUUID: known.NodeUUID, Kind: NoticeUUID, Text: fmt.Sprintf(
			"A machine with the MAC %s asked for a boot file, but its system UUID %s is not %s: it was not answered.", mac, uuidText(*a.uuid), boot.SystemUUID)})
		return nil, nil, silence{reason: NoticeUUID, detail: uuidText(*a.uuid)}
	}
	return known, boot, nil
}

// sameUUID compares the UUID that is known of a machine with what its firmware sent. Firmware sends SMBIOS's order of
// bytes or the RFC's: both are taken. "" is not known. Source: SMBIOS 3.6 section 7.2.1, RFC 4578 section 2.3.
func sameUUID(known string, sent [16]byte) bool {
	if known == "" {
		return true
	}
	raw, err := hex.DecodeString(strings.ReplaceAll(known, "-", ""))
	if err != nil || len(raw) != 16 {
		return true // not of a form that could be compared
	}
	k := [16]byte(raw)
	return k == sent || k == swapped(sent)
}

// tellsApart tells whether a UUID tells machines apart: boards without one have all zeros or all ones.
func tellsApart(known string) bool {
	raw, err := hex.DecodeString(strings.ReplaceAll(known, "-", ""))
	return err == nil && uuidOf(append([]byte{0}, raw...)) != nil
}

func swapped(u [16]byte) [16]byte {
	u[0], u[1], u[2], u[3] = u[3], u[2], u[1], u[0]
	u[4], u[5] = u[5], u[4]
	u[6], u[7] = u[7], u[6]
	return u
}

func uuidText(u [16]byte) string {
	h := hex.EncodeToString(u[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// offerTo chooses what a machine boots: iPXE its script, firmware its loader. No boot, and no loader for it, is silence.
func (s *Service) offerTo(ctx context.Context, boot *metal.NetworkBoot, a asker, p Place, tftp netip.Addr) (offer, error) {
	if !a.boots() {
		return offer{}, silence{reason: "asks for no boot file"}
	}
	if boot == nil {
		return offer{}, silence{reason: "no boot"}
	}
	o := offer{boot: boot}
	if a.ipxe && (boot.Interface == metal.BootIPXE || boot.Interface == metal.BootHTTPIPXE) {
		if p.HTTP == "" {
			return offer{}, silence{reason: "no HTTP listener", detail: "iPXE fetches its script by HTTP"}
		}
		o.file = p.HTTP + "/" + FileScript
		o.url = o.file
		return o, nil
	}
	c, found := a.client()
	if !found {
		s.noLoader(ctx, boot, fmt.Sprintf("The firmware's architecture %v is none that is served", a.archs))
		return offer{}, silence{reason: NoticeLoader, detail: fmt.Sprint("architecture ", a.archs)}
	}
	if c.HTTP && boot.Interface != metal.BootHTTP && boot.Interface != metal.BootHTTPIPXE {
		return offer{}, silence{reason: "boots otherwise", detail: "the firmware asks for HTTP boot, the node's boot interface is " + boot.Interface}
	}
	name, err := s.o.Boots.Loader(ctx, boot, c)
	if err != nil {
		s.noLoader(ctx, boot, why(err))
		return offer{}, silence{reason: NoticeLoader, detail: err.Error()}
	}
	switch {
	case c.HTTP && p.HTTP == "":
		return offer{}, silence{reason: "no HTTP listener"}
	case c.HTTP:
		o.http, o.file, o.url = true, p.HTTP+"/"+name, p.HTTP+"/"+name
	case p.TFTP == "":
		return offer{}, silence{reason: "no TFTP server"}
	default:
		o.file, o.url, o.tftp = boot.Key.Expose()+"/"+name, p.TFTP+"/"+name, tftp
	}
	return o, nil
}

func (s *Service) noLoader(ctx context.Context, b *metal.NetworkBoot, why string) {
	s.o.Boots.Note(ctx, Notice{NodeUUID: b.NodeUUID, Kind: NoticeLoader, Text: "The machine's firmware asked for a boot file and got none. " + strings.TrimSuffix(why, ".") + "."})
}

// why is the part of an error that an operator may read.
func why(err error) string {
	if text, found := fault.PublicOf(err); found {
		return text
	}
	return "The server's log has the reason."
}
