package redfish_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"ingot/internal/metal"
	"ingot/lab/bmc"
)

// TestFirmwareStateShowsWhatATenantChanged: the BMC is emulated, and the change is made behind its back.
func TestFirmwareStateShowsWhatATenantChanged(t *testing.T) {
	r := newRig(t, quick())
	before, err := r.FirmwareState(t.Context(), r.node)
	if err != nil {
		t.Fatal(err)
	}
	if before.BIOS["NumLock"] != "On" || before.BIOS["SetupPassword"] != "" || before.BIOS["WatchdogMinutes"] != "0" || !slices.Equal(before.BootOrder, []string{"Boot0000", "Boot0001", "Boot0002"}) ||
		!maps.Equal(before.Firmware, map[string]string{"bios": "2.19.1", "bmc": "1.0.0", "nic-1": "22.31.6"}) {
		t.Errorf("%+v", before)
	}
	if err := r.bmc.ChangeInBand(bmc.InBand{BIOS: map[string]any{"NumLock": "Off"}, BootOrder: []string{"Boot0001", "Boot0000"}, Firmware: map[string]string{"bios": "1.0.0"}}); err != nil {
		t.Fatal(err)
	}
	after, err := r.FirmwareState(t.Context(), r.node)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"BIOS attribute NumLock is Off, and was On", "firmware of bios is 1.0.0, and was 2.19.1", "the boot order is Boot0001, Boot0000, and was Boot0000, Boot0001, Boot0002"}
	if got := metal.FirmwareDrift(before, after, nil); !slices.Equal(got, want) {
		t.Errorf("%s", strings.Join(got, "\n"))
	}
}

func TestFirmwareStateOfOtherBMCs(t *testing.T) {
	s := newStub(t)
	d := driver(t, quick())
	got, err := d.FirmwareState(t.Context(), s.node)
	if err != nil || !got.Empty() {
		t.Errorf("a BMC that tells nothing: %+v, %v", got, err)
	}
	mergeInto(s.docs[sys], doc{"Bios": at(sys + "/Bios"), "BiosVersion": "U30 \n v2"})
	got, err = d.FirmwareState(t.Context(), s.node)
	if err != nil || got.BIOS != nil || got.Firmware["bios"] != "U30 v2" {
		t.Errorf("one whose link leads nowhere: %+v, %v", got, err)
	}
	s.docs[sys+"/Bios"] = doc{"Attributes": doc{"A": 7, "B": true, "C": nil, "D": 1.5, "E": strings.Repeat("v", 100000)}}
	got, err = d.FirmwareState(t.Context(), s.node)
	if err != nil || got.BIOS["A"] != "7" || got.BIOS["B"] != "true" || got.BIOS["C"] != "" || got.BIOS["D"] != "1.5" || len(got.BIOS["E"]) > 300 {
		t.Errorf("attributes of all kinds: %v, %v", got.BIOS["A"], err)
	}
}
