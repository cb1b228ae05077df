package network

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

const static = `{
 "links":[{"id":"l0","type":"phy","ethernet_mac_address":"52:54:00:AA:bb:01","mtu":1450},{"id":"l1","type":"vif","ethernet_mac_address":"52:54:00:aa:bb:02","mtu":null},
  {"id":"unused","type":"phy","ethernet_mac_address":"52:54:00:aa:bb:03"}],
 "networks":[
  {"id":"n0","type":"ipv4","link":"l0","network_id":"x","ip_address":"198.18.77.201","netmask":"255.255.255.0",
   "routes":[{"network":"0.0.0.0","netmask":"0.0.0.0","gateway":"198.18.77.1"},{"network":"10.0.0.0","netmask":"255.0.0.0","gateway":"198.18.77.2"}],
   "services":[{"type":"dns","address":"192.0.2.53"}]},
  {"id":"n1","type":"ipv6","link":"l0","network_id":"x","ip_address":"2001:db8::5/64","routes":[{"network":"::","netmask":"::","gateway":"2001:db8::1"}]},
  {"id":"n2","type":"ipv4_dhcp","link":"l1","network_id":"x"}],
 "services":[{"type":"dns","address":"192.0.2.53"},{"type":"dns","address":"2001:db8::53"},{"type":"ntp","address":"later"}]}`

func TestParse(t *testing.T) {
	for _, c := range []struct{ name, data, want string }{
		{"everything", static, "{[{52:54:00:aa:bb:01 1450 false [198.18.77.201/24 2001:db8::5/64] [{0.0.0.0/0 198.18.77.1} {10.0.0.0/8 198.18.77.2} {::/0 2001:db8::1}]} " +
			"{52:54:00:aa:bb:02 0 true [] []}] [192.0.2.53 2001:db8::53]}"},
		{"nothing", "", "{[] []}"},
		{"Nova's nothing", "{}", "{[] []}"},
		{"empty lists", `{"links":[],"networks":[],"services":[]}`, "{[] []}"},
		{"gateway in the older form", one(`"type":"ipv4","ip_address":"192.0.2.9","netmask":"25","gateway":"192.0.2.1"`), "{[{52:54:00:aa:bb:01 0 false [192.0.2.9/25] [{0.0.0.0/0 192.0.2.1}]}] []}"},
		{"address with its length", one(`"type":"ipv4","ip_address":"192.0.2.9/30"`), "{[{52:54:00:aa:bb:01 0 false [192.0.2.9/30] []}] []}"},
		{"IPv6 with a long mask", one(`"type":"ipv6","ip_address":"2001:db8::5","netmask":"ffff:ffff:ffff:ffff::","gateway":"fe80::1"`), "{[{52:54:00:aa:bb:01 0 false [2001:db8::5/64] [{::/0 fe80::1}]}] []}"},
		{"SLAAC", one(`"type":"ipv6_slaac"`), "{[{52:54:00:aa:bb:01 0 false [] []}] []}"},
	} {
		p, err := Parse([]byte(c.data))
		if got := fmt.Sprint(p); err != nil || got != c.want {
			t.Errorf("%s: %v\ngot  %s\nwant %s", c.name, err, got, c.want)
		}
	}
}

// one is network data of one link and one network with these members.
func one(members string) string {
	return `{"links":[{"id":"l","type":"phy","ethernet_mac_address":"52:54:00:aa:bb:01"}],"networks":[{"id":"n","link":"l",` + members + `}]}`
}

