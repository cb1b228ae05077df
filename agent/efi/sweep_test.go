package efi

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	vendorGUID = "11111111-2222-3333-4444-555555555555"
	loaderGUID = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
)

// plant puts variables into a directory, by name, GUID and attributes.
func plant(t *testing.T, all map[string]uint32) Variables {
	t.Helper()
	v := Variables{Dir: t.TempDir()}
	for name, attributes := range all {
		if err := os.WriteFile(filepath.Join(v.Dir, name), append(binary.LittleEndian.AppendUint32(nil, attributes), "value"...), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return v
}

func TestSweepRemovesWhatTenantsLeft(t *testing.T) {
	all := map[string]uint32{
		"BootOrder-" + global: 7, "Boot0001-" + global: 7, "Timeout-" + global: 7, "db-" + security: 0x27,
		"MTC-" + vendorGUID:               7,    // it was there before
		"Secret-" + vendorGUID:            7,    // a tenant's
		"Signed-" + vendorGUID:            0x27, // only who has the key can
		"Volatile-" + vendorGUID:          6,
		"Setup-" + vendorGUID:             3,
		"Notes-" + global:                 7, // not of the specification
		"Driver0000-" + global:            7, // a tenant's driver
		"LoaderSystemToken-" + loaderGUID: 7,
	}
	before := []string{"MTC-" + vendorGUID, "Boot0000-" + global}
	firsts := []string{"LoaderSystemToken-" + loaderGUID}
	for name, c := range map[string]struct{ known, removed []string }{
		"before a baseline": {nil, firsts},
		"with one":          {before, append([]string{"Driver0000-" + global, "Notes-" + global, "Secret-" + vendorGUID}, firsts...)},
	} {
		v := plant(t, all)
		removed, kept, err := v.Sweep(c.known)
		slices.Sort(c.removed)
		if err != nil || !slices.Equal(removed, c.removed) || len(kept) != len(all)-len(removed) {
			t.Errorf("%s: removed %v, want %v; kept %v; %v", name, removed, c.removed, kept, err)
		}
		left, _ := v.names()
		if !slices.Equal(left, kept) {
			t.Errorf("%s: there are %v, and it says %v", name, left, kept)
		}
		if again, _, err := v.Sweep(c.known); err != nil || len(again) != 0 {
			t.Errorf("%s: a second time removes %v, %v", name, again, err)
		}
	}
}

func TestSweepTellsWhatItCannotRemove(t *testing.T) {
	v := plant(t, map[string]uint32{"MTC-" + vendorGUID: 7})
	stuck := "Secret-" + vendorGUID
	if err := os.Mkdir(filepath.Join(v.Dir, stuck), 0o700); err != nil { // stands for what cannot be read
		t.Fatal(err)
	}
	_, _, err := v.Sweep([]string{"MTC-" + vendorGUID})
	if err == nil || !strings.Contains(err.Error(), stuck) {
		t.Error(err)
	}
	if _, _, err := (Variables{Dir: filepath.Join(v.Dir, "none")}).Sweep(nil); err == nil {
		t.Error("no variables are no error")
	}
}
