package conductor

import (
	"cmp"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/seed"
	"ingot/internal/store"
)

// TestAReadyDriveIsUsedAsItIs: byte for byte; its files are what is served, and no target is asked.
func TestAReadyDriveIsUsedAsItIs(t *testing.T) {
	own, err := seed.FromObject(map[string]any{"user_data": "of the drive", "vendor_data": map[string]any{"nova": "said"}}, seed.Input{UUID: "u", Name: "by nova"})
	if err != nil {
		t.Fatal(err)
	}
	text, err := own.Drive()
	if err != nil {
		t.Fatal(err)
	}
	fetched := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fetched++; _, _ = io.WriteString(w, text) }))
	defer s.Close()
	for name, drive := range map[string]string{"base64": text, "a URL": s.URL + "/drive"} {
		v := newTarget(t)
		w := deployWorld(t, drive, asking(t, true, v))
		if n := w.deploy(metal.EventDeploy, askedBy); n.ProvisionState != metal.Active {
			t.Fatalf("%s: %s: %s", name, n.ProvisionState, n.LastError)
		}
		i, kept := w.kept()
		if w.drive != text || len(v.questions()) != 0 || i == nil || !i.Answers.Empty() {
			t.Fatalf("%s: the machine got %d bytes, targets were asked %d times", name, len(w.drive), len(v.questions()))
		}
		if got := page(t, kept, "/openstack/latest/user_data"); got != "of the drive" {
			t.Errorf("%s: user data %q", name, got)
		}
		if got := page(t, kept, "/openstack/latest/vendor_data2.json"); !strings.Contains(got, "nova") {
			t.Errorf("%s: vendor data %s", name, got)
		}
		if req, any := w.keptRequest(); !any || req.UserData.Expose() != "of the drive" || !slices.Equal(req.BootRoles, []string{"member", "mail"}) {
			t.Errorf("%s: nothing is kept for a rebuild", name)
		}
	}
	if fetched != 1 {
		t.Errorf("the drive was fetched %d times", fetched)
	}
}

// TestADriveThatCannotBeRead is given to the machine; what is served is what we know ourselves.
func TestADriveThatCannotBeRead(t *testing.T) {
	w := deployWorld(t, "aGVsbG8=", nil)
	if n := w.deploy(metal.EventDeploy, "{}"); n.ProvisionState != metal.Active || w.drive != "aGVsbG8=" {
		t.Fatalf("%s: %s; drive %q", n.ProvisionState, n.LastError, w.drive)
	}
	if _, s := w.kept(); s == nil || !strings.Contains(page(t, s, "/openstack/latest/meta_data.json"), w.node.UUID) {
		t.Error("nothing is served")
	}
	if !strings.Contains(w.whys(), "its files cannot be served") {
		t.Errorf("nobody is told:\n%s", w.whys())
	}
}

// TestWhoGetsADrive: where one was given, unless the node or the operator says otherwise. What is served is there in each case,
// and for machines that only seem to be deployed, too.
func TestWhoGetsADrive(t *testing.T) {
	for name, row := range map[string]struct {
		drive, wish any
		force       bool
		format      string
		fake        bool
		written     bool
	}{
		"given":                         {drive: maps.Clone(parts), written: true},
		"given, as vfat":                {drive: maps.Clone(parts), format: seed.FormatVFAT, written: true},
		"none given":                    {},
		"none given, the operator's":    {force: true, written: true},
		"none given, the node's wish":   {wish: "true", written: true},
		"given and not wanted":          {drive: maps.Clone(parts), wish: "false"},
		"the operator's and not wanted": {force: true, wish: false},
		"a machine that is not written": {drive: maps.Clone(parts), fake: true},
	} {
		w := deployWorld(t, row.drive, asking(t, true, newTarget(t)))
		w.tune = func(c *Config) { c.ForceConfigDrive, c.DriveFormat = row.force, row.format }
		if row.wish != nil {
			w.node.InstanceInfo = w.node.InstanceInfo.With("config_drive", row.wish)
		}
		if row.fake {
			w.node.Interfaces["deploy"] = "fake"
		}
		w.save()
		if n := w.deploy(metal.EventDeploy, askedBy); n.ProvisionState != metal.Active {
			t.Fatalf("%s: %s: %s", name, n.ProvisionState, n.LastError)
		}
		if row.written {
			if drive, err := seed.FromDrive(w.drive); err != nil {
				t.Errorf("%s: %v", name, err)
			} else if _, has := drive.File(seed.VendorData2); !has {
				t.Errorf("%s: the drive lacks vendordata", name)
			}
		}
		if (w.drive != "") != row.written {
			t.Errorf("%s: the drive has %d bytes", name, len(w.drive))
		}
		if _, s := w.kept(); s == nil || !strings.Contains(page(t, s, "/openstack/latest/vendor_data2.json"), "number") {
			t.Errorf("%s: nothing is served", name)
		}
	}
}

// TestWhereAnInstanceIs: at the addresses of its network data, and at those that the network service gives its NICs.
func TestWhereAnInstanceIs(t *testing.T) { onEach(t, testWhereAnInstanceIs) }

