package netboot

import (
	"bytes"
	"fmt"
	"io"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

// How a network is served.
const (
	ModeServer      = "server"      // gives addresses and boot files
	ModeProxy       = "proxy"       // gives boot files beside the site's own DHCP server
	ModeInformation = "information" // DHCPv6: what routers' advertisements lack: boot file and DNS; no addresses
	ModeOff         = "off"
)

// maxRange is how many addresses a range may have. A network of machines that boot needs far fewer.
const maxRange = 1 << 16

// Network is a network that is served. It is an entry of the networks file.
type Network struct {
	Name      string `yaml:"name"`
	Interface string `yaml:"interface"` // of this host; the sockets are bound to it

	DHCP         string                `yaml:"dhcp"`    // ModeServer, ModeProxy or ModeOff, which is the default
	Subnet       netip.Prefix          `yaml:"subnet"`  // IPv4
	Server       netip.Addr            `yaml:"server"`  // IPv4 of this host, as machines of the network reach it
	Range        Range                 `yaml:"range"`   // of addresses to lease
	Routers      []netip.Addr          `yaml:"routers"` // IPv4
	DNS          []netip.Addr          `yaml:"dns"`
	Domain       string                `yaml:"domain"`
	LeaseTime    time.Duration         `yaml:"lease_time"`   // default an hour
	Reservations map[string]netip.Addr `yaml:"reservations"` // by MAC; only known machines are answered all the same
	// Relayed tells that the network is not on the interface: a relay with an address of it sends what it hears.
	Relayed bool `yaml:"relayed"`

	DHCPv6  string       `yaml:"dhcpv6"` // ModeServer, ModeInformation or ModeOff, which is the default
	Subnet6 netip.Prefix `yaml:"subnet6"`
	Server6 netip.Addr   `yaml:"server6"`
	Range6  Range        `yaml:"range6"`
	Relays  []netip.Addr `yaml:"relays"` // IPv6 of relays that ask from an address outside of subnet6
	DNS6    []netip.Addr `yaml:"dns6"`

	// HTTPURL is the base of the addresses of boot files, where it is not this host's listener.
	HTTPURL string `yaml:"http_url"`
}

// Range is addresses from one to another, both within. In the file it is "from-to".
type Range struct{ From, To netip.Addr }

// UnmarshalText reads from-to.
func (r *Range) UnmarshalText(text []byte) error {
	from, to, found := strings.Cut(string(text), "-")
	var err error
	if !found {
		return fmt.Errorf("the range %q is not of the form FROM-TO", text)
	}
	if r.From, err = netip.ParseAddr(strings.TrimSpace(from)); err != nil {
		return fmt.Errorf("the range %q: %w", text, err)
	}
	if r.To, err = netip.ParseAddr(strings.TrimSpace(to)); err != nil {
		return fmt.Errorf("the range %q: %w", text, err)
	}
	return nil
}

// Empty tells that there is no range.
func (r Range) Empty() bool { return !r.From.IsValid() }

// Has tells whether an address is within.
func (r Range) Has(a netip.Addr) bool {
	return !r.Empty() && a.BitLen() == r.From.BitLen() && r.From.Compare(a) <= 0 && a.Compare(r.To) <= 0
}

// ParseNetworks reads a networks file. Keys it does not know are errors.
func ParseNetworks(text []byte) ([]Network, error) {
	var file struct {
		Networks []Network `yaml:"networks"`
	}
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&file); err != nil && err != io.EOF {
		return nil, fmt.Errorf("read the networks: %w", err)
	}
	for i := range file.Networks {
		n := &file.Networks[i]
		n.fill()
		if err := n.check(); err != nil {
			return nil, fmt.Errorf("network %q: %w", n.Name, err)
		}
		for _, other := range file.Networks[:i] {
			if err := n.beside(other); err != nil {
				return nil, fmt.Errorf("network %q: %w", n.Name, err)
			}
		}
	}
	return file.Networks, nil
}

func (n *Network) fill() {
	if n.DHCP == "" {
		n.DHCP = ModeOff
	}
	if n.DHCPv6 == "" {
		n.DHCPv6 = ModeOff
	}
	if n.LeaseTime == 0 {
		n.LeaseTime = time.Hour
	}
	low := make(map[string]netip.Addr, len(n.Reservations))
	for mac, a := range n.Reservations {
		low[strings.ToLower(mac)] = a
	}
	n.Reservations = low
}

// networkName bounds what is written into leases, logs and metrics.
var networkName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)

var macForm = regexp.MustCompile(`^([0-9a-f]{2}:){5}[0-9a-f]{2}$`)

