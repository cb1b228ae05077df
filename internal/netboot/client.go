package netboot

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/insomniacslk/dhcp/iana"

	"ingot/internal/metal"
)

// clients are the firmwares that are served, by their code. Source: IANA, "Processor Architecture Types"; that EFI
// byte code (9, 17) is what x86-64 firmware sent for long is RFC 4578's erratum 6, and dnsmasq and others take it so.
var clients = map[iana.Arch]Client{
	iana.INTEL_X86PC:      {Arch: "x86_64", Firmware: metal.BIOS},
	iana.EFI_X86_64:       {Arch: "x86_64", Firmware: metal.UEFI},
	iana.EFI_BC:           {Arch: "x86_64", Firmware: metal.UEFI},
	iana.EFI_X86_64_HTTP:  {Arch: "x86_64", Firmware: metal.UEFI, HTTP: true},
	iana.EFI_BC_HTTP:      {Arch: "x86_64", Firmware: metal.UEFI, HTTP: true},
	iana.INTEL_X86PC_HTTP: {Arch: "x86_64", Firmware: metal.BIOS, HTTP: true},
	iana.EFI_ARM64:        {Arch: "aarch64", Firmware: metal.UEFI},
	iana.EFI_ARM64_HTTP:   {Arch: "aarch64", Firmware: metal.UEFI, HTTP: true},
}

// The vendor classes of firmware. Source: PXE specification 2.1, section 2.2; UEFI specification, section 24.7.
const (
	classPXE  = "PXEClient"
	classHTTP = "HTTPClient"
)

// asker is what a packet tells of who boots, in both versions of DHCP.
type asker struct {
	class string    // PXEClient, HTTPClient or ""
	archs []uint16  // as sent, the preferred first
	ipxe  bool      // an iPXE, not the firmware
	uuid  *[16]byte // of the firmware, in whatever order of bytes; nil: not told
	mute  bool      // no UUID was told where PXE and UEFI HTTP boot must tell one (DHCPv4)
}

// boots tells whether it wants a boot file at all. An operating system's DHCP client does not.
func (a asker) boots() bool { return a.class != "" || a.ipxe || len(a.archs) > 0 }

// client is the firmware that asks; false if it is none that is served.
func (a asker) client() (Client, bool) {
	for _, code := range a.archs {
		if c, found := clients[iana.Arch(code)]; found {
			c.HTTP = c.HTTP || a.class == classHTTP
			return c, true
		}
	}
	return Client{}, false
}

// classOf reads a vendor class: "PXEClient:Arch:00007:UNDI:003000". The architecture in it counts where no option says it.
func classOf(text []byte) (class string, archs []uint16) {
	if len(text) > 255 {
		return "", nil
	}
	words := strings.Split(strings.TrimRight(string(text), "\x00"), ":")
	if words[0] != classPXE && words[0] != classHTTP {
		return "", nil
	}
	if len(words) >= 3 && words[1] == "Arch" {
		if code, err := strconv.ParseUint(words[2], 10, 16); err == nil && len(words[2]) == 5 {
			archs = []uint16{uint16(code)}
		}
	}
	return words[0], archs
}

// archsOf reads option 93: two bytes each.
func archsOf(data []byte) []uint16 {
	if len(data) == 0 || len(data)%2 != 0 || len(data) > 64 {
		return nil
	}
	out := make([]uint16, 0, len(data)/2)
	for i := 0; i < len(data); i += 2 {
		out = append(out, uint16(data[i])<<8|uint16(data[i+1]))
	}
	return out
}

// isIPXE reads a user class, which iPXE sends as four bare bytes and RFC 3004 wants as strings with their lengths.
func isIPXE(data []byte) bool {
	if bytes.Equal(data, []byte("iPXE")) {
		return true
	}
	for len(data) > 0 {
		n := int(data[0])
		if n == 0 || n >= len(data) {
			return false
		}
		if string(data[1:1+n]) == "iPXE" {
			return true
		}
		data = data[1+n:]
	}
	return false
}

// uuidOf reads option 97: a type that is always 0, and 16 bytes. All zeros and all ones are what boards without a UUID
// send. Source: RFC 4578 section 2.3.
func uuidOf(data []byte) *[16]byte {
	if len(data) != 17 || data[0] != 0 {
		return nil
	}
	u := [16]byte(data[1:])
	if u == ([16]byte{}) || u == ([16]byte(bytes.Repeat([]byte{0xff}, 16))) {
		return nil
	}
	return &u
}
