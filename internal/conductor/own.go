package conductor

import (
	"cmp"
	"context"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/store"
)

// resolveLimit is how long a name server may take that tells where a URL is; one that is down delays a step by this.
const resolveLimit = 2 * time.Second

// refuseOwn refuses a URL on a listener of the control plane, for a machine that must reach none. what names the URL.
func (c *Conductor) refuseOwn(ctx context.Context, n *metal.Node, what, at string) error {
	u, err := url.Parse(at)
	if err != nil || u.Host == "" {
		return nil // whoever uses it says what is wrong with it
	}
	own, err := c.listeners(ctx)
	if err != nil {
		return err
	}
	for _, one := range own {
		if l, err := url.Parse(one); err == nil && samePlace(ctx, u, l) {
			return fault.New(fault.Invalid, "%s is on %s, a listener of the control plane, which the machine of node %s must not reach because its agent is only polled: put it on a server that is not of the control plane",
				what, l.Host, n.UUID)
		}
	}
	return nil
}

// listeners are the URLs of every server of the control plane: this process's, and what others say of theirs. Boot hosts are
// not of it.
func (c *Conductor) listeners(ctx context.Context) ([]string, error) {
	out := slices.Clone(c.config.Listeners)
	err := c.db.Read(ctx, func(tx *store.Tx) error {
		all, err := tx.Servers(aliveLimit)
		for _, s := range all {
			if !s.Visited {
				out = append(out, s.AgentURL, s.BootURL, s.PeerURL)
			}
		}
		return err
	})
	return slices.DeleteFunc(out, func(s string) bool { return s == "" }), err
}

// samePlace tells whether two URLs are at one port of one host.
func samePlace(ctx context.Context, a, b *url.URL) bool {
	if portOf(a) != portOf(b) {
		return false
	}
	if strings.EqualFold(a.Hostname(), b.Hostname()) {
		return true
	}
	of := addressesOf(ctx, a.Hostname())
	return slices.ContainsFunc(addressesOf(ctx, b.Hostname()), func(x netip.Addr) bool { return slices.Contains(of, x) })
}

func portOf(u *url.URL) string {
	return cmp.Or(u.Port(), map[string]string{"http": "80", "https": "443"}[strings.ToLower(u.Scheme)])
}

// addressesOf gives none for a name that nobody knows here.
func addressesOf(ctx context.Context, host string) []netip.Addr {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a.Unmap()}
	}
	ctx, cancel := context.WithTimeout(ctx, resolveLimit)
	defer cancel()
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil
	}
	for i := range found {
		found[i] = found[i].Unmap()
	}
	return found
}
