package metadata

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"ingot/internal/secret"
)

// Config is the section [metadata], which is ours, and what upstream has about the metadata service in [api] and [neutron].
type Config struct {
	// Listen are addresses and ports at which instances ask for their metadata, such as 169.254.169.254:80 and
	// [fe80::a9fe:a9fe%br0]:80. Empty means that nobody serves it here: instances have their config drives. See
	// docs/guides/metadata.md.
	Listen []string `key:"listen"`
	// TrustedProxies are addresses and networks of proxies between instances and this server. X-Forwarded-For is believed from them
	// alone: the last hop in it that is none of them is who asks. With service_metadata_proxy nobody else may sign requests; empty
	// lets anybody try.
	TrustedProxies []string `key:"trusted_proxies"`
	// TrustUserAddresses lets an instance be known by an address that is only in the network data that its user gave, or in the
	// network_data of a node that a project owns. Whoever has an instance can then claim an address that another machine has, and read what that one should: for networks where all users trust
	// each other. Without it such an address counts where the kernel of this host sees one of the node's MACs at it.
	TrustUserAddresses bool `key:"trust_user_addresses"`
	// CheckNeighbours has the kernel asked which MAC it speaks with, where the address of a request is on a link of this host: it must be
	// one of the node's. Only for networks with a router that answers for others' addresses it must be off.
	CheckNeighbours bool `key:"check_neighbours"`
	// BootHostLeases has boot hosts asked whose an address is that nobody else knows, where they give addresses to instances. Whoever
	// takes over a boot host can then read what any instance reads.
	BootHostLeases bool `key:"boot_host_leases"`
	// RateLimit is how many requests one instance may send in a second; more are answered with 429. 0 is without limit.
	RateLimit int `key:"rate_limit" min:"0" max:"1000000"`
	// RateLimitBurst is how many requests an instance that was silent may send at once.
	RateLimitBurst int `key:"rate_limit_burst" min:"1" max:"1000000"`
	// CacheSize is how many MiB of unsealed metadata are kept in memory at most. The oldest go first.
	CacheSize int `key:"cache_size" min:"1" max:"1048576"`
	// CacheExpiration is how long the metadata of an instance are kept in memory, so that its next request finds them there. 0 keeps
	// nothing. The end of an instance, a rebuild and an address that changes hands are seen at once all the same.
	CacheExpiration time.Duration `key:"metadata_cache_expiration" section:"api" min:"0"`
	// ServiceMetadataProxy has instances be told by the headers X-Instance-ID and X-Tenant-ID that Neutron's metadata agents sign,
	// and by nothing else.
	ServiceMetadataProxy bool `key:"service_metadata_proxy" section:"neutron"`
	// SharedSecret is what these agents sign with: their metadata_proxy_shared_secret. Without it the server does not start with
	// service_metadata_proxy.
	SharedSecret secret.Secret `key:"metadata_proxy_shared_secret" section:"neutron"`
}

// Defaults is the only place with default values.
func Defaults() Config {
	return Config{CheckNeighbours: true, RateLimit: 50, RateLimitBurst: 200, CacheSize: 128, CacheExpiration: 15 * time.Second}
}

// Check says what is wrong with a configuration.
func (c Config) Check() error {
	if c.ServiceMetadataProxy && c.SharedSecret.Empty() {
		return errors.New("[neutron] service_metadata_proxy is on and metadata_proxy_shared_secret is empty: whoever knows that could sign as anybody. " +
			"Set it to what Neutron's metadata agents have")
	}
	_, err := c.proxies()
	if err != nil {
		return err
	}
	for _, at := range c.Listen {
		if _, err := netip.ParseAddrPort(at); err != nil {
			return fmt.Errorf("[metadata] listen: %q is not like 169.254.169.254:80", at)
		}
	}
	return nil
}

// proxies are TrustedProxies as networks.
func (c Config) proxies() ([]netip.Prefix, error) {
	out := make([]netip.Prefix, len(c.TrustedProxies))
	for i, text := range c.TrustedProxies {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			var a netip.Addr
			if a, err = netip.ParseAddr(text); err == nil {
				a = a.Unmap()
				p = netip.PrefixFrom(a, a.BitLen())
			}
		}
		if err != nil || !p.IsValid() {
			return nil, fmt.Errorf("[metadata] trusted_proxies: %q is neither an address nor a network such as 192.0.2.0/24", text)
		}
		out[i] = p.Masked()
	}
	return out, nil
}
