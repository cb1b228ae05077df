package netboot

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"path"
	"regexp"
	"strings"

	"ingot/internal/fault"
	"ingot/internal/metal"
)

// request is a name that a machine asked for, taken apart. Names lead to a table of files, never to a path.
type request struct {
	key  string // "": a fixed name, for whoever has the address
	name string
}

// fileName is a name in the table of a boot's files.
var fileName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// keyForm is NetworkBoot.Key: 32 bytes in base64url.
var keyForm = regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`)

// maxName bounds a name before it is looked at.
const maxName = 256

// parseName reads the name of a file: KEY/NAME, or one that GRUB has built in. Doubled slashes are single ones: shim
// puts its folder and a name together so.
func parseName(name string) (request, bool) {
	if len(name) > maxName || strings.ContainsAny(name, "\\\x00%") {
		return request{}, false
	}
	words := strings.FieldsFunc(name, func(r rune) bool { return r == '/' })
	for _, w := range words {
		if !fileName.MatchString(w) && !keyForm.MatchString(w) {
			return request{}, false
		}
	}
	switch {
	case len(words) == 2 && words[0] == "grub" && (words[1] == FileGrub || strings.HasPrefix(words[1], FileGrub+"-")):
		return request{name: FileGrub}, true
	case len(words) == 2 && keyForm.MatchString(words[0]) && fileName.MatchString(words[1]):
		return request{key: words[0], name: words[1]}, true
	}
	return request{}, false
}

// opened is a file that a machine may have.
type opened struct {
	File

	boot *metal.NetworkBoot
	name string
}

// openFor opens what a machine asked for. Silence means that it gets nothing, and is told "not found".
func (s *Service) openFor(ctx context.Context, r request, from, local netip.Addr) (*opened, error) {
	var b *metal.NetworkBoot
	var err error
	if r.key != "" {
		if b, err = s.o.Boots.ByKey(ctx, r.key); err == nil && b == nil {
			err = silence{reason: "unknown key"}
		}
	} else {
		b, err = s.bootAt(ctx, from)
	}
	if err != nil {
		return nil, err
	}
	local = local.Unmap().WithZone("")
	f, err := s.o.Boots.Open(ctx, b, r.name, s.place(s.networkOf(local), local, b.Key))
	if fault.KindOf(err) == fault.NotFound && err != nil {
		return nil, silence{reason: "no such file", detail: r.name}
	}
	if err != nil {
		return nil, err
	}
	return &opened{File: f, boot: b, name: r.name}, nil
}

// networkOf is the network in which this host has an address; nil for none.
func (s *Service) networkOf(a netip.Addr) *Network {
	for i := range s.networks {
		if n := &s.networks[i]; n.Server == a || n.Server6 == a {
			return n
		}
	}
	return nil
}

// give is called before the first byte of a file goes out.
func (s *Service) give(ctx context.Context, f *opened, to netip.Addr) error {
	if f.name != FileConfig && f.name != FileISO || f.boot.Installer { // an installer's holds nothing of ours
		return nil
	}
	err := s.o.Boots.Give(ctx, f.boot, to.Unmap())
	if err != nil {
		s.log.Warn("the configuration of a boot is not given out", "node", f.boot.NodeUUID, "to", to, "error", err)
		s.o.Boots.Note(ctx, Notice{NodeUUID: f.boot.NodeUUID, Kind: NoticeConfig,
			Text: "The configuration of this boot, with the agent's token, was asked for from " + to.Unmap().String() + " and refused. " + why(err)})
		return silence{reason: NoticeConfig}
	}
	s.log.Info("configuration of a boot given out", "node", f.boot.NodeUUID, "to", to)
	return nil
}

// reasonOf is an error in a word, for counters.
func reasonOf(err error) string {
	var quiet silence
	switch {
	case err == nil:
		return "served"
	case errors.As(err, &quiet):
		return quiet.reason
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, errTooLong):
		return "ended early"
	}
	return "error"
}

// clean is a URL's path with single slashes and without dots.
func clean(p string) string { return path.Clean("/" + p) }
