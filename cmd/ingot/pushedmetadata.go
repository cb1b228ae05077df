package main

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"ingot/internal/config"
	"ingot/internal/depot"
	"ingot/internal/fault"
	"ingot/internal/metadata"
	"ingot/internal/netboot"
	"ingot/internal/peer"
	"ingot/internal/seed"
)

// pushedSeeds are what conductors pushed of instances, as the room metadata looks for them.
type pushedSeeds struct {
	shelf  *depot.SeedShelf
	leases *netboot.LeaseFile // of this host's DHCP server; nil: it gives no addresses
	// neighbor tells the MAC that the kernel speaks with at an address on a link of this host; "" for none.
	neighbor func(netip.Addr) string
}

// At are the instances at an address: those that have it, or that lease it here. Where both are known and differ, nobody knows
// who it is. On a link of this host only a machine with a NIC of the instance's has it, whoever else says so.
func (p *pushedSeeds) At(ctx context.Context, a netip.Addr) ([]metadata.Mark, error) {
	if err := p.shelf.Ready(ctx); err != nil {
		return nil, err
	}
	mac := p.neighbor(a)
	if a.Is6() && a.IsLinkLocalUnicast() {
		return marks(p.shelf.ByMAC(mac)), nil
	}
	found, err := p.sayingSo(ctx, a)
	if mac == "" || err != nil {
		return marks(found), err
	}
	return marks(slices.DeleteFunc(found, func(h *depot.HeldSeed) bool { return !h.Has(mac) })), nil
}

// sayingSo are the instances that have an address, by what was pushed and by leases.
func (p *pushedSeeds) sayingSo(ctx context.Context, a netip.Addr) ([]*depot.HeldSeed, error) {
	found := p.shelf.ByAddress(a)
	if p.leases == nil {
		return found, nil
	}
	lease, err := p.leases.Holder(ctx, a.Unmap(), time.Now())
	if err != nil || lease == nil {
		return found, err
	}
	leased := p.shelf.ByMAC(lease.MAC)
	if len(leased) == 0 { // whoever says that the address is its own, another has it
		return nil, nil
	}
	return append(leased, found...), nil
}

// ByID are those with an instance-id.
func (p *pushedSeeds) ByID(ctx context.Context, id string) ([]metadata.Mark, error) {
	return p.which(ctx, func(h *depot.HeldSeed) bool { return h.Instance == id })
}

// ByNode are those of a node.
func (p *pushedSeeds) ByNode(ctx context.Context, uuid string) ([]metadata.Mark, error) {
	return p.which(ctx, func(h *depot.HeldSeed) bool { return h.Node == uuid })
}

func (p *pushedSeeds) which(ctx context.Context, is func(*depot.HeldSeed) bool) ([]metadata.Mark, error) {
	if err := p.shelf.Ready(ctx); err != nil {
		return nil, err
	}
	var out []*depot.HeldSeed
	for _, h := range p.shelf.List() {
		if is(&h) {
			out = append(out, &h)
		}
	}
	return marks(out), nil
}

// marks are those of seeds, of each node once.
func marks(all []*depot.HeldSeed) []metadata.Mark {
	var out []metadata.Mark
	seen := map[string]bool{}
	for _, h := range all {
		if !seen[h.Node] {
			out = append(out, metadata.Mark{Node: h.Node, ID: h.Instance, Project: h.Project, Generation: h.Version})
		}
		seen[h.Node] = true
	}
	return out
}

// Open reads an instance.
func (p *pushedSeeds) Open(_ context.Context, m metadata.Mark) (*metadata.Instance, error) {
	h := p.shelf.ByNode(m.Node)
	if h == nil || h.Version != m.Generation {
		return nil, metadata.ErrChanged
	}
	s, err := seed.Decode([]byte(h.Seed.Expose()))
	if err != nil {
		return nil, err
	}
	return &metadata.Instance{Mark: m, Seed: s, Size: s.Size()}, nil
}

// Static is as in the seed.
func (p *pushedSeeds) Static(*metadata.Instance) json.RawMessage { return nil }

// VendorData2 stays as it was at the deploy: a boot host asks nobody.
func (p *pushedSeeds) VendorData2(context.Context, *metadata.Instance) (json.RawMessage, error) {
	return nil, nil
}

// Password is none.
func (p *pushedSeeds) Password(context.Context, *metadata.Instance) ([]byte, error) { return nil, nil }

// SetPassword is refused: there is no way inward on which it could be kept.
func (p *pushedSeeds) SetPassword(context.Context, *metadata.Instance, []byte) error {
	return fault.New(fault.NotSupported, "This metadata service is on a host that keeps nothing: it takes no password.")
}

// peerSeeds are pushed seeds as conductors know them.
type peerSeeds struct{ *depot.SeedShelf }

// Put keeps what can be kept; the error tells of the first that cannot.
func (p peerSeeds) Put(_ context.Context, all []json.RawMessage) error {
	var errs []error
	for _, one := range all {
		errs = append(errs, p.SeedShelf.Put(one))
	}
	return errors.Join(errs...)
}

// List gives what is there.
func (p peerSeeds) List(context.Context) ([]peer.SeedMark, error) {
	all := p.SeedShelf.List()
	out := make([]peer.SeedMark, len(all))
	for i, h := range all {
		out[i] = peer.SeedMark{Node: h.Node, Version: h.Version, Made: h.Made}
	}
	return out, nil
}

// Remove takes away what was made for a node until then.
func (p peerSeeds) Remove(_ context.Context, node string, made time.Time) error {
	p.SeedShelf.Remove(node, made)
	return nil
}

// Told notes that a conductor has compared.
func (p peerSeeds) Told(context.Context) error {
	p.SeedShelf.Told()
	return nil
}

// hostMetadata is the metadata service of a boot host; nil: it has none.
func hostMetadata(c config.Config, leases *netboot.LeaseFile, log *slog.Logger) (*metadata.Service, *depot.SeedShelf, error) {
	if len(c.Metadata.Listen) == 0 {
		return nil, nil, nil
	}
	shelf := depot.NewSeedShelf(depot.SeedOptions{Space: int64(c.BootHost.MetadataSpace) << 20, MaxAge: c.BootHost.MetadataMaxAge})
	s, err := metadata.New(metadata.Options{Config: c.Metadata, Log: log, Instances: &pushedSeeds{shelf: shelf, leases: leases, neighbor: neighbours(c.Metadata.CheckNeighbours)}})
	return s, shelf, err
}

// seedsOf is where conductors push to; nil: nowhere.
func seedsOf(s *depot.SeedShelf) peer.Seeds {
	if s == nil {
		return nil
	}
	return peerSeeds{s}
}
