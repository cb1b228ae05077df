package agentapi

import (
	"encoding/json"
	"testing"

	"ingot/internal/fault"
)

func text(s string) *string { return &s }

var evo = Disk{Name: "/dev/sda", Model: "Samsung SSD 860 ", Size: 128035676160 /* 119.24 GiB */, Vendor: text("ATA"), Serial: text("S3Z9"),
	WWN: text("0x5002538e"), HCTL: text("0:0:0:0"), ByPath: text("/dev/disk/by-path/pci-1"), Tran: text("sata")}

func TestHints(t *testing.T) {
	exact := Disk{Name: "/dev/sdb", Model: "HDD", Size: 500 * gib, Rotational: true}
	for _, c := range []struct {
		hints string
		disk  Disk
		want  bool
	}{
		{`{}`, evo, true},
		{`{"size": 119}`, evo, false},
		{`{"size": "500"}`, exact, true},
		{`{"size": 500}`, exact, true},
		{`{"size": "== 500"}`, exact, true},
		{`{"size": "= 100"}`, evo, true},
		{`{"size": ">=120"}`, evo, false},
		{`{"size": ">= 119"}`, evo, true},
		{`{"size": "<= 119"}`, evo, false},
		{`{"size": "< 120"}`, evo, true},
		{`{"size": "> 500"}`, exact, false},
		{`{"size": "!= 500"}`, exact, false},
		{`{"size": "<or> 100 <or> 500"}`, exact, true},
		{`{"size": "<range-in> ( 10 500 )"}`, exact, false},
		{`{"size": "<range-in> ( 10 500 ]"}`, exact, true},
		{`{"size": "<range-in> [500 600]"}`, exact, true},
		{`{"size": "<range-in> (500 600]"}`, exact, false},
		{`{"model": "samsung"}`, evo, false},
		{`{"model": "samsung ssd 860"}`, evo, true},
		{`{"model": "<in> samsung"}`, evo, true},
		{`{"model": "<in>SSD 8"}`, evo, true},
		{`{"model": "s!= samsung ssd 860"}`, evo, false},
		{`{"model": "s>= hdd"}`, exact, true},
		{`{"model": "s> hdd"}`, exact, false},
		{`{"model": "s< hde"}`, exact, true},
		{`{"model": "s<= hdd"}`, exact, true},
		{`{"vendor": "<or> ata <or> NVMe"}`, evo, true},
		{`{"vendor": "ATA"}`, exact, false},
		{`{"vendor": "s!= ATA"}`, exact, false},
		{`{"serial": "s== s3z9"}`, evo, true},
		{`{"serial": "<all-in> s3z9"}`, evo, true},
		{`{"serial": "<all-in> s3z9 other"}`, evo, false},
		{`{"wwn": "0x5002538E", "name": "/dev/sda", "hctl": "0:0:0:0", "tran": "sata"}`, evo, true},
		{`{"wwn": "0x5002538e", "name": "/dev/sdb"}`, evo, false},
		{`{"by_path": "<in> pci-1"}`, evo, true},
		{`{"rotational": true}`, exact, true},
		{`{"rotational": "false"}`, exact, false},
	} {
		var object map[string]any
		if err := json.Unmarshal([]byte(c.hints), &object); err != nil {
			t.Fatal(err)
		}
		h, err := ParseHints(object)
		if err != nil {
			t.Errorf("%s: %v", c.hints, err)
		} else if got := h.Match(c.disk); got != c.want {
			t.Errorf("%s on %s: %v, want %v", c.hints, c.disk.Name, got, c.want)
		}
	}
}

func TestMalformedHints(t *testing.T) {
	for _, s := range []string{`{"colour":"red"}`, `{"size":"big"}`, `{"size":0}`, `{"size":-1}`, `{"size":true}`, `{"size":"<range-in> 1 2"}`,
		`{"size":"<range-in> [1 2 3]"}`, `{"size":"<range-in> [1 x]"}`, `{"size":"<range-in> ["}`, `{"size":"s== 5"}`, `{"size":"<or> 1 <or>"}`, `{"size":"NaN"}`,
		`{"model":5}`, `{"model":""}`, `{"model":"<in>"}`, `{"model":">= 5"}`, `{"rotational":"maybe"}`, `{"rotational":1}`} {
		var object map[string]any
		if err := json.Unmarshal([]byte(s), &object); err != nil {
			t.Fatal(err)
		}
		if _, err := ParseHints(object); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%s: %v", s, err)
		}
	}
}

