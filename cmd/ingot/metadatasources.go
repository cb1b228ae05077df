package main

import (
	"context"
	"net/netip"
	"slices"

	"ingot/internal/driver/neutron"
	"ingot/internal/fault"
	"ingot/internal/metadata"
	"ingot/internal/metal"
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
	return out, nil
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
