package efi

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"regexp"
	"slices"
)

// Entry is a boot entry, for people.
type Entry struct {
	Number      string `json:"number"` // four hex digits
	Description string `json:"description"`
	Path        string `json:"path"`
}

// DefaultPatterns find the entries that operating systems leave: those that begin with a disk, and the usual
// loaders anywhere. Source: agent protocol reference §12.1.
var DefaultPatterns = []string{`^HD\(`, `shim.*\.efi`, `grub.*\.efi`}

const (
	maxPatterns   = 32
	maxPattern    = 512
	categoryMask  = 0x1f00 // LOAD_OPTION_CATEGORY. Source: UEFI specification 2.10, §3.1.3
	categoryBoots = 0      // not an application of the firmware's, such as its menu
)

// Patterns compiles what names entries to remove, whatever the case.
func Patterns(list []string) ([]*regexp.Regexp, error) {
	if len(list) > maxPatterns {
		return nil, fmt.Errorf("%d patterns are more than %d", len(list), maxPatterns)
	}
	var all []*regexp.Regexp
	for _, p := range list {
		if p == "" || len(p) > maxPattern {
			return nil, fmt.Errorf("a pattern has 1 to %d characters", maxPattern)
		}
		r, err := regexp.Compile("(?i)" + p)
		if err != nil {
			return nil, fmt.Errorf("pattern %q: %w", p, err)
		}
		all = append(all, r)
	}
	return all, nil
}

// Clean removes the boot entries whose device path, as PathText words it, one of the patterns matches, and takes
// them out of the boot order. The entry that this system was booted from stays, and so do entries that are the
// firmware's own programs, and what cannot be read. Every entry is tried; the errors are joined.
func (v Variables) Clean(patterns []*regexp.Regexp) (removed []Entry, kept int, err error) {
	entries, err := v.entries()
	if err != nil {
		return nil, 0, fmt.Errorf("read boot entries: %w", err)
	}
	current, err := v.current()
	if err != nil {
		return nil, 0, err
	}
	var gone []uint16
	var errs []error
	removed = []Entry{} // a list in JSON, not null
	for _, n := range slices.Sorted(maps.Keys(entries)) {
		raw := entries[n]
		o, err := Decode(raw)
		text := PathText(o.Path)
		if err != nil || n == current || binary.LittleEndian.Uint32(raw)&categoryMask != categoryBoots ||
			!slices.ContainsFunc(patterns, func(r *regexp.Regexp) bool { return r.MatchString(text) }) {
			kept++
			continue
		}
		if err := v.remove(n); err != nil {
			errs = append(errs, fmt.Errorf("remove boot entry %04X: %w", n, err))
			continue
		}
		gone = append(gone, n)
		removed = append(removed, Entry{fmt.Sprintf("%04X", n), o.Description, text})
	}
	return removed, kept, errors.Join(append(errs, v.forget(gone))...)
}

// none is no boot entry's number: those are 16 bits.
const none = 0xffff

// current is the entry that the firmware booted; none if it does not say.
func (v Variables) current() (uint16, error) {
	b, err := v.read("BootCurrent")
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(b) != 2 {
		return none, nil
	}
	if err != nil {
		return none, fmt.Errorf("read what was booted from: %w", err)
	}
	return binary.LittleEndian.Uint16(b), nil
}

// forget takes entries out of the boot order.
func (v Variables) forget(gone []uint16) error {
	old, err := v.read("BootOrder")
	if errors.Is(err, fs.ErrNotExist) || len(gone) == 0 {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read boot order: %w", err)
	}
	order := []byte{}
	for i := 0; i+1 < len(old); i += 2 {
		if n := binary.LittleEndian.Uint16(old[i:]); !slices.Contains(gone, n) {
			order = binary.LittleEndian.AppendUint16(order, n)
		}
	}
	switch {
	case len(order) == len(old):
		return nil
	case len(order) == 0: // a variable without a value is none
		v.unlock(v.path("BootOrder"))
		err = os.Remove(v.path("BootOrder"))
	default:
		err = v.write("BootOrder", order)
	}
	if err != nil {
		return fmt.Errorf("write boot order: %w", err)
	}
	return nil
}
