package store

import (
	"reflect"
	"testing"

	"ingot/internal/metal"
)

func TestBIOSSettings(t *testing.T) { each(t, testBIOSSettings) }

func testBIOSSettings(t *testing.T, open opener) {
	db := open(t)
	n := addNode(t, db, 1)
	text := func(s string) *string { return &s }
	most, yes := int64(9), true
	list := func() []metal.BIOSSetting {
		return read(t, db, func(tx *Tx) ([]metal.BIOSSetting, error) { return tx.BIOSSettings(n.ID) })
	}
	save := func(s ...metal.BIOSSetting) {
		write(t, db, func(tx *Tx) error { return tx.SaveBIOSSettings(n.ID, s) })
	}
	boot := metal.BIOSSetting{Name: "BootOrder", Value: text("disk"), Registry: metal.BIOSRegistry{Type: "Enumeration", Allowed: []string{"disk", "net"}, Upper: &most, ReadOnly: &yes}}
	save(boot, metal.BIOSSetting{Name: "Admin"}, metal.BIOSSetting{Name: "Old", Value: text("")})
	first := list()
	if len(first) != 3 || first[0].Name != "Admin" || first[0].Value != nil || *first[1].Value != "disk" || *first[2].Value != "" || !first[1].UpdatedAt.IsZero() || first[1].CreatedAt.IsZero() {
		t.Fatalf("%+v", first)
	}
	same(t, &first[1].Registry, &boot.Registry)
	save(boot, metal.BIOSSetting{Name: "Admin", Value: text("")})
	second := list()
	if len(second) != 2 || *second[0].Value != "" || second[0].UpdatedAt.IsZero() || !second[1].UpdatedAt.IsZero() || !second[1].CreatedAt.Equal(first[1].CreatedAt) {
		t.Errorf("what changed has a time of its change, the other not: %+v", second)
	}
	write(t, db, func(tx *Tx) error { return tx.DeleteNode(n.ID) })
	if left := list(); len(left) != 0 {
		t.Errorf("of a deleted node: %+v", left)
	}
}

func TestFirmwareComponents(t *testing.T) { each(t, testFirmwareComponents) }

func testFirmwareComponents(t *testing.T, open opener) {
	db := open(t)
	n := addNode(t, db, 1)
	list := func() []metal.FirmwareComponent {
		return read(t, db, func(tx *Tx) ([]metal.FirmwareComponent, error) { return tx.FirmwareComponents(n.ID) })
	}
	save := func(f ...metal.FirmwareComponent) {
		write(t, db, func(tx *Tx) error { return tx.SaveFirmwareComponents(n.ID, f) })
	}
	save(metal.FirmwareComponent{Component: "bmc", Current: "1"}, metal.FirmwareComponent{Component: "bios", Current: "1", Vendor: "v", Model: "m", Serial: "s"})
	save(metal.FirmwareComponent{Component: "bios", Current: "2", LastFlashed: "2", Vendor: "v", Model: "m", Serial: "s"})
	save(metal.FirmwareComponent{Component: "bios", Current: "3", Vendor: "v", Model: "m", Serial: "s"})
	got := list()
	if len(got) != 1 {
		t.Fatalf("%+v", got)
	}
	f := got[0]
	if f.Initial != "1" || f.Current != "3" || f.LastFlashed != "2" || f.Vendor != "v" || f.Model != "m" || f.Serial != "s" || f.UpdatedAt.IsZero() {
		t.Errorf("%+v", f)
	}
}

func TestNodeKeepsRAIDAndConsole(t *testing.T) { each(t, testNodeKeepsRAIDAndConsole) }

func testNodeKeepsRAIDAndConsole(t *testing.T, open opener) {
	db := open(t)
	n := addNode(t, db, 1)
	n.ConsoleEnabled = true
	n.RAIDConfig = map[string]any{"last_updated": "now"}
	n.TargetRAIDConfig = map[string]any{"logical_disks": []any{map[string]any{"size_gb": "MAX", "raid_level": "1"}}}
	write(t, db, func(tx *Tx) error { return tx.SaveNode(n) })
	got := read(t, db, func(tx *Tx) (*metal.Node, error) { return tx.NodeByID(n.ID) })
	if !reflect.DeepEqual(got.RAIDConfig, n.RAIDConfig) || !reflect.DeepEqual(got.TargetRAIDConfig, n.TargetRAIDConfig) {
		t.Errorf("%v, %v", got.RAIDConfig, got.TargetRAIDConfig)
	}
	if !got.ConsoleEnabled {
		t.Error("console_enabled is lost")
	}
}
