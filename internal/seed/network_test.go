package seed_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ingot/internal/fault"
	"ingot/internal/seed"
)

var update = flag.Bool("update", false, "rewrite the files in testdata")

func static4(address, gateway string) seed.Subnet {
	s := seed.Subnet{Address: netip.MustParsePrefix(address)}
	if gateway != "" {
		s.Gateway = netip.MustParseAddr(gateway)
	}
	return s
}

// machines are networks as there are, each with what must come of it (testdata/network).
func machines() map[string]seed.Network {
	a, b, c := seed.NIC{ID: "port-a", MAC: "52:54:00:00:00:0A"}, seed.NIC{ID: "port-b", MAC: "52:54:00:00:00:0b"}, seed.NIC{ID: "port-c", MAC: "52:54:00:00:00:0c"}
	nics := []seed.NIC{a, b, c}
	dns := []netip.Addr{netip.MustParseAddr("192.0.2.53"), netip.MustParseAddr("2001:db8::53")}
	static := static4("192.0.2.10/24", "192.0.2.1")
	static.DNS = dns[:1]
	static.Routes = []seed.NetworkRoute{{To: netip.MustParsePrefix("198.51.100.7/24"), Via: netip.MustParseAddr("192.0.2.2")}}
	dhcp, group := []seed.Subnet{{By: seed.ByDHCPv4}}, seed.Bond{ID: "group-1", Members: []string{"port-b", "port-c"}}
	lacp := seed.Bond{ID: "group-1", MAC: "52:54:00:00:00:99", Mode: "802.3ad", Members: group.Members, Properties: map[string]any{"miimon": 100, "bond_xmit_hash_policy": "layer3+4", "bond_links": "no"}}
	return map[string]seed.Network{
		"nothing":   {NICs: nics},
		"dhcp":      {NICs: nics, VIFs: []seed.VIF{{ID: "vif-1", On: "port-a", MTU: 1450, NetworkID: "net-1", Subnets: dhcp}}},
		"static":    {NICs: nics, DNS: dns, VIFs: []seed.VIF{{ID: "vif-1", On: "port-a", MTU: 9000, NetworkID: "net-1", Subnets: []seed.Subnet{static}}}},
		"v6":        {NICs: nics, DNS: dns, VIFs: []seed.VIF{{ID: "vif-1", On: "port-a", MTU: 1500, NetworkID: "net-1", Subnets: []seed.Subnet{static4("2001:db8::10/64", "2001:db8::1")}}}},
		"dual":      {NICs: nics, VIFs: []seed.VIF{{ID: "vif-1", On: "port-a", MTU: 1500, NetworkID: "net-1", Subnets: []seed.Subnet{static, static4("192.0.2.11/24", "192.0.2.254"), static4("2001:db8::10/64", "2001:db8::1"), {By: seed.BySLAAC}, {By: seed.ByDHCPv6}}}}},
		"two NICs":  {NICs: nics, VIFs: []seed.VIF{{ID: "vif-1", On: "port-a", MTU: 1500, Subnets: []seed.Subnet{static}}, {ID: "vif-2", On: "port-c", MTU: 9000, Subnets: dhcp}, {ID: "none", On: "port-b"}}},
		"bond":      {NICs: nics, Bonds: []seed.Bond{lacp}, VIFs: []seed.VIF{{ID: "vif-1", On: "group-1", MTU: 9000, NetworkID: "net-1", Subnets: []seed.Subnet{static}}}},
		"bare bond": {NICs: nics, Bonds: []seed.Bond{group}, VIFs: []seed.VIF{{On: "group-1", Subnets: dhcp}}},
		"vlans": {NICs: nics, VIFs: []seed.VIF{
			{ID: "vif-2", On: "port-a", VLAN: 100, MTU: 9000, NetworkID: "net-2", Subnets: []seed.Subnet{static4("198.51.100.10/24", "")}},
			{ID: "vif-1", On: "port-a", MTU: 1500, NetworkID: "net-1", Subnets: []seed.Subnet{static}},
			{ID: "vif-3", On: "port-b", VLAN: 7, MTU: 1400, NetworkID: "net-3", Subnets: dhcp},
			{ID: "vif-4", On: "port-b", VLAN: 8, MTU: 8000, MAC: "52:54:00:00:00:77", NetworkID: "net-4", Subnets: dhcp}}},
		"vlan on a bond": {NICs: nics, Bonds: []seed.Bond{lacp}, VIFs: []seed.VIF{{ID: "vif-2", On: "group-1", VLAN: 4094, MTU: 9000, NetworkID: "net-2", Subnets: dhcp}}},
	}
}

