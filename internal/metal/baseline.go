package metal

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"
)

// NotCleaned is a key of driver_internal_info: since when a machine is available without having been cleaned. It goes when
// one is.
const NotCleaned = "ingot_not_cleaned"

// FirmwareState is what of a machine's firmware a tenant could have changed. A part that is nil is not known; an empty one is known to
// be empty, in JSON as well.
type FirmwareState struct {
	BIOS      map[string]string `json:"bios"`       // attributes
	BootOrder []string          `json:"boot_order"` // as the BMC names boot options
	Firmware  map[string]string `json:"firmware"`   // versions by part
	Variables []string          `json:"uefi_variables"`
}

// Empty tells whether nothing is known.
func (s FirmwareState) Empty() bool {
	return s.BIOS == nil && s.BootOrder == nil && s.Firmware == nil && s.Variables == nil
}

// Baseline is a machine's firmware as it is to be, and as it was seen last.
type Baseline struct {
	State  FirmwareState  `json:"baseline"`
	By     string         `json:"accepted_by"` // a user, or the server whose first cleaning recorded it
	At     time.Time      `json:"accepted_at"`
	Seen   *FirmwareState `json:"seen,omitempty"`
	SeenAt *time.Time     `json:"seen_at,omitempty"`
	Drift  []string       `json:"drift,omitempty"` // a sentence for each difference
}

// Fill takes over the parts that the baseline does not have, and tells which those are.
func (s *FirmwareState) Fill(from FirmwareState) (parts []string) {
	if s.BIOS == nil && from.BIOS != nil {
		s.BIOS, parts = from.BIOS, append(parts, "BIOS attributes")
	}
	if s.BootOrder == nil && from.BootOrder != nil {
		s.BootOrder, parts = from.BootOrder, append(parts, "boot order")
	}
	if s.Firmware == nil && from.Firmware != nil {
		s.Firmware, parts = from.Firmware, append(parts, "firmware versions")
	}
	if s.Variables == nil && from.Variables != nil {
		s.Variables, parts = from.Variables, append(parts, "UEFI variables")
	}
	return parts
}

// globalVariables is the GUID under which firmware has boot entries and their like, which come and go with every device.
const globalVariables = "-8be4df61-93ca-11d2-aa0d-00e098032b8c"

// FirmwareDrift tells each difference of a state from a baseline, in a sentence; but not those that ignore names: patterns as
// path.Match knows them over "bios.NAME", "boot_order", "firmware.PART" and "uefi_variable.NAME". A part that either does not know is not
// compared, unless the baseline has it and the BMC tells nothing of it any more.
func FirmwareDrift(was, is FirmwareState, ignore []string) (drift []string) {
	add := func(name, format string, args ...any) {
		if !slices.ContainsFunc(ignore, func(p string) bool { ok, err := path.Match(p, name); return ok && err == nil }) {
			drift = append(drift, fmt.Sprintf(format, args...))
		}
	}
	values := func(kind, word string, was, is map[string]string) {
		for _, name := range slices.Sorted(maps.Keys(union(was, is))) {
			before, had := was[name]
			now, has := is[name]
			switch {
			case had && !has:
				add(kind+name, "%s %s is gone (it was %s)", word, name, quoted(before))
			case !had && has:
				add(kind+name, "%s %s is new (%s)", word, name, quoted(now))
			case before != now:
				add(kind+name, "%s %s is %s, and was %s", word, name, quoted(now), quoted(before))
			}
		}
	}
	if was.BIOS != nil && is.BIOS != nil {
		values("bios.", "BIOS attribute", was.BIOS, is.BIOS)
	}
	if was.Firmware != nil && is.Firmware != nil {
		values("firmware.", "firmware of", was.Firmware, is.Firmware)
	}
	if was.BootOrder != nil && is.BootOrder != nil && !slices.Equal(was.BootOrder, is.BootOrder) {
		add("boot_order", "the boot order is %s, and was %s", quoted(strings.Join(is.BootOrder, ", ")), quoted(strings.Join(was.BootOrder, ", ")))
	}
	for _, name := range is.Variables {
		if was.Variables != nil && !slices.Contains(was.Variables, name) && !strings.HasSuffix(name, globalVariables) {
			add("uefi_variable."+name, "UEFI variable %s is new", name)
		}
	}
	for _, gone := range []struct {
		what string
		yes  bool
	}{{"bios", len(was.BIOS) > 0 && is.BIOS == nil}, {"firmware", len(was.Firmware) > 0 && is.Firmware == nil}, {"boot_order", len(was.BootOrder) > 0 && is.BootOrder == nil}} {
		if gone.yes {
			add(gone.what, "the BMC does not tell the %s any more", strings.ReplaceAll(gone.what, "_", " "))
		}
	}
	return drift
}

func union(a, b map[string]string) map[string]string {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}

func quoted(s string) string {
	if s == "" {
		return `""`
	}
	return s
}
