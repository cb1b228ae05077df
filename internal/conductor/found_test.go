package conductor

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"ingot/internal/agentapi"
	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/store"
)

func inventoryOf(t *testing.T, text string) agentapi.Inventory {
	t.Helper()
	inv, err := agentapi.ParseInventory([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return inv
}

func macsOf(nics []nic) string {
	var out []string
	for _, n := range nics {
		out = append(out, n.mac[len(n.mac)-2:])
	}
	return strings.Join(out, " ")
}

// TestJudge: which NICs count, and which become ports.
func TestJudge(t *testing.T) {
	const nics = `{"interfaces": [{"name": "lo", "mac_address": "00:00:00:00:00:00", "ipv4_address": "127.0.0.1"},
		{"name": "a", "mac_address": "52:54:00:00:00:0A", "ipv4_address": "192.0.2.1"}, {"name": "b", "mac_address": "52:54:00:00:00:0b"},
		{"name": "", "mac_address": "52:54:00:00:00:0c"}, {"name": "d", "mac_address": "junk"}, {"name": "e", "mac_address": "52:54:00:00:00:0b"},
		{"name": "f", "mac_address": "52:54:00:00:00:0f", "ipv6_address": "fe80::1%%f"}], "cpu": {"architecture": "aarch64"}, "boot": {%s}}`
	const booted = `"pxe_interface": "01-52-54-00-00-00-0b"`
	for _, c := range []struct{ add, boot, chosen string }{
		{"pxe", booted, "0b"}, {"pxe", "", "0a"}, {"active", booted, "0a"}, {"all", booted, "0a 0b 0f"}, {"disabled", "", ""},
	} {
		f, err := InspectConfig{AddPorts: c.add}.judge(inventoryOf(t, fmt.Sprintf(nics, c.boot)), &metal.Node{})
		if err != nil || macsOf(f.all) != "0a 0b 0f" || macsOf(f.chosen) != c.chosen {
			t.Errorf("%s, %q: all %q, chosen %q, %v", c.add, c.boot, macsOf(f.all), macsOf(f.chosen), err)
		}
	}
	if f, err := (InspectConfig{AddPorts: "pxe"}).judge(agentapi.Inventory{CPU: agentapi.CPU{Architecture: "x86_64"}, Interfaces: []agentapi.Interface{{Name: "NIC1", MACAddress: "52:54:00:00:00:01"}}}, &metal.Node{}); err != nil || macsOf(f.chosen) != "01" {
		t.Errorf("a BMC's NICs, which have no addresses: %q, %v", macsOf(f.chosen), err)
	}
	for name, text := range map[string]string{
		"no usable NIC":   `{"interfaces": [{"name": "a", "mac_address": "junk"}], "cpu": {"architecture": "x86_64"}}`,
		"no architecture": `{"interfaces": [{"name": "a", "mac_address": "52:54:00:00:00:01"}]}`,
	} {
		if _, err := (InspectConfig{}).judge(inventoryOf(t, text), &metal.Node{}); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestApply: properties are what was found, capabilities keep what they had besides.
func TestApply(t *testing.T) {
	f, err := InspectConfig{}.judge(inventoryOf(t, testInventory), &metal.Node{})
	if err != nil {
		t.Fatal(err)
	}
	for before, after := range map[any]string{
		nil: "boot_mode:uefi,secure_boot:true",
		"cpu_vt:true,boot_mode:bios , iommu:true": "cpu_vt:true, iommu:true,boot_mode:uefi,secure_boot:true",
	} {
		n := &metal.Node{Properties: map[string]any{"capabilities": before, "cpus": "1", "rack": "r1"}}
		f.apply(n)
		want := map[string]any{"capabilities": after, "cpus": 4, "rack": "r1", "cpu_arch": "x86_64", "memory_mb": 8192, "local_gb": 99, "vendor": "ACME"}
		if !maps.Equal(n.Properties, want) || n.BootMode != "uefi" || n.SecureBoot == nil || !*n.SecureBoot {
			t.Errorf("properties %v\nwant       %v", n.Properties, want)
		}
	}
	n := &metal.Node{Properties: map[string]any{"capabilities": map[string]any{"x": "y"}}}
	f.apply(n)
	if c := n.Properties["capabilities"].(map[string]any); len(c) != 3 || c["secure_boot"] != "true" {
		t.Errorf("capabilities as an object: %v", c)
	}
	hinted := &metal.Node{Properties: map[string]any{"root_device": map[string]any{"name": "/dev/sdb"}}}
	if f, err = (InspectConfig{}).judge(inventoryOf(t, testInventory), hinted); err != nil || f.properties["local_gb"] != 1023 {
		t.Errorf("local_gb with a root device hint: %v, %v", f.properties["local_gb"], err)
	}
}

// TestPortsOfAnInspection: ports are added, kept, mended and deleted as configured; another node's are left.
func TestPortsOfAnInspection(t *testing.T) { onEach(t, testPortsOfAnInspection) }

func testPortsOfAnInspection(t *testing.T) {
	for keep, want := range map[string]string{"all": "01 02 09", "present": "01 02", "added": "01"} {
		t.Run(keep, func(t *testing.T) {
			w := newWorld(t)
			f := found{bootMAC: "52:54:00:00:00:01", chosen: []nic{{name: "a", mac: "52:54:00:00:00:01", clientID: "cid"}, {name: "x", mac: "52:54:00:00:00:77"}},
				all: []nic{{mac: "52:54:00:00:00:01"}, {mac: "52:54:00:00:00:02"}, {mac: "52:54:00:00:00:77"}}}
			w.write(func(tx *store.Tx) error {
				other := &metal.Node{UUID: "22222222-2222-4222-8222-222222222222", Driver: "test", ProvisionState: metal.Enroll}
				if err := tx.CreateNode(other); err != nil {
					return err
				}
				for i, mac := range []string{"52:54:00:00:00:02", "52:54:00:00:00:09", "52:54:00:00:00:77"} {
					owner := w.node.UUID
					if i == 2 {
						owner = other.UUID
					}
					if err := tx.CreatePort(&metal.Port{UUID: fmt.Sprintf("%08d-0000-4000-8000-000000000000", i), NodeUUID: owner, Address: mac, PXEEnabled: true}); err != nil {
						return err
					}
				}
				told, err := InspectConfig{KeepPorts: keep, UpdatePXEEnabled: true}.ports(tx, w.node, f)
				if err != nil {
					return err
				}
				if !strings.Contains(told, "ports added: 52:54:00:00:00:01") || !strings.Contains(told, "another node has them: 52:54:00:00:00:77") {
					t.Errorf("told %q", told)
				}
				left, err := tx.PortsOf(w.node.ID)
				var macs []string
				for _, p := range left {
					macs = append(macs, p.Address[15:])
					if boots := p.Address == f.bootMAC; p.PXEEnabled != boots || boots && p.Extra["client-id"] != "cid" {
						t.Errorf("port %s: pxe_enabled %v, extra %v", p.Address, p.PXEEnabled, p.Extra)
					}
				}
				slices.Sort(macs)
				if strings.Join(macs, " ") != want {
					t.Errorf("ports %v, want %s", macs, want)
				}
				return err
			})
		})
	}
}

// TestReportInsteadOfAgent: a machine that reports and never calls back is inspected all the same, at once with
// the token of its boot, later without it.
func TestReportInsteadOfAgent(t *testing.T) { onEach(t, testReportInsteadOfAgent) }

func testReportInsteadOfAgent(t *testing.T) {
	for _, trusted := range []bool{true, false} {
		w := journeyNamed("inspect").begin(t)
		w.silent = true
		c := w.conductor("c1", nil)
		if !trusted {
			c.config.VouchLimit = 0
		}
		w.untilItWaits(c)
		n, a := w.state()
		if n.ProvisionState != metal.InspectWait || a == nil || n.InspectionStartedAt.IsZero() {
			t.Fatalf("state %s, agent %v", n.ProvisionState, a)
		}
		w.write(func(tx *store.Tx) error {
			if err := tx.SaveReport(&store.Report{NodeID: n.ID, Boot: a.Boot, Trusted: trusted, Inventory: []byte(testInventory), Plugins: []byte(`{"pci_devices": []}`)}); err != nil {
				return err
			}
			return tx.Wake(n.ID, metal.WaitAgent)
		})
		w.off() // nobody answers there: what switches it off is the BMC
		w.run(c)
		n, _ = w.state()
		if n.ProvisionState != metal.Manageable || n.InspectionFinishedAt.IsZero() || !n.InspectionStartedAt.IsZero() || fmt.Sprint(n.Properties["memory_mb"]) != "8192" {
			t.Errorf("trusted %v: %s (%s), properties %v", trusted, n.ProvisionState, n.LastError, n.Properties)
		}
		w.write(func(tx *store.Tx) error {
			inv, err := tx.Inventory(n)
			if err == nil && string(inv.Plugins) != `{"pci_devices": []}` {
				t.Errorf("plugin data %s", inv.Plugins)
			}
			return err
		})
	}
}

// TestTheAgentIsAskedBeforeAStrangerIsBelieved: with an agent that called, a report without the token is not
// what the node gets.
func TestTheAgentIsAskedBeforeAStrangerIsBelieved(t *testing.T) {
	onEach(t, testTheAgentIsAskedBeforeAStrangerIsBelieved)
}

func testTheAgentIsAskedBeforeAStrangerIsBelieved(t *testing.T) {
	w := journeyNamed("inspect").begin(t)
	w.silent = true
	c := w.conductor("c1", nil)
	w.untilItWaits(c)
	n, a := w.state()
	w.write(func(tx *store.Tx) error {
		lie := `{"interfaces": [{"name": "evil", "mac_address": "52:54:00:66:66:66"}], "cpu": {"architecture": "evil"}}`
		return tx.SaveReport(&store.Report{NodeID: n.ID, Boot: a.Boot, Inventory: []byte(lie), Plugins: []byte("{}")})
	})
	w.silent = false
	w.run(c)
	if n, _ = w.state(); n.ProvisionState != metal.Manageable || n.Properties["cpu_arch"] != "x86_64" {
		t.Errorf("%s (%s), properties %v", n.ProvisionState, n.LastError, n.Properties)
	}
}

func TestAdoptionNeedsAReason(t *testing.T) { onEach(t, testAdoptionNeedsAReason) }

func testAdoptionNeedsAReason(t *testing.T) {
	for image, ok := range map[string]bool{
		"http://images.example/i.raw": true, "file:///srv/i.raw": true, "/srv/i.raw": true, "9e9c2b2e-6f0a-4f55-8d58-1f2f8a1f7c11": true,
		"registry.example:5000/debian:12": true, "": false, "an image": false, "http://": false,
	} {
		w := newWorld(t)
		w.node.ProvisionState = metal.Manageable
		w.node.InstanceInfo = w.node.InstanceInfo.With("image_source", image)
		w.save()
		w.ask(metal.PlanAdopt, metal.EventAdopt, "{}")
		w.run(w.conductor("c1", nil))
		n, _ := w.state()
		if want := map[bool]metal.State{true: metal.Active, false: metal.AdoptFailed}[ok]; n.ProvisionState != want || ok == (n.LastError != "") {
			t.Errorf("%q: %s, %q", image, n.ProvisionState, n.LastError)
		}
		if len(w.effects()) > 0 {
			t.Errorf("%q: something was done to the machine: %v", image, w.effects())
		}
	}
}

func journeyNamed(name string) journey {
	return journeys[slices.IndexFunc(journeys, func(j journey) bool { return j.name == name })]
}

// FuzzJudge: whatever an inventory says, what it means for a node stays within bounds and can be written.
func FuzzJudge(f *testing.F) {
	f.Add([]byte(testInventory))
	f.Add([]byte(`{"interfaces": [{"name": "a\u0000", "mac_address": "02:00:00:00:00:01", "ipv6_address": "::1%"}], "cpu": {"count": -1, "architecture": "x"},
		"memory": {"total": -9223372036854775808}, "disks": [{"size": -1}, {"size": 9223372036854775807}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		inv, err := agentapi.ParseInventory(raw)
		if err != nil {
			return
		}
		n := &metal.Node{}
		found, err := InspectConfig{AddPorts: "all"}.judge(inv, n)
		if err != nil {
			return
		}
		found.apply(n)
		if len(found.chosen) > maxNICs {
			t.Errorf("%d ports", len(found.chosen))
		}
		for key, v := range n.Properties {
			if text, ok := v.(string); ok && (len(text) > 600 || strings.ContainsRune(text, 0)) {
				t.Errorf("%s: %q", key, text)
			}
			if number, ok := v.(int); ok && number < 0 {
				t.Errorf("%s: %d", key, number)
			}
		}
	})
}
