package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"time"

	"ingot/internal/config"
	"ingot/internal/metal"
	"ingot/internal/netboot"
	"ingot/internal/store"
)

// buildNetboot makes the role netboot and opens its sockets.
func (s *server) buildNetboot() error {
	bootURL := s.doors.bootURL
	if s.doors.boot == nil || bootTLS(s.c) {
		bootURL = ""
	}
	o, err := netbootOptions(s.c.Netboot, bootURL, s.log)
	if err != nil {
		return err
	}
	s.bootFiles = bootFiles(s.c.Netboot, bootURL)
	if o.Boots, err = s.storeBoots(); err != nil {
		return err
	}
	o.Leases, o.Count = storeLeases{s.db}, s.watch.m.Netboot
	if s.netboot, err = netboot.New(o); err != nil {
		return fmt.Errorf("the role netboot: %w", err)
	}
	s.onClose(s.netboot.Close)
	return nil
}

// netbootOptions is the configuration's part of the boot services. bootURL is where another listener of the process serves
// their handler without TLS; "": nowhere.
func netbootOptions(c config.Netboot, bootURL string, log *slog.Logger) (netboot.Options, error) {
	o := netboot.Options{HTTPListen: c.HTTPListen, BootURL: bootURL, TFTPListen: c.TFTPListen, Log: log}
	if f := bootFiles(c, bootURL); f.Level != metal.Fine {
		log.Warn("machines that boot over HTTP will get nothing", "reason", f.Said, "do", f.Do)
	}
	var err error
	o.Networks, err = readNetworks(c)
	return o, err
}

// readNetworks gives the networks of the configuration's file; none without one.
func readNetworks(c config.Netboot) ([]netboot.Network, error) {
	if c.NetworksFile == "" {
		return nil, nil
	}
	text, err := os.ReadFile(c.NetworksFile)
	if err != nil {
		return nil, fmt.Errorf("[netboot] networks_file: %w", err)
	}
	out, err := netboot.ParseNetworks(text)
	if err != nil {
		return nil, fmt.Errorf("[netboot] networks_file %s: %w", c.NetworksFile, err)
	}
	return out, nil
}

// bootFiles tells whether machines can fetch by HTTP what they are told to boot.
func bootFiles(c config.Netboot, bootURL string) metal.Finding {
	const check = "boot files"
	at := c.HTTPListen
	if at == "" {
		if u, err := url.Parse(bootURL); err == nil {
			at = u.Host
		}
	}
	host, _, err := net.SplitHostPort(at)
	if err != nil { // a URL without a port
		host = at
	}
	ip, _ := netip.ParseAddr(host)
	switch {
	case at == "":
		return wrong(metal.Warn, check, "iPXE and UEFI HTTP boot will get nothing: this process has no HTTP listener without TLS.", "Set [netboot] http_listen.")
	case host != "localhost" && !ip.Unmap().IsLoopback():
		return fine(check, "Machines fetch them at %s.", at)
	case c.HTTPListen == "":
		return wrong(metal.Warn, check, "iPXE and UEFI HTTP boot will get nothing: [netboot] http_listen is empty, and the boot listener "+at+" is on loopback.",
			"Set [netboot] http_listen to an address that machines reach, or start the server with such a --boot-listen.")
	}
	return wrong(metal.Warn, check, "iPXE and UEFI HTTP boot will get nothing: [netboot] http_listen "+at+" is on loopback.", "Set it to an address that machines reach.")
}

// withNetboot serves boot files beside what the boot listener serves, where it has no TLS: firmware knows no
// certificate of ours.
func (s *server) withNetboot(rest http.Handler) http.Handler {
	if s.netboot == nil || bootTLS(s.c) {
		return rest
	}
	files := s.netboot.Handler()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if netboot.Owns(r) {
			files.ServeHTTP(w, r)
			return
		}
		rest.ServeHTTP(w, r)
	})
}

// storeLeases are the leases in the database.
type storeLeases struct{ db *store.DB }

// List gives the leases of a network.
func (l storeLeases) List(ctx context.Context, network string) (out []netboot.Lease, err error) {
	err = l.db.Read(ctx, func(tx *store.Tx) error {
		all, err := tx.Leases(network)
		out = make([]netboot.Lease, len(all))
		for i, one := range all {
			out[i] = netboot.Lease(one)
		}
		return err
	})
	return out, err
}

// Hold takes an address, or takes it for longer.
func (l storeLeases) Hold(ctx context.Context, lease netboot.Lease, now time.Time) error {
	return l.db.Write(ctx, func(tx *store.Tx) error { return tx.HoldLease(store.Lease(lease), now) })
}

// Drop ends a lease.
func (l storeLeases) Drop(ctx context.Context, lease netboot.Lease) error {
	return l.db.Write(ctx, func(tx *store.Tx) error { return tx.DropLease(lease.Address, lease.MAC, lease.Client) })
}

// Holder is the lease of an address that lasts.
func (l storeLeases) Holder(ctx context.Context, a netip.Addr, now time.Time) (out *netboot.Lease, err error) {
	err = l.db.Read(ctx, func(tx *store.Tx) error {
		held, err := tx.LeaseOf(a, now)
		if held != nil {
			one := netboot.Lease(*held)
			out = &one
		}
		return err
	})
	return out, err
}

// Addresses are those that a MAC has leased, the newest first. It is what the conductor asks.
func (l storeLeases) Addresses(ctx context.Context, mac string) (out []netip.Addr, err error) {
	err = l.db.Read(ctx, func(tx *store.Tx) error {
		all, err := tx.LeasesOf(mac, time.Now())
		for _, one := range all {
			out = append(out, one.Address)
		}
		return err
	})
	return out, err
}
