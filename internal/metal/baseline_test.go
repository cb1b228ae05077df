package metal

import (
	"slices"
	"strings"
	"testing"
)

func TestFirmwareDrift(t *testing.T) {
	was := FirmwareState{BIOS: map[string]string{"A": "1", "B": "on", "Clock": "12:00"}, BootOrder: []string{"Boot0000", "Boot0001"},
		Firmware: map[string]string{"bios": "1.0", "bmc": "2.0"}, Variables: []string{"MTC-x"}}
	is := FirmwareState{BIOS: map[string]string{"A": "2", "C": "", "Clock": "12:01"}, BootOrder: []string{"Boot0001"},
		Firmware: map[string]string{"bios": "1.0", "bmc": "2.0", "nic": "3"}, Variables: []string{"MTC-x", "Secret-y", "Boot0009" + globalVariables}}
	want := []string{"BIOS attribute A is 2, and was 1", "BIOS attribute B is gone (it was on)", `BIOS attribute C is new ("")`, "firmware of nic is new (3)",
		"the boot order is Boot0001, and was Boot0000, Boot0001", "UEFI variable Secret-y is new"}
	if got := FirmwareDrift(was, is, []string{"bios.Cl*"}); !slices.Equal(got, want) {
		t.Errorf("%s", strings.Join(got, "\n"))
	}
	if got := FirmwareDrift(was, was, nil); got != nil {
		t.Errorf("nothing changed: %v", got)
	}
	if got := FirmwareDrift(was, is, []string{"bios.*", "firmware.*", "boot_order", "uefi_variable.*"}); got != nil {
		t.Errorf("all is ignored: %v", got)
	}
	if got := FirmwareDrift(FirmwareState{}, is, nil); got != nil {
		t.Errorf("nothing was known: %v", got)
	}
	if got := FirmwareDrift(was, FirmwareState{}, nil); len(got) != 3 || !strings.Contains(got[0], "bios any more") {
		t.Errorf("nothing is told any more: %v", got)
	}
	var s FirmwareState
	if parts := s.Fill(was); len(parts) != 4 || s.Empty() || len(s.Fill(is)) != 0 || s.BIOS["A"] != "1" {
		t.Errorf("%v, %+v", parts, s)
	}
}