// TestRequirement14NetworkDataIsAlwaysValid: of every kind of machine, and of many by chance, the data has all three lists, fits the
// schema and says no MTU that is none; and the seed serves just that, as JSON.
func TestRequirement14NetworkDataIsAlwaysValid(t *testing.T) {
	all := machines()
	random := rand.New(rand.NewPCG(1, 2))
	for n := range 500 {
		all[fmt.Sprint("by chance ", n)] = byChance(random)
	}
	for name, network := range all {
		data, err := network.Data()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		checkNetworkData(t, name, network, data)
	}
}

func checkNetworkData(t *testing.T, name string, network seed.Network, data map[string]any) {
	t.Helper()
	if wrong := seed.NetworkSchema.Wrong(data); wrong != "" {
		t.Errorf("%s: %s", name, wrong)
	}
	s, err := seed.Render(seed.Input{UUID: nodeUUID, Name: "n", NetworkData: data})
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	page, err := s.Get("/openstack/latest/network_data.json")
	if links := data["links"].([]any); len(links) == 0 {
		if fault.KindOf(err) != fault.NotFound || strings.Contains(get(t, s, "/openstack/latest"), "network") {
			t.Errorf("%s: without a link there is %s, %v", name, page.Content, err)
		}
		return
	}
	var served struct {
		Links    []map[string]any
		Networks []map[string]any
		Services []map[string]any
	}
	if err != nil || page.Type != "application/json" || json.Unmarshal(page.Content, &served) != nil || served.Networks == nil || served.Services == nil {
		t.Errorf("%s: %+v, %v", name, page, err)
	}
	known := map[string]bool{}
	for _, l := range served.Links {
		known[l["id"].(string)] = true
	}
	for _, l := range served.Links {
		if mtu, there := l["mtu"]; there && mtu == nil {
			t.Errorf("%s: link %v has a null for its MTU", name, l["id"])
		}
		members, _ := l["bond_links"].([]any)
		if l["type"] == "bond" && len(members) == 0 || l["type"] == "vlan" && !known[l["vlan_link"].(string)] {
			t.Errorf("%s: link %v", name, l)
		}
		for _, m := range members {
			if !known[m.(string)] {
				t.Errorf("%s: member %v of %v is no link", name, m, l["id"])
			}
		}
	}
	told := map[any]any{}
	for _, l := range served.Links {
		told[l["vif_id"]] = l["mtu"]
	}
	for _, v := range network.VIFs {
		if len(v.Subnets) > 0 && v.VLAN == 0 && v.MTU > 0 && v.ID != "" && told[v.ID] != float64(v.MTU) {
			t.Errorf("%s: VIF %s has the MTU %v, its network %d", name, v.ID, told[v.ID], v.MTU)
		}
	}
	for _, n := range served.Networks {
		if !known[n["link"].(string)] {
			t.Errorf("%s: network %v is on no link", name, n)
		}
	}
}

// byChance is a machine with anything that may be.
func byChance(r *rand.Rand) seed.Network {
	var n seed.Network
	places := []string{}
	for i := range r.IntN(6) {
		n.NICs = append(n.NICs, seed.NIC{ID: fmt.Sprint("p", i), MAC: fmt.Sprintf("52:54:00:00:00:%02x", i)})
	}
	free := n.NICs
	for r.IntN(2) == 0 && len(free) > 1 {
		b := seed.Bond{ID: fmt.Sprint("g", len(n.Bonds)), Mode: []string{"", "802.3ad", "balance-alb"}[r.IntN(3)], Members: []string{free[0].ID, free[1].ID}}
		n.Bonds, free, places = append(n.Bonds, b), free[2:], append(places, b.ID)
	}
	for _, nic := range free {
		places = append(places, nic.ID)
	}
	for _, at := range places {
		for tag := range r.IntN(4) {
			v := seed.VIF{ID: fmt.Sprint(at, "-", tag), On: at, VLAN: tag, MTU: []int{0, 1500, 9000}[r.IntN(3)]}
			for range r.IntN(3) {
				v.Subnets = append(v.Subnets, []seed.Subnet{{By: seed.ByDHCPv4}, {By: seed.ByDHCPv6}, {By: seed.BySLAAC}, static4("192.0.2.10/24", "192.0.2.1"), static4("2001:db8::1/64", "")}[r.IntN(5)])
			}
			n.VIFs = append(n.VIFs, v)
		}
	}
	return n
}