func TestParseRefuses(t *testing.T) {
	link := func(members string) string { return `{"links":[{` + members + `}],"networks":[]}` }
	for _, c := range []struct{ data, want string }{
		{`[`, "network data"},
		{strings.Repeat(" ", 10) + `{"links":` + strings.Repeat("[", maxData) + `}`, "larger than"},
		{link(`"id":"b","type":"bond","ethernet_mac_address":"52:54:00:aa:bb:01"`), `links of type bond are not supported by this agent yet`},
		{link(`"id":"v","type":"vlan"`), `links of type vlan are not supported by this agent yet`},
		{link(`"id":"l","type":"token-ring"`), `no type "token-ring"`},
		{link(`"id":"l","type":"phy","ethernet_mac_address":"x"`), "not a MAC"},
		{link(`"id":"l","type":"phy","ethernet_mac_address":"52:54:00:aa:bb:01","mtu":70000`), "mtu"},
		{link(`"id":"","type":"phy","ethernet_mac_address":"52:54:00:aa:bb:01"`), "id"},
		{link(`"id":"l","type":"phy","ethernet_mac_address":"52:54:00:aa:bb:01"`), "no networks"},
		{`{"links":[],"networks":[{"link":"l","type":"ipv4_dhcp"}]}`, `no link "l"`},
		{one(`"type":"ipx"`), `no type "ipx"`},
		{one(`"type":"ipv4","ip_address":"192.0.2.9"`), "netmask"},
		{one(`"type":"ipv4","ip_address":"192.0.2.9","netmask":"255.0.255.0"`), "netmask"},
		{one(`"type":"ipv4","ip_address":"192.0.2.9","netmask":"33"`), "netmask"},
		{one(`"type":"ipv4","ip_address":"2001:db8::1","netmask":"64"`), "not of type"},
		{one(`"type":"ipv4","ip_address":"nonsense","netmask":"24"`), "not an IP address"},
		{one(`"type":"ipv4","ip_address":"192.0.2.9/24","gateway":"2001:db8::1"`), "gateway"},
		{one(`"type":"ipv4","ip_address":"192.0.2.9/24","routes":[{"network":"10.0.0.0","netmask":"8"}]`), "gateway"},
		{`{"services":[{"type":"dns","address":"x"}]}`, "DNS"},
	} {
		if _, err := Parse([]byte(c.data)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.120s: %v, want %s", c.data, err, c.want)
		}
	}
}

func TestTermsOfALease(t *testing.T) {
	ack := func(m ...dhcpv4.Modifier) *dhcpv4.DHCPv4 {
		p, err := dhcpv4.New(append([]dhcpv4.Modifier{dhcpv4.WithYourIP(net.IPv4(192, 0, 2, 9))}, m...)...)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	full := terms(ack(dhcpv4.WithNetmask(net.CIDRMask(26, 32)), dhcpv4.WithRouter(net.IPv4(192, 0, 2, 1)), dhcpv4.WithDNS(net.IPv4(192, 0, 2, 53)),
		dhcpv4.WithLeaseTime(7200), dhcpv4.WithOption(dhcpv4.OptGeneric(dhcpv4.OptionInterfaceMTU, []byte{0x23, 0x28}))))
	if got := fmt.Sprint(full.address, full.gateways, full.dns, full.mtu, full.lasts); got != "192.0.2.9/26 [192.0.2.1] [192.0.2.53] 9000 2h0m0s" {
		t.Error(got)
	}
	bare := terms(ack(dhcpv4.WithLeaseTime(1)))
	if bare.address != netip.MustParsePrefix("192.0.2.9/24") || bare.lasts != time.Minute || len(bare.gateways) != 0 {
		t.Errorf("%+v", bare)
	}
	if err := terms(ack(dhcpv4.WithYourIP(net.IPv4zero))).apply("none"); err == nil || !strings.Contains(err.Error(), "gave no address") {
		t.Error(err)
	}
}

func TestResolver(t *testing.T) {
	if got := string(resolver([]netip.Addr{netip.MustParseAddr("192.0.2.53"), netip.MustParseAddr("2001:db8::53")})); got != "nameserver 192.0.2.53\nnameserver 2001:db8::53\n" {
		t.Errorf("%q", got)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(static))
	f.Add([]byte(one(`"type":"ipv6","ip_address":"::/0","netmask":"0"`)))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := Parse(data)
		if err != nil {
			return
		}
		for _, l := range p.Links {
			for _, a := range l.Addresses {
				if !a.IsValid() || ipNet(a).IP == nil {
					t.Errorf("%+v", l)
				}
			}
			for _, r := range l.Routes {
				if !r.To.IsValid() || !r.Via.IsValid() || r.To.Addr().Is4() != r.Via.Is4() {
					t.Errorf("%+v", r)
				}
			}
		}
	})
}
