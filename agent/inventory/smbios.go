package inventory

import (
	"bytes"
	"encoding/binary"
	"io"
	"os"

	"github.com/digitalocean/go-smbios/smbios"

	"ingot/internal/agentapi"
)

// maxTables is the most of the SMBIOS tables that is read; real ones are some tens of KiB.
const maxTables = 1 << 20

// vendor is the machine's maker and firmware, as the kernel has read them from SMBIOS types 0 and 1.
func (m Machine) vendor() agentapi.SystemVendor {
	id := func(name string) string { return m.text("sys/class/dmi/id/" + name) }
	return agentapi.SystemVendor{
		ProductName:  id("product_name"),
		SerialNumber: id("product_serial"),
		Manufacturer: id("sys_vendor"),
		Firmware:     agentapi.Firmware{Vendor: id("bios_vendor"), Version: id("bios_version"), BuildDate: id("bios_date")},
	}
}

// pluggedMemory adds up the memory modules in MiB; 0 if the firmware does not say.
func (m Machine) pluggedMemory() (mib int) {
	f, err := os.Open(m.path("sys/firmware/dmi/tables/DMI"))
	if err != nil {
		return 0
	}
	defer f.Close()
	return moduleMiB(io.LimitReader(f, maxTables))
}

// moduleMiB adds up the memory devices (type 17) in SMBIOS tables. Source: SMBIOS specification 3.6, §7.18.
func moduleMiB(r io.Reader) (mib int) {
	// The library trusts lengths that firmware wrote.
	defer func() {
		if recover() != nil {
			mib = 0
		}
	}()
	end := []byte{127, 4, 0xff, 0xff, 0, 0} // some firmware leaves the end mark out
	tables, err := smbios.NewDecoder(io.MultiReader(r, bytes.NewReader(end))).Decode()
	if err != nil {
		return 0
	}
	for _, t := range tables {
		if t.Header.Type != 17 || len(t.Formatted) < 10 {
			continue
		}
		// Offsets are the specification's less 4: the header is not in Formatted.
		switch size := binary.LittleEndian.Uint16(t.Formatted[8:]); {
		case size == 0 || size == 0xffff: // an empty slot; unknown
		case size == 0x7fff: // too large for the field: the extended one has it in MiB
			if len(t.Formatted) >= 28 {
				mib += int(binary.LittleEndian.Uint32(t.Formatted[24:]) & 0x7fffffff)
			}
		case size&0x8000 != 0: // KiB
			mib += int(size&0x7fff) / 1024
		default:
			mib += int(size)
		}
	}
	return mib
}