// TestNetworkData holds what comes of each machine against a file.
func TestNetworkData(t *testing.T) {
	for name, network := range machines() {
		data, err := network.Data()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got, err := json.MarshalIndent(data, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join("testdata", "network", strings.ReplaceAll(name, " ", "_")+".json")
		if *update {
			if err := os.WriteFile(path, append(got, '\n'), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil || string(got)+"\n" != string(want) {
			t.Errorf("%s: %v, got\n%s", name, err, got)
		}
	}
}

// TestImpossibleNetworks are refused in words.
func TestImpossibleNetworks(t *testing.T) {
	nics := []seed.NIC{{ID: "a", MAC: "52:54:00:00:00:0a"}, {ID: "b", MAC: "52:54:00:00:00:0b"}, {ID: "ib", MAC: "80:00:02:08:fe:80:00:00:00:00:00:00:00:02:c9:03:00:00:00:01"}}
	dhcp := []seed.Subnet{{By: seed.ByDHCPv4}}
	static := func(s seed.Subnet) seed.Network {
		return seed.Network{NICs: nics, VIFs: []seed.VIF{{ID: "v", On: "a", Subnets: []seed.Subnet{s}}}}
	}
	other := static4("192.0.2.1/24", "")
	other.Gateway = netip.MustParseAddr("2001:db8::1")
	for what, n := range map[string]seed.Network{
		"neither a port nor":     {NICs: nics, VIFs: []seed.VIF{{ID: "v", On: "x", Subnets: dhcp}}},
		"part of port group":     {NICs: nics, Bonds: []seed.Bond{{ID: "g", Members: []string{"a"}}}, VIFs: []seed.VIF{{ID: "v", On: "a", Subnets: dhcp}}},
		"has no ports":           {NICs: nics, Bonds: []seed.Bond{{ID: "g"}}, VIFs: []seed.VIF{{ID: "v", On: "g", Subnets: dhcp}}},
		"that is not there":      {NICs: nics, Bonds: []seed.Bond{{ID: "g", Members: []string{"z"}}}},
		"in the port groups":     {NICs: nics, Bonds: []seed.Bond{{ID: "g", Members: []string{"a"}}, {ID: "h", Members: []string{"a"}}}},
		"two VIFs are untagged":  {NICs: nics, VIFs: []seed.VIF{{ID: "v", On: "a", Subnets: dhcp}, {ID: "w", On: "a", Subnets: dhcp}}},
		"two links have the id":  {NICs: nics, VIFs: []seed.VIF{{ID: "v", On: "a", VLAN: 5, Subnets: dhcp}, {ID: "w", On: "a", VLAN: 5, Subnets: dhcp}}},
		"not a tag":              {NICs: nics, VIFs: []seed.VIF{{ID: "v", On: "a", VLAN: 4095, Subnets: dhcp}}},
		"no MAC address":         {NICs: nics, VIFs: []seed.VIF{{ID: "v", On: "ib", Subnets: dhcp}}},
		"no way to an address":   static(seed.Subnet{By: "carrier pigeon"}),
		"neither an address nor": static(seed.Subnet{}),
		"one of its kind":        static(other),
		"wrong at /links/0/mtu":  {NICs: nics, VIFs: []seed.VIF{{ID: "v", On: "a", MTU: 70000, Subnets: dhcp}}},
		"wrong at /links/0/bond_mode: it must be one of": {NICs: nics, Bonds: []seed.Bond{{ID: "g", Mode: "x", Members: []string{"a"}}}, VIFs: []seed.VIF{{ID: "v", On: "g", Subnets: dhcp}}},
	} {
		_, err := n.Data()
		if public, _ := fault.PublicOf(err); fault.KindOf(err) != fault.Invalid || !strings.Contains(public, what) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestRequirement14GivenNetworkData: what a user gives is judged the same way, and the answer names the place.
func TestRequirement14GivenNetworkData(t *testing.T) {
	link := `{"id": "a", "type": "phy", "ethernet_mac_address": "52:54:00:00:00:01", "mtu": 1500}`
	for given, says := range map[string]string{
		`{}`:                        "",
		`{"links": []}`:             "",
		`{"links": [` + link + `]}`: "",
		`{"links": [` + link + `], "networks": [{"link": "a", "type": "ipv4_dhcp"}]}`:                           "",
		`{"links": [` + link + `], "networks": [{"link": "a", "type": "ipv6", "ip_address": "2001:db8::/64"}]}`: "",
		`{"links": {}}`:    `"links" in the config drive's network_data must be a list`,
		`{"links": ["a"]}`: "at /links/0: it must be an object",
		`{"links": [` + link + `], "networks": [{"type": "ipv4"}]}`:                                                           "at /networks/0: link is missing",
		`{"links": [` + link + `], "networks": [{"link": "a", "type": "ipx"}]}`:                                               "at /networks/0/type: it must be one of",
		`{"links": [` + link + `], "networks": [{"link": 5, "type": "ipv4"}]}`:                                                "at /networks/0/link: it must be of type string",
		`{"links": [` + link + `], "services": [{"type": "ntp", "address": "x"}]}`:                                            "at /services/0/type: it must be dns",
		`{"links": [` + link + `, {"id": "b", "type": "phy"}]}`:                                                               "at /links/1: ethernet_mac_address is missing",
		`{"links": [{"id": "b", "type": "bond", "ethernet_mac_address": "52:54:00:00:00:01", "bond_links": ["a"]}]}`:          "at /links/0: bond_mode is missing",
		`{"links": [{"id": "a", "type": "phy", "ethernet_mac_address": "no"}]}`:                                               "at /links/0/ethernet_mac_address: it does not have the form",
		`{"links": [{"id": "a", "type": "phy", "ethernet_mac_address": "52:54:00:00:00:01", "mtu": 70000}]}`:                  "at /links/0/mtu: it is out of range",
		`{"links": [{"id": "a", "type": "vlan", "vlan_link": "b", "vlan_mac_address": "52:54:00:00:00:01", "vlan_id": "7"}]}`: "at /links/0/vlan_id: it must be of type integer",
	} {
		var data map[string]any
		if err := json.Unmarshal([]byte(given), &data); err != nil {
			t.Fatal(err)
		}
		_, rendered := seed.FromObject(map[string]any{"network_data": data}, seed.Input{UUID: nodeUUID})
		for _, err := range []error{seed.CheckNetworkData(data), rendered} {
			public, _ := fault.PublicOf(err)
			if (err == nil) != (says == "") || err != nil && (fault.KindOf(err) != fault.Invalid || !strings.Contains(public, says)) {
				t.Errorf("%s: %v, want %q", given, err, says)
			}
		}
	}
}

// TestNetworkDataOfMillions: what no machine's network is, is not judged part by part, which takes a gigabyte for each 300000.
func TestNetworkDataOfMillions(t *testing.T) {
	many := make([]any, 2_000_000)
	for i := range many {
		many[i] = i
	}
	for what, data := range map[string]map[string]any{
		"links":  {"links": many},
		"routes": {"links": []any{map[string]any{}}, "networks": []any{map[string]any{"routes": many}}},
		"else":   {"links": []any{map[string]any{}}, "else": map[string]any{"x": many}},
	} {
		if err := seed.CheckNetworkData(data); fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), "network of a machine") {
			t.Errorf("%s: %v", what, err)
		}
		if wrong := seed.NetworkSchema.Wrong(data); !strings.Contains(wrong, "more parts") {
			t.Errorf("%s: %s", what, wrong)
		}
	}
}

// TestRequirement14EmptyNetworkDataIsRepaired: the node's takes the place of one that says nothing, in the object form.
func TestRequirement14EmptyNetworkDataIsRepaired(t *testing.T) {
	node, err := machines()["bond"].Data()
	if err != nil {
		t.Fatal(err)
	}
	for given, repaired := range map[string]bool{`{}`: true, `{"network_data": {}}`: true, `{"network_data": {"links": [], "networks": [], "services": []}}`: true,
		`{"network_data": null}`: false, `{"network_data": {"links": [{"id": "a", "type": "phy", "ethernet_mac_address": "52:54:00:00:00:01"}]}}`: false} {
		var object map[string]any
		if err := json.Unmarshal([]byte(given), &object); err != nil {
			t.Fatal(err)
		}
		s, err := seed.FromObject(object, seed.Input{UUID: nodeUUID, NetworkData: node})
		if err != nil {
			t.Fatal(err)
		}
		b, _ := s.File(seed.NetworkData)
		if is := strings.Contains(string(b), `"bond_mode":"802.3ad"`); is != repaired {
			t.Errorf("%s: network data %s", given, b)
		}
	}
}

// FuzzCheckNetworkData: any object is refused in words, or is rendered and fits the schema.
func FuzzCheckNetworkData(f *testing.F) {
	for _, network := range machines() {
		data, err := network.Data()
		if err != nil {
			f.Fatal(err)
		}
		raw, err := json.Marshal(data)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var data map[string]any
		if json.Unmarshal(raw, &data) != nil {
			return
		}
		s, err := seed.Render(seed.Input{UUID: nodeUUID, NetworkData: data})
		if err != nil {
			if fault.KindOf(err) != fault.Invalid {
				t.Errorf("%v", err)
			}
			return
		}
		b, ok := s.File(seed.NetworkData)
		var back map[string]any
		if ok && (json.Unmarshal(b, &back) != nil || seed.NetworkSchema.Wrong(back) != "") {
			t.Errorf("%s", b)
		}
	})
}
