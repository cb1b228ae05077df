package store

import (
	"maps"
	"slices"
	"testing"

	"ingot/internal/metal"
)

func TestBaselines(t *testing.T) { each(t, testBaselines) }

func testBaselines(t *testing.T, open opener) {
	db := open(t)
	n := addNode(t, db, 1)
	get := func() *metal.Baseline {
		return read(t, db, func(tx *Tx) (*metal.Baseline, error) { return tx.Baseline(n.ID) })
	}
	write(t, db, func(tx *Tx) error { return tx.SeeFirmware(n.ID, metal.FirmwareState{}) })
	if get() != nil {
		t.Fatal("what was seen is taken for a baseline")
	}
	first := metal.FirmwareState{BIOS: map[string]string{"A": "1"}, BootOrder: []string{"Boot0000"}}
	write(t, db, func(tx *Tx) error { return tx.SaveBaseline(n.ID, first, "c1") })
	if b := get(); !maps.Equal(b.State.BIOS, first.BIOS) || !slices.Equal(b.State.BootOrder, first.BootOrder) || b.State.Firmware != nil || b.By != "c1" || b.At.IsZero() || b.Seen != nil {
		t.Errorf("%+v", b)
	}
	later := metal.FirmwareState{BIOS: map[string]string{"A": "2"}, Firmware: map[string]string{}, Variables: []string{}}
	write(t, db, func(tx *Tx) error { return tx.SeeFirmware(n.ID, later) })
	if b := get(); b.State.BIOS["A"] != "1" || b.Seen == nil || b.Seen.BIOS["A"] != "2" || b.SeenAt.IsZero() {
		t.Errorf("%+v", b)
	}
	write(t, db, func(tx *Tx) error { return tx.SaveBaseline(n.ID, later, "me") })
	if b := get(); b.State.BIOS["A"] != "2" || b.By != "me" || b.State.Firmware == nil || b.State.Variables == nil || b.State.BootOrder != nil {
		t.Errorf("%+v", b)
	}
	write(t, db, func(tx *Tx) error { return tx.DeleteNode(n.ID) })
	if get() != nil {
		t.Error("it outlives its node")
	}
}
