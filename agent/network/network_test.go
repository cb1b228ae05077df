package network

import (
	"fmt"
	"net"
	"net/netip"
	"regexp"
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

// plain is what a NIC has besides: no bond, no VLAN, its id, and no part in a bond.
var plain = regexp.MustCompile(` <nil> <nil> l[0-9]? false}`)

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
		if got := plain.ReplaceAllString(fmt.Sprint(p), "}"); err != nil || got != c.want {
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
		{link(`"id":"b","type":"bond","ethernet_mac_address":"52:54:00:aa:bb:01"`), `a bond of no links`},
		{link(`"id":"b","type":"bond","bond_mode":"802.3ae","bond_links":["a"]`), `bond_mode "802.3ae"`},
		{link(`"id":"b","type":"bond","bond_mode":"802.3ad","bond_links":["a"],"bond_miimon":"soon"`), `bond_miimon`},
		{link(`"id":"b","type":"bond","bond_links":["a"],"bond_xmit_hash_policy":"x"`), `bond_xmit_hash_policy "x"`},
		{link(`"id":"v","type":"vlan","vlan_id":4095,"vlan_link":"l"`), `vlan_id`},
		{link(`"id":"v","type":"vlan","vlan_id":7`), `vlan_link`},
		{over(`{"id":"b","type":"bond","bond_links":["x"]}`, "b"), `link "b": there is no link "x"`},
		{over(`{"id":"b","type":"bond","bond_links":["l0","l0"]}`, "b"), `link "b": link "l0" is in another bond, or twice in it`},
		{over(`{"id":"b","type":"bond","bond_links":["b"]}`, "b"), `is not a NIC`},
		{over(`{"id":"v","type":"vlan","vlan_id":7,"vlan_link":"w"},{"id":"w","type":"vlan","vlan_id":8,"vlan_link":"v"}`, "v"), `is a VLAN too`},
		{strings.Replace(over(`{"id":"b","type":"bond","bond_links":["l0"]}`, "l0"), `"networks":[`, `"networks":[{"id":"m","link":"b","type":"ipv4_dhcp"},`, 1), `link "l0" is part of a bond: the network is the bond's`},
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

// over is network data of two NICs, more links, and a network on one of them.
func over(links, on string) string {
	return `{"links":[` + links + `,{"id":"l0","type":"phy","ethernet_mac_address":"52:54:00:aa:bb:01"},{"id":"l1","type":"phy","ethernet_mac_address":"52:54:00:aa:bb:02"}],
	 "networks":[{"id":"n","link":"` + on + `","type":"ipv4_dhcp"}]}`
}

func TestParseBondsAndVLANs(t *testing.T) {
	// As Nova names a VLAN on a port group: what is made comes first in the list.
	p, err := Parse([]byte(over(`{"id":"v","type":"vlan","vlan_id":"101","vlan_link":"b","vlan_mac_address":"52:54:00:aa:bb:09"},
	 {"id":"b","type":"bond","ethernet_mac_address":"52:54:00:aa:bb:01","bond_mode":"802.3ad","bond_links":["l0","l1"],"bond_miimon":50,"bond_xmit_hash_policy":"layer3+4","mtu":1400}`, "v")))
	if err != nil || len(p.Links) != 4 {
		t.Fatalf("%+v %v", p.Links, err)
	}
	order := ""
	for _, l := range p.Links {
		order += l.ID + " "
	}
	bond, vlan := p.Links[2], p.Links[3]
	if order != "l0 l1 b v " || bond.Bond == nil || vlan.VLAN == nil {
		t.Fatal(order)
	}
	if !p.Links[0].Member || !p.Links[1].Member || bond.Member || vlan.Member {
		t.Error("the bond's links are not marked")
	}
	if b := *bond.Bond; fmt.Sprint(b.Members, b.Mode, b.Miimon, b.Hash) != "[l0 l1] 802.3ad 50 layer3+4" || bond.MTU != 1400 {
		t.Errorf("%+v", b)
	}
	if v := *vlan.VLAN; v.On != "b" || v.Tag != 101 || vlan.MAC.String() != "52:54:00:aa:bb:09" || !vlan.DHCP || bond.DHCP {
		t.Errorf("%+v %+v", v, vlan)
	}
	if p, err = Parse([]byte(over(`{"id":"b","type":"bond","bond_links":["l0"]}`, "b"))); err != nil || p.Links[1].Bond.Mode.String() != "active-backup" || p.Links[1].Bond.Miimon != 100 {
		t.Errorf("%+v %v", p, err)
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
