package agentapi

import (
	"strings"
	"testing"

	"ingot/internal/fault"
)

func TestParseReport(t *testing.T) {
	r, inv, err := ParseReport([]byte(`{"inventory": {"interfaces": [{"name": "eno1", "mac_address": "52:54:00:AA:BB:01"}],
		"cpu": {"count": "many", "architecture": "x86_64"}, "memory": {"physical_mb": 2048}},
		"logs": "AAAA", "pci_devices": [{"vendor_id": "8086"}], "error": "The following errors were encountered:\n* none"}`))
	if err != nil {
		t.Fatal(err)
	}
	if inv.Interfaces[0].MACAddress != "52:54:00:aa:bb:01" || inv.CPU.Count != 0 || inv.CPU.Architecture != "x86_64" || *inv.Memory.PhysicalMB != 2048 {
		t.Errorf("inventory %+v", inv)
	}
	if len(r.Plugins) != 2 || r.Plugins["pci_devices"] == nil || !strings.Contains(r.Error, "errors were encountered") {
		t.Errorf("plugins %v, error %q", r.Plugins, r.Error)
	}
	for name, body := range map[string]string{
		"empty": "", "no object": "[]", "null": "null", "no inventory": "{}", "no interfaces": `{"inventory": {"interfaces": []}}`,
		"no address": `{"inventory": {"interfaces": [{"name": "lo"}]}}`, "an odd address": `{"inventory": {"interfaces": [{"mac_address": 7}]}}`,
		"too many": `{"inventory": {"interfaces": [` + strings.Repeat(`{"mac_address":"a"},`, maxParts) + `{"mac_address":"a"}]}}`,
	} {
		if _, _, err := ParseReport([]byte(body)); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestMAC(t *testing.T) {
	for in, want := range map[string]string{
		"52:54:00:AA:bb:01": "52:54:00:aa:bb:01", "01-52-54-00-aa-bb-01": "52:54:00:aa:bb:01", " 52-54-00-aa-bb-01": "52:54:00:aa:bb:01",
		"00:00:00:00:00:00": "", "01:00:5e:00:00:01": "", "eth0": "", "80:00:02:08:fe:80:00:00:00:00:00:00:00:00:00:00:00:00:00:01": "",
	} {
		if got, ok := MAC(in); got != want || ok != (want != "") {
			t.Errorf("%q: %q, %v", in, got, ok)
		}
	}
}

// FuzzParseReport: whatever a machine sends is refused or understood, within its bounds.
func FuzzParseReport(f *testing.F) {
	f.Add([]byte(`{"inventory": {"interfaces": [{"mac_address": "52:54:00:aa:bb:01", "lldp": [[1,"00"]]}], "disks": [{"size": 1e30}]}, "error": null}`))
	f.Add([]byte(`{"inventory": {"interfaces": {"a": 1}}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		r, inv, err := ParseReport(body)
		if err == nil && (len(inv.Interfaces) == 0 || len(inv.Interfaces) > maxParts || len(r.Inventory) == 0) {
			t.Errorf("%d interfaces, %d bytes", len(inv.Interfaces), len(r.Inventory))
		}
	})
}
