package metadata

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/netip"
	"strings"

	"ingot/internal/fault"
)

// The headers of a proxy that signs, and of one that forwards. Source: reference, metadata §4.
const (
	headerInstance  = "X-Instance-ID"
	headerTenant    = "X-Tenant-ID"
	headerSignature = "X-Instance-ID-Signature"
	headerProvider  = "X-Metadata-Provider"
	headerForwarded = "X-Forwarded-For"
)

// maxHops bounds X-Forwarded-For, of all its headers together.
const maxHops = 32

// asker is who asks, as far as the request itself tells. Nobody was looked up yet.
type asker struct {
	address    netip.Addr // of the machine; not valid if a signature tells
	id, tenant string     // what was signed, and what was told beside it
}

// key is whom the request counts for.
func (a asker) key() string {
	if a.address.IsValid() {
		return a.address.String()
	}
	return a.id
}

// link is key, or the network of an address of IPv6: a link has more of them than a log should.
func (a asker) link() string {
	if p, err := a.address.Prefix(64); err == nil && a.address.Is6() {
		return p.String()
	}
	return a.key()
}

// asker reads who asks. Without a signature it is the address that the request comes from; X-Forwarded-For says another one only
// where a configured proxy has sent it.
func (s *Service) asker(r *http.Request) (asker, error) {
	remote, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return asker{}, fault.Wrap(fault.Internal, err, "This server does not see where the request comes from.")
	}
	from := remote.Addr().Unmap()
	if s.o.ServiceMetadataProxy {
		if len(s.proxies) > 0 && !s.trusts(from) {
			return asker{}, fault.New(fault.Forbidden, "Only proxies that are configured here may ask for instances.")
		}
		return s.signed(r.Header)
	}
	if !s.trusts(from) {
		return asker{address: from}, nil
	}
	if from, err = s.forwarded(r.Header.Values(headerForwarded)); err != nil {
		return asker{}, err
	}
	return asker{address: from}, nil
}

// trusts tells whether an address is a configured proxy's.
func (s *Service) trusts(a netip.Addr) bool {
	a = a.WithZone("")
	for _, p := range s.proxies {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// forwarded is the last hop that is no proxy of ours. What is left of it anybody may have written.
func (s *Service) forwarded(headers []string) (netip.Addr, error) {
	hops := strings.Split(strings.Join(headers, ","), ",")
	if len(headers) == 0 {
		return netip.Addr{}, fault.New(fault.Invalid, "The proxy does not say for whom it asks: %s is missing.", headerForwarded)
	}
	if len(hops) > maxHops {
		return netip.Addr{}, fault.New(fault.Invalid, "There are too many hops in %s.", headerForwarded)
	}
	for i := len(hops) - 1; i >= 0; i-- {
		a, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil || a.Zone() != "" {
			return netip.Addr{}, fault.New(fault.Invalid, "A hop in %s is not an address.", headerForwarded)
		}
		if a = a.Unmap(); !s.trusts(a) {
			return a, nil
		}
	}
	return netip.Addr{}, fault.New(fault.Invalid, "There are only proxies in %s.", headerForwarded)
}

// signed reads what a proxy signed. Missing headers are refused in upstream's order. Only the instance-id is signed; that the
// tenant is the instance's is looked at where the instance is known.
func (s *Service) signed(h http.Header) (asker, error) {
	if len(h.Values(headerProvider)) > 0 {
		return asker{}, fault.New(fault.NotSupported, "Load balancers that send %s are not served here: only Neutron's metadata agents, which send %s.", headerProvider, headerInstance)
	}
	var values [3]string
	for i, name := range []string{headerInstance, headerSignature, headerTenant} {
		all := h.Values(name)
		switch {
		case len(all) > 1 || len(all) == 1 && strings.Contains(all[0], ","):
			return asker{}, fault.New(fault.Invalid, "%s is there more than once.", name)
		case len(all) == 0 || all[0] == "":
			return asker{}, fault.New(fault.Invalid, "%s is missing: the proxy must say for which instance it asks, sign that, and say whose it is.", name)
		}
		values[i] = all[0]
	}
	id, signature, tenant := values[0], values[1], values[2]
	mac := hmac.New(sha256.New, []byte(s.o.SharedSecret.Expose()))
	mac.Write([]byte(id))
	if !hmac.Equal([]byte(hex.EncodeToString(mac.Sum(nil))), []byte(signature)) {
		return asker{}, fault.New(fault.Forbidden, "The signature of the instance-id is not right.")
	}
	return asker{id: id, tenant: tenant}, nil
}
