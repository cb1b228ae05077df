package main

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"time"

	"ingot/internal/netboot"
)

// hostLeases are the leases of this boot host, as conductors may ask for them; nil: it gives no addresses.
type hostLeases struct{ *netboot.LeaseFile }

// Addresses are those that a MAC has leased, the newest first.
func (l hostLeases) Addresses(_ context.Context, mac string) ([]netip.Addr, error) {
	if l.LeaseFile == nil {
		return nil, nil
	}
	return l.LeaseFile.Addresses(mac, time.Now()), nil
}

// Holder is the MAC that has leased an address.
func (l hostLeases) Holder(ctx context.Context, a netip.Addr) (string, error) {
	if l.LeaseFile == nil {
		return "", nil
	}
	lease, err := l.LeaseFile.Holder(ctx, a, time.Now())
	if err != nil || lease == nil || lease.Declined {
		return "", err
	}
	return lease.MAC, nil
}

// everyLease is the leases in the database and those of the boot hosts. It is what a conductor with boot hosts asks.
type everyLease struct {
	own   storeLeases
	hosts *bootHosts
}

// Addresses are those that a MAC has leased, those of the database first. Sources that do not answer are in the error, beside
// what the others know.
func (l everyLease) Addresses(ctx context.Context, mac string) ([]netip.Addr, error) {
	out, err := l.own.Addresses(ctx, mac)
	found, errs := make([][]netip.Addr, len(l.hosts.all)), make([]error, len(l.hosts.all))
	var asked sync.WaitGroup
	for i, at := range l.hosts.all {
		asked.Go(func() { found[i], errs[i] = l.hosts.peer.Leases(ctx, at, mac) })
	}
	asked.Wait()
	return slices.Concat(append([][]netip.Addr{out}, found...)...), errors.Join(append(errs, err)...)
}
