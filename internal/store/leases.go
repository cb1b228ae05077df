package store

import (
	"database/sql"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"ingot/internal/fault"
)

// Lease is an address that a machine has from one of our DHCP servers, or that nobody gets for a while.
type Lease struct {
	Network  string
	Address  netip.Addr
	MAC      string // lower case; "": somebody unknown uses it
	Client   string // DUID and IAID of DHCPv6
	Node     string // UUID
	Until    time.Time
	Declined bool
}

const leaseSelect = "SELECT network, address, mac, client, node, until, declined FROM dhcp_leases "

// forgetLease is how long a lease is remembered after its end, so that its machine gets the address again.
const forgetLease = 7 * 24 * time.Hour

// Leases lists the leases of a network, those too that are over; of all networks for "".
func (t *Tx) Leases(network string) ([]Lease, error) {
	return t.leases(leaseSelect+"WHERE network = ? OR ? = '' ORDER BY network, address", network, network)
}

// LeasesOf lists the leases of a MAC that last at a time, the newest first.
func (t *Tx) LeasesOf(mac string, now time.Time) ([]Lease, error) {
	return t.leases(leaseSelect+"WHERE mac = ? AND declined = 0 AND until > ? ORDER BY held_at DESC, address", mac, micros(now))
}

// LeaseOf is the lease of an address that lasts at a time; nil for none.
func (t *Tx) LeaseOf(a netip.Addr, now time.Time) (*Lease, error) {
	all, err := t.leases(leaseSelect+"WHERE address = ? AND declined = 0 AND until > ?", a.String(), micros(now))
	if err != nil || len(all) == 0 {
		return nil, err
	}
	return &all[0], nil
}

// HoldLease takes an address, or takes it for longer. It is fault.Conflict if another has it at the time now.
func (t *Tx) HoldLease(l Lease, now time.Time) error {
	declined := 0
	if l.Declined {
		declined = 1
	}
	var got string
	err := t.row(`INSERT INTO dhcp_leases (address, network, mac, client, node, until, declined, held_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (address) DO UPDATE SET network = excluded.network, mac = excluded.mac, client = excluded.client, node = excluded.node,
			until = excluded.until, declined = excluded.declined, held_at = excluded.held_at
		WHERE dhcp_leases.until <= ? OR dhcp_leases.declined = 0 AND dhcp_leases.mac = excluded.mac AND dhcp_leases.client = excluded.client
		RETURNING address`,
		l.Address.String(), l.Network, l.MAC, l.Client, l.Node, micros(l.Until), declined, micros(now), micros(now)).Scan(&got)
	if errors.Is(err, sql.ErrNoRows) {
		return fault.New(fault.Conflict, "The address %s is leased to another machine.", l.Address)
	}
	if err != nil {
		return fmt.Errorf("keep the lease of %s: %w", l.Address, err)
	}
	_, err = t.exec("DELETE FROM dhcp_leases WHERE until < ?", micros(now.Add(-forgetLease)))
	return err
}

// DropLease ends a lease, if it is this MAC's and client's.
func (t *Tx) DropLease(a netip.Addr, mac, client string) error {
	_, err := t.exec("DELETE FROM dhcp_leases WHERE address = ? AND mac = ? AND client = ? AND declined = 0", a.String(), mac, client)
	return err
}

func (t *Tx) leases(query string, args ...any) ([]Lease, error) {
	rows, err := t.rows(query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []Lease
	for rows.Next() {
		var l Lease
		var address string
		var until, declined int64
		if err := rows.Scan(&l.Network, &address, &l.MAC, &l.Client, &l.Node, &until, &declined); err != nil {
			return nil, err
		}
		if l.Address, err = netip.ParseAddr(address); err != nil {
			return nil, fmt.Errorf("read a lease: %w", err)
		}
		l.Until, l.Declined = fromMicros(until), declined != 0
		out = append(out, l)
	}
	return out, rows.Err()
}
