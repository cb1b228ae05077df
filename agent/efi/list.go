package efi

import (
	"encoding/binary"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
)

// maxListed bounds how many variables are named.
const maxListed = 1000

// List words the boot entries as efibootmgr does, and names every variable with its size, for logs. Values are not
// shown: some are keys.
func (v Variables) List() string {
	var b strings.Builder
	entries, err := v.entries()
	if err != nil {
		return fmt.Sprintf("no firmware variables: %v\n", err)
	}
	if n, err := v.current(); err == nil && n != none {
		fmt.Fprintf(&b, "BootCurrent: %04X\n", n)
	}
	if order, err := v.read("BootOrder"); err == nil {
		b.WriteString("BootOrder:")
		for i := 0; i+1 < len(order); i += 2 {
			fmt.Fprintf(&b, " %04X", binary.LittleEndian.Uint16(order[i:]))
		}
		b.WriteByte('\n')
	}
	for _, n := range slices.Sorted(maps.Keys(entries)) {
		o, err := Decode(entries[n])
		if err != nil {
			fmt.Fprintf(&b, "Boot%04X: %v\n", n, err)
			continue
		}
		fmt.Fprintf(&b, "Boot%04X: %s\t%s\n", n, plainLabel(o.Description), PathText(o.Path))
	}
	files, err := os.ReadDir(v.Dir)
	if err != nil {
		return b.String()
	}
	for _, f := range files[:min(len(files), maxListed)] {
		if info, err := f.Info(); err == nil {
			fmt.Fprintf(&b, "%s %d bytes\n", f.Name(), info.Size())
		}
	}
	return b.String()
}