func (n *Network) check() error {
	switch {
	case !networkName.MatchString(n.Name):
		return fmt.Errorf("the name is to be of letters, digits, dots and dashes")
	case n.Interface == "" || len(n.Interface) > 15:
		return fmt.Errorf("interface must name an interface of this host")
	case !slices.Contains([]string{ModeServer, ModeProxy, ModeOff}, n.DHCP):
		return fmt.Errorf("dhcp must be server, proxy or off, not %q", n.DHCP)
	case !slices.Contains([]string{ModeServer, ModeInformation, ModeOff}, n.DHCPv6):
		return fmt.Errorf("dhcpv6 must be server, information or off, not %q", n.DHCPv6)
	case n.LeaseTime < time.Minute || n.LeaseTime > 30*24*time.Hour:
		return fmt.Errorf("lease_time must be between 1m and 720h")
	case n.HTTPURL != "" && !strings.HasPrefix(n.HTTPURL, "http://"):
		return fmt.Errorf("http_url must begin with http://: firmware knows no certificate of ours")
	case len(n.Domain) > 253:
		return fmt.Errorf("domain is too long")
	}
	if err := n.check4(); err != nil {
		return err
	}
	return n.check6()
}

func (n *Network) check4() error {
	if n.DHCP == ModeOff {
		return nil
	}
	if !n.Subnet.IsValid() || !n.Subnet.Addr().Is4() || n.Subnet != n.Subnet.Masked() {
		return fmt.Errorf("subnet must be an IPv4 network such as 192.0.2.0/24")
	}
	if n.Server.IsValid() && !n.Server.Is4() {
		return fmt.Errorf("server must be an IPv4 address")
	}
	if n.Relayed && !n.Server.IsValid() {
		return fmt.Errorf("server must say by which address machines behind the relay reach this host")
	}
	if n.DHCP == ModeProxy {
		return nil
	}
	if err := n.Range.check("range", n.Subnet); err != nil {
		return err
	}
	if n.Range.Empty() && len(n.Reservations) == 0 {
		return fmt.Errorf("dhcp: server needs a range, or reservations")
	}
	for _, a := range append(slices.Clone(n.Routers), n.DNS...) {
		if !a.Is4() {
			return fmt.Errorf("%s is no IPv4 address: routers and dns are; dns6 is for IPv6", a)
		}
	}
	taken := map[netip.Addr]string{}
	for mac, a := range n.Reservations {
		switch {
		case !macForm.MatchString(mac):
			return fmt.Errorf("the reservation for %q is not for a MAC", mac)
		case !n.leasable(a) && !n.Subnet6.Contains(a):
			return fmt.Errorf("the reservation %s of %s is not an address of the subnet that a machine can have", a, mac)
		case taken[a] != "":
			return fmt.Errorf("%s is reserved for %s and for %s", a, taken[a], mac)
		}
		taken[a] = mac
	}
	return nil
}

func (n *Network) check6() error {
	if n.DHCPv6 == ModeOff {
		return nil
	}
	if n.Server6.IsValid() && !n.Server6.Is6() {
		return fmt.Errorf("server6 must be an IPv6 address")
	}
	for _, a := range n.DNS6 {
		if !a.Is6() {
			return fmt.Errorf("dns6: %s is no IPv6 address", a)
		}
	}
	for _, a := range n.Relays {
		if !a.Is6() {
			return fmt.Errorf("relays: %s is no IPv6 address", a)
		}
	}
	if n.Subnet6.IsValid() && (!n.Subnet6.Addr().Is6() || n.Subnet6 != n.Subnet6.Masked()) {
		return fmt.Errorf("subnet6 must be an IPv6 network such as 2001:db8::/64")
	}
	if n.DHCPv6 == ModeInformation {
		return nil
	}
	if !n.Subnet6.IsValid() || n.Range6.Empty() {
		return fmt.Errorf("dhcpv6: server needs subnet6 and range6")
	}
	return n.Range6.check("range6", n.Subnet6)
}

func (r Range) check(option string, within netip.Prefix) error {
	if r.Empty() {
		return nil
	}
	if !within.Contains(r.From) || !within.Contains(r.To) || r.To.Less(r.From) {
		return fmt.Errorf("%s %s-%s is not within %s", option, r.From, r.To, within)
	}
	a := r.From
	for i := 0; i < maxRange; i++ {
		if a == r.To {
			return nil
		}
		a = a.Next()
	}
	return fmt.Errorf("%s has more than %d addresses", option, maxRange)
}

// leasable tells whether a machine can have an IPv4 address of the network: not the first, not the last, not ours.
func (n *Network) leasable(a netip.Addr) bool {
	return n.Subnet.IsValid() && n.Subnet.Contains(a) && a != n.Server && (n.Subnet.Bits() >= 31 || a != n.Subnet.Addr() && n.Subnet.Contains(a.Next())) &&
		!slices.Contains(n.Routers, a)
}

// beside checks what two networks of one process must not share.
func (n *Network) beside(o Network) error {
	switch {
	case n.Name == o.Name:
		return fmt.Errorf("the name is there twice")
	case n.Subnet.IsValid() && o.Subnet.IsValid() && n.Subnet.Overlaps(o.Subnet):
		return fmt.Errorf("its subnet overlaps that of %s: a machine's address must tell its network", o.Name)
	case n.Subnet6.IsValid() && o.Subnet6.IsValid() && n.Subnet6.Overlaps(o.Subnet6):
		return fmt.Errorf("its subnet6 overlaps that of %s: a machine's address must tell its network", o.Name)
	case n.Interface == o.Interface && !n.Relayed && !o.Relayed:
		return fmt.Errorf("%s is on %s already: of the networks of one interface all but one are relayed", o.Name, n.Interface)
	}
	return nil
}
