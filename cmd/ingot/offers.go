package main

import (
	"context"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"ingot/internal/agentapi"
	"ingot/internal/depot"
	"ingot/internal/fault"
	"ingot/internal/metal"
)

// offers is the depot as the conductor knows it: whole URLs instead of paths.
type offers struct {
	depot *depot.Depot
	url   string
	hosts *bootHosts // nil: boot ISOs are fetched here
}

func (o *offers) BootISO(node, boot string, role agentapi.Role, until time.Time) (string, error) {
	return o.offer(depot.Offer{Node: node, Generation: boot, Role: role, Expires: until, MaxFetches: 16})
}

// Check renders what the boot ISO would be overlaid with.
func (o *offers) Check(boot agentapi.BootConfig, kernelParams string) error {
	t, err := o.depot.BootISO(boot.Role)
	if err != nil {
		return err
	}
	_, _, err = t.Overlay(boot, kernelParams)
	return err
}

func (o *offers) File(path string, until time.Time) (string, error) {
	return o.offer(depot.Offer{Path: path, Expires: until})
}

func (o *offers) offer(what depot.Offer) (string, error) {
	p, err := o.depot.Offer(what)
	return o.url + p, err
}

// Reachable asks for this server's own answer at the boot URL, and for a ramdisk of the role to offer there. That a
// BMC elsewhere reaches the URL cannot be proved from here, but that it cannot is plain for a URL on loopback.
func (o *offers) Reachable(ctx context.Context, n *metal.Node, role agentapi.Role) error {
	at := o.url
	if o.hosts != nil {
		_, url, err := o.hosts.choose(ctx, n.UUID)
		if err != nil {
			return err
		}
		at = url
	}
	if err := beyondLoopback(ctx, at, n.DriverInfo.Public("redfish_address")); err != nil {
		return err
	}
	if _, err := o.depot.BootISO(role); err != nil {
		if said, ok := fault.PublicOf(err); ok { // trying again does not help: a person must build it
			return fault.Wrap(fault.Invalid, err, "%s", said)
		}
		return err
	}
	if o.hosts != nil {
		return nil // the host has answered
	}
	return o.depot.CheckReachable(ctx, o.url)
}

// beyondLoopback refuses a boot URL on this host's loopback for a BMC that is elsewhere. bmc is its URL or
// host, "" if there is none.
func beyondLoopback(ctx context.Context, bootURL, bmc string) error {
	u, err := url.Parse(bootURL)
	if err != nil || bmc == "" || !onLoopback(ctx, u.Hostname()) {
		return nil
	}
	if !strings.Contains(bmc, "://") {
		bmc = "https://" + bmc
	}
	b, err := url.Parse(bmc)
	if err != nil || b.Hostname() == "" || onLoopback(ctx, b.Hostname()) {
		return nil
	}
	return fault.New(fault.Invalid, "The boot URL %s is on the server's loopback, where the BMC at %s and its machine cannot reach it. "+
		"Start the server with --boot-listen and --agent-listen at an address of the provisioning network, or give --boot-url.", u.Redacted(), b.Hostname())
}

// onLoopback tells whether a host is this host itself. A name that cannot be resolved counts as elsewhere.
func onLoopback(ctx context.Context, host string) bool {
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.Unmap().IsLoopback()
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second) // a name server that is down delays a deploy by this
	defer cancel()
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	return err == nil && len(ips) > 0 && !slices.ContainsFunc(ips, func(ip netip.Addr) bool { return !ip.Unmap().IsLoopback() })
}