func TestRootDisk(t *testing.T) {
	disks := []Disk{
		{Name: "/dev/sdc", Size: 100 * gib}, {Name: "/dev/sda", Size: 1 * gib}, {Name: "/dev/sdd", Size: 4*gib - 1},
		{Name: "/dev/sdb", Size: 10 * gib}, {Name: "/dev/sde", Size: 5 * gib, ReadOnly: true}, {Name: "/dev/sdf", Size: 10 * gib, Rotational: true},
		{Name: "/dev/sdg", Size: 8 * gib, Removable: true},
	}
	for _, c := range []struct {
		node string
		want string // "" for none
		kind fault.Kind
	}{
		{`{}`, "/dev/sdb", 0},
		{`{"properties":{"root_device":{}}}`, "/dev/sdb", 0},
		{`{"properties":{"root_device":{"name":"/dev/sda"}}}`, "/dev/sda", 0},
		{`{"properties":{"root_device":{"size":">= 10"}}}`, "/dev/sdc", 0}, // the kernel's order, not size
		{`{"properties":{"root_device":{"name":"/dev/sda"}},"instance_info":{"root_device":{"rotational":true}}}`, "/dev/sdf", 0},
		{`{"properties":{"root_device":{"size":"<= 8"},"skip_block_devices":[{"size":"< 8"}]}}`, "/dev/sdg", 0}, // it is asked for
		{`{"properties":{"skip_block_devices":[{"size":">= 10"}]}}`, "", fault.NotFound},
		{`{"properties":{"root_device":{"name":"/dev/sdz"}}}`, "", fault.NotFound},
		{`{"properties":{"root_device":{"nam":"/dev/sdz"}}}`, "", fault.Invalid},
		{`{"properties":{"root_device":"sda"}}`, "", fault.Invalid},
		{`{"properties":{"skip_block_devices":[{"name":"/dev/sdb"},{"volume_name":"large"}]}}`, "/dev/sdf", 0},
		{`{"properties":{"skip_block_devices":[{"size":">= 1"}]}}`, "", fault.NotFound},
		{`{"properties":{"skip_block_devices":[{"size":">= 1"}],"root_device":{"name":"/dev/sda"}}}`, "", fault.NotFound},
		{`{"properties":{"skip_block_devices":[{}]}}`, "", fault.Invalid},
		{`{"properties":{"skip_block_devices":{"name":"x"}}}`, "", fault.Invalid},
	} {
		var n Node
		if err := json.Unmarshal([]byte(c.node), &n); err != nil {
			t.Fatal(err)
		}
		d, err := RootDisk(n, disks)
		if d.Name != c.want || (err != nil) != (c.want == "") || err != nil && fault.KindOf(err) != c.kind {
			t.Errorf("%s: %s %v, want %s", c.node, d.Name, err, c.want)
		}
	}
}

func FuzzHints(f *testing.F) {
	f.Add(`{"size":">= 10","model":"<in> x"}`)
	f.Add(`{"size":"<range-in> ( 1 2 ]","vendor":"<or> a <or> b"}`)
	f.Add(`{"skip_block_devices":[{"name":"x"}],"root_device":{"rotational":"y"}}`)
	f.Fuzz(func(t *testing.T, s string) {
		var object map[string]any
		if json.Unmarshal([]byte(s), &object) != nil {
			return
		}
		if h, err := ParseHints(object); err == nil {
			h.Match(evo)
		} else if fault.KindOf(err) != fault.Invalid {
			t.Errorf("%v", err)
		}
		if d, err := RootDisk(Node{Properties: object}, []Disk{evo}); err == nil && d.Name != evo.Name {
			t.Errorf("chose %q", d.Name)
		}
	})
}
