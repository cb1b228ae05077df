package source

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"syscall"

	"ingot/internal/fault"
)

// errRefused is an address that nothing is fetched from.
type errRefused struct{ addr netip.Addr }

func (e errRefused) Error() string {
	return fmt.Sprintf("its address %s is in a network that nothing is fetched from ([deploy] refused_image_networks)", e.addr)
}

// ParseNetworks reads networks as the configuration lists them: prefixes, or single addresses.
func ParseNetworks(list []string) ([]netip.Prefix, error) {
	out := make([]netip.Prefix, 0, len(list))
	for _, text := range list {
		text = strings.TrimSpace(text)
		if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" {
			out = append(out, netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()))
			continue
		}
		p, err := netip.ParsePrefix(text)
		if err != nil || p.Addr().Is4In6() {
			return nil, fault.New(fault.Invalid, "%.60q is not a network: write it as 10.0.0.0/8, fd00::/8 or one address.", text)
		}
		out = append(out, p.Masked())
	}
	return out, nil
}

// dialer connects to no address of a refused network. It looks at the address that a connection is made to, after the name was
// resolved: a name server that answers each question differently gains nothing.
func (o Options) dialer() *net.Dialer {
	d := &net.Dialer{Timeout: o.Connect}
	if len(o.Refused) > 0 {
		d.Control = func(_, address string, _ syscall.RawConn) error {
			to, err := netip.ParseAddrPort(address)
			if err != nil {
				return fmt.Errorf("the address %.60q cannot be judged", address)
			}
			return o.refusedAddr(to.Addr())
		}
	}
	return d
}

// refusedHost looks at a URL whose host is an address already: behind a proxy nobody here dials it.
func (o Options) refusedHost(u *url.URL) error {
	a, err := netip.ParseAddr(u.Hostname())
	if err != nil {
		return nil // a name
	}
	return o.refusedAddr(a)
}

// Permitted refuses a URL whose host is an address that nothing is fetched from. A name is judged when it is resolved, by who connects.
func (o Options) Permitted(raw string) error {
	u, err := parse(raw)
	if err != nil {
		return err
	}
	if err := o.refusedHost(u); err != nil {
		return fault.New(fault.Invalid, "%s cannot be used: %s.", Safe(raw), err)
	}
	return nil
}

// nat64 is where IPv6 hosts find IPv4 addresses behind a translator. Source: RFC 6052, section 2.1.
var nat64 = netip.MustParsePrefix("64:ff9b::/96")

func (o Options) refusedAddr(a netip.Addr) error {
	a = a.WithZone("").Unmap()
	judged := []netip.Addr{a}
	if nat64.Contains(a) {
		b := a.As16()
		judged = append(judged, netip.AddrFrom4([4]byte(b[12:])))
	}
	for _, one := range judged {
		for _, p := range o.Refused {
			if p.Contains(one) {
				return errRefused{a}
			}
		}
	}
	return nil
}
