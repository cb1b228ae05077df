package main

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"sync"

	"ingot/internal/cli"
	"ingot/internal/driver/neutron"
	"ingot/internal/fault"
	"ingot/internal/metadata"
	"ingot/internal/metal"
	"ingot/internal/peer"
	"ingot/internal/store"
)

// metadataSources are who else may know whose address it is that a request comes from.
func (s *server) metadataSources() ([]metadata.Addresses, error) {
	var out []metadata.Addresses
	if s.c.Neutron.Configured() && !s.c.Metadata.ServiceMetadataProxy {
		d, err := neutron.New(neutron.Options{Config: s.c.Neutron, Log: s.log})
		if err != nil {
			return nil, err
		}
		s.onClose(d.Close)
		out = append(out, fixedIPs{d, s.db})
	}
	if s.c.Metadata.BootHostLeases && !s.c.Metadata.ServiceMetadataProxy {
		all, err := parseBootHosts(s.c.Deploy.BootHosts)
		if err != nil {
			return nil, err
		}
		if s.peer == nil || len(all) == 0 || !s.peer.Identity().Is(peer.Metadata) && !s.peer.Identity().Is(peer.Conductor) {
			return nil, cli.Hint(errors.New("[metadata] boot_host_leases needs [deploy] boot_hosts, and a certificate with the role metadata or conductor"),
				"on the issuing server: ingot peer invite NAME --roles metadata")
		}
		out = append(out, bootHostLeases{s.peer, all, s.db, s.log})
	}
	return out, nil
}

// bootHostLeases are those that boot hosts gave out.
type bootHostLeases struct {
	peer *peer.Peer
	all  []peer.Server
	db   *store.DB
	log  *slog.Logger
}

// NodesAt are the nodes of the NICs that have leased an address. One boot host that does not answer is left out if another knows.
func (b bootHostLeases) NodesAt(ctx context.Context, a netip.Addr) ([]string, error) {
	macs, errs := make([]string, len(b.all)), make([]error, len(b.all))
	var asked sync.WaitGroup
	for i, at := range b.all {
		asked.Go(func() { macs[i], errs[i] = b.peer.LeaseHolder(ctx, at, a) })
	}
	asked.Wait()
	var out []string
	err := b.db.Read(ctx, func(tx *store.Tx) error {
		for _, mac := range macs {
			if mac == "" {
				continue
			}
			found, err := tx.InstancesByMAC(mac)
			if err != nil {
				return err
			}
			for _, r := range found {
				out = append(out, r.NodeUUID)
			}
		}
		return nil
	})
	if failed := errors.Join(errs...); failed != nil && err == nil {
		b.log.Debug("a boot host does not say whose an address is", "error", failed)
		if len(out) == 0 {
			err = failed
		}
	}
	return out, err
}

// fixedIPs are those of Neutron's ports. The database has them as they were when a machine came to its user's networks.
type fixedIPs struct {
	d  *neutron.Driver
	db *store.DB
}

// NodesAt are the nodes that have a VIF with a fixed IP. That a port is bound to a node is Neutron's word, which its user may have
// some say in; that the node has the VIF is ours.
func (f fixedIPs) NodesAt(ctx context.Context, a netip.Addr) ([]string, error) {
	found, err := f.d.VIFsAt(ctx, a)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, v := range found {
		has, err := f.has(ctx, v)
		if err != nil {
			return nil, err
		}
		if has {
			out = append(out, v.Node)
		}
	}
	return out, nil
}

func (f fixedIPs) has(ctx context.Context, v neutron.BoundVIF) (has bool, err error) {
	err = f.db.Read(ctx, func(tx *store.Tx) error {
		n, err := tx.Node(v.Node)
		if fault.KindOf(err) == fault.NotFound && err != nil {
			return nil
		}
		if err != nil {
			return err
		}
		ports, err := tx.PortsOf(n.ID)
		if err != nil {
			return err
		}
		groups, err := tx.Portgroups(store.PortgroupFilter{NodeID: n.ID}, store.Page{})
		has = err == nil && slices.Contains(metal.VIFs(ports, groups), v.VIF)
		return err
	})
	return has, err
}