func testWhereAnInstanceIs(t *testing.T) {
	w := deployWorld(t, map[string]any{"network_data": map[string]any{"links": []any{map[string]any{"id": "eno1", "type": "phy", "ethernet_mac_address": "52:54:00:00:00:0A"}},
		"networks": []any{map[string]any{"id": "n0", "network_id": "n0", "link": "eno1", "type": "ipv4", "ip_address": "192.0.2.10", "netmask": "255.255.255.0"},
			map[string]any{"id": "n1", "network_id": "n1", "link": "eno1", "type": "ipv4", "ip_address": "169.254.0.5", "netmask": "255.255.0.0"}}, "services": []any{}}}, nil)
	w.wire(journeys[2])
	w.wires.leased = "192.0.2.77"
	w.deploy(metal.EventDeploy, "{}")
	at := func() string {
		var out []string
		err := w.db.Read(t.Context(), func(tx *store.Tx) error {
			all, err := tx.InstanceAddresses(w.node.ID)
			for _, a := range all {
				out = append(out, cmp.Or(a.MAC, "-")+" "+a.Address.String()+" "+a.Source)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(out)
		return strings.Join(out, ", ")
	}
	if got, want := at(), "52:54:00:00:00:01 192.0.2.77 network service, 52:54:00:00:00:0a 192.0.2.10 network_data"; w.node.ProvisionState != metal.Active || got != want {
		t.Errorf("%s, known at %s, want %s", w.node.ProvisionState, got, want)
	}
	w.ask(metal.PlanTearDown, metal.EventDelete, "{}")
	w.run(w.conductor("c1", nil))
	if i, _ := w.kept(); i != nil || at() != "" {
		t.Errorf("after a tear down it is known at %s", at())
	}
}

// TestAnInstanceIsToldItsNetwork: what the network service knows of its VIF, where neither the request nor the node says otherwise.
func TestAnInstanceIsToldItsNetwork(t *testing.T) {
	vif := seed.VIF{ID: testVIF, On: "22222222-2222-4222-8222-222222222222", NetworkID: "net", MTU: 1442,
		Subnets: []seed.Subnet{{Address: netip.MustParsePrefix("192.0.2.20/24"), Gateway: netip.MustParseAddr("192.0.2.1")}}}
	own := map[string]any{"links": []any{map[string]any{"id": "own", "type": "phy", "ethernet_mac_address": "52:54:00:00:00:0a"}}, "networks": []any{}, "services": []any{}}
	for name, row := range map[string]struct {
		drive  any
		node   map[string]any
		vifs   []seed.VIF
		err    error
		has    string // what its network data has; "": there is none
		warned bool
	}{
		"nobody says":        {vifs: []seed.VIF{vif}, has: `"192.0.2.20"`},
		"the request not":    {drive: maps.Clone(parts), vifs: []seed.VIF{vif}, has: `"mtu":1442`},
		"the request does":   {drive: map[string]any{"network_data": own}, vifs: []seed.VIF{vif}, has: `"own"`},
		"the request: none":  {drive: map[string]any{"network_data": nil}, vifs: []seed.VIF{vif}},
		"the node does":      {node: own, vifs: []seed.VIF{vif}, has: `"own"`},
		"nothing is known":   {},
		"a VIF that is gone": {err: fault.New(fault.Invalid, "Neutron has no port x"), warned: true},
		"a VIF on nothing":   {vifs: []seed.VIF{{ID: "x", On: "nowhere", Subnets: vif.Subnets}}, warned: true},
	} {
		w := deployWorld(t, row.drive, nil)
		w.wire(journeys[2])
		w.wires.described, w.wires.undescribed = row.vifs, row.err
		if row.node != nil {
			w.node.NetworkData = row.node
			w.save()
		}
		if n := w.deploy(metal.EventDeploy, "{}"); n.ProvisionState != metal.Active {
			t.Fatalf("%s: %s: %s", name, n.ProvisionState, n.LastError)
		}
		_, s := w.kept()
		raw, has := s.File(seed.NetworkData)
		if has != (row.has != "") || !strings.Contains(strings.ReplaceAll(string(raw), ": ", ":"), row.has) {
			t.Errorf("%s: it is told %s", name, raw)
		}
		if warned := strings.Contains(w.whys(), "told nothing of its network"); warned != row.warned {
			t.Errorf("%s: the history warns: %v", name, warned)
		}
	}
}

// TestNetworkDataOfAnotherForm: what only an operator's own schema allows stays with the ramdisk, and fails no deployment.
func TestNetworkDataOfAnotherForm(t *testing.T) {
	link := map[string]any{"id": "a", "type": "phy", "ethernet_mac_address": "52:54:00:00:00:01"}
	for _, row := range []struct {
		link map[string]any
		want bool
	}{{link, true}, {map[string]any{"wire": "red"}, false}} {
		n := &metal.Node{UUID: "u", NetworkData: map[string]any{"links": []any{row.link}}}
		in := defaultsFor(n, metal.BootFor{})
		if s, err := seed.Render(in); err != nil || slices.Contains(s.Names(), seed.NetworkData) != row.want {
			t.Errorf("%v: files %v, %v", row.link, s.Names(), err)
		}
	}
}
