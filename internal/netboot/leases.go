package netboot

import (
	"context"
	"net/netip"
	"time"
)

// Lease is an address of a served network that a machine has, or that must not be given out for a while.
type Lease struct {
	Network string     `json:"network"` // by its name in the configuration
	Address netip.Addr `json:"address"`
	MAC     string     `json:"mac"`            // lower case; "" for an address that somebody unknown uses
	Client  string     `json:"client"`         // DUID and IAID in hex (DHCPv6); "" for DHCPv4
	Node    string     `json:"node,omitempty"` // UUID
	Until   time.Time  `json:"until"`
	// Declined tells that a machine found the address in use: nobody gets it until then.
	Declined bool `json:"declined,omitempty"`
}

// Leases keeps leases over restarts: in the database, or in a file on a boot host. Several servers may share it.
type Leases interface {
	// List gives the leases of a network, those too that are over and not yet forgotten; of all networks for "".
	List(ctx context.Context, network string) ([]Lease, error)
	// Hold takes an address, or takes it for longer. It is fault.Conflict if another has it at the time now.
	Hold(ctx context.Context, l Lease, now time.Time) error
	// Drop ends a lease, if it is this MAC's and client's.
	Drop(ctx context.Context, l Lease) error
	// Holder is the lease of an address that lasts at the time now; nil for none.
	Holder(ctx context.Context, a netip.Addr, now time.Time) (*Lease, error)
}
