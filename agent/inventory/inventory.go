// Package inventory reads what a machine is made of: disks, NICs, processors, memory, maker, firmware.
//
// Everything comes from sysfs, procfs and SMBIOS tables; no external tool is run and no device is opened.
// It changes nothing and judges nothing: which disk is written to is agentapi's root device hints, and
// wiping is agent/erase. The agent's steps and its lookup call it.
//
// What cannot be read is left empty rather than failing the whole: a machine with odd firmware must still
// be able to tell its MACs and disks. The names of the result are those of the agent protocol reference
// §11.1.
package inventory

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"ingot/internal/agentapi"
)

// secureBootVar is the UEFI variable SecureBoot with its GUID. Source: UEFI specification 2.10, §3.3.
const secureBootVar = "sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"

// Machine reads the machine whose sysfs, procfs and devices are below Root.
type Machine struct {
	Root string // "/" on a machine; a made-up tree in tests
	// Addresses gives the IP addresses of a NIC by name; nil asks the kernel.
	Addresses func(nic string) []netip.Addr
}

// Collect reads everything. The only error is that there is no sysfs at all.
func (m Machine) Collect() (agentapi.Inventory, error) {
	disks, err := m.Disks()
	if err != nil {
		return agentapi.Inventory{}, err
	}
	nics, err := m.Interfaces()
	if err != nil {
		return agentapi.Inventory{}, err
	}
	host, err := os.Hostname()
	if err != nil {
		host = ""
	}
	return agentapi.Inventory{
		Interfaces:   nics,
		Disks:        disks,
		CPU:          m.cpu(),
		Memory:       m.memory(),
		SystemVendor: m.vendor(),
		Boot:         m.boot(),
		Hostname:     host,
	}, nil
}

// UEFI tells whether the machine was started by UEFI firmware.
func (m Machine) UEFI() bool {
	_, err := os.Stat(m.path("sys/firmware/efi"))
	return err == nil
}

func (m Machine) boot() agentapi.BootInfo {
	b := agentapi.BootInfo{CurrentBootMode: "bios"}
	if m.UEFI() {
		b.CurrentBootMode = "uefi"
		// Four bytes of attributes come before the value.
		if v, err := os.ReadFile(m.path(secureBootVar)); err == nil && len(v) == 5 {
			on := v[4] == 1
			b.SecureBoot = &on
		}
	}
	for _, word := range strings.Fields(m.text("proc/cmdline")) {
		if mac, ok := strings.CutPrefix(word, "BOOTIF="); ok {
			b.PXEInterface = &mac
		}
	}
	return b
}

func (m Machine) cpu() agentapi.CPU {
	c := agentapi.CPU{Architecture: architecture(), Flags: []string{}}
	sockets := map[string]bool{}
	var mhz string
	for line := range strings.Lines(m.text("proc/cpuinfo")) {
		key, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		switch strings.TrimSpace(key) {
		case "processor":
			c.Count++
		case "model name":
			c.ModelName = value
		case "physical id":
			sockets[value] = true
		case "cpu MHz":
			mhz = value
		case "flags", "Features": // x86, arm64
			c.Flags = strings.Fields(value)
		}
	}
	c.SocketCount = max(len(sockets), 1)
	c.Frequency = mhz
	if khz := m.number("sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq"); khz > 0 {
		c.Frequency = strconv.FormatFloat(float64(khz)/1000, 'f', 4, 64)
	}
	return c
}

// architecture is the kernel's name of ours, as uname gives it.
func architecture() string {
	switch runtime.GOARCH {
	case "amd64":
		return "x86_64"
	case "arm64":
		return "aarch64"
	}
	return runtime.GOARCH
}

func (m Machine) memory() agentapi.Memory {
	var mem agentapi.Memory
	for line := range strings.Lines(m.text("proc/meminfo")) {
		if rest, ok := strings.CutPrefix(line, "MemTotal:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			if err == nil {
				mem.Total = kib << 10
			}
		}
	}
	if mib := m.pluggedMemory(); mib > 0 {
		mem.PhysicalMB = &mib
	}
	return mem
}

// Interfaces lists the NICs that are hardware, in the order of their names.
func (m Machine) Interfaces() ([]agentapi.Interface, error) {
	names, err := m.list("sys/class/net")
	if err != nil {
		return nil, fmt.Errorf("list NICs: %w", err)
	}
	nics := []agentapi.Interface{}
	for _, name := range names {
		dir := filepath.Join("sys/class/net", name)
		mac := strings.ToLower(m.text(dir + "/address"))
		if _, err := os.Stat(m.path(dir + "/device")); err != nil || mac == "" {
			continue // lo, bridges, bonds: nothing to plug a cable in
		}
		nics = append(nics, m.nic(name, dir, mac))
	}
	return nics, nil
}

func (m Machine) nic(name, dir, mac string) agentapi.Interface {
	n := agentapi.Interface{
		Name:       name,
		MACAddress: mac,
		HasCarrier: m.text(dir+"/carrier") == "1", // of a NIC that is down it cannot be read
		Vendor:     some(m.text(dir + "/device/vendor")),
		Product:    some(m.text(dir + "/device/device")),
	}
	if mbps := m.number(dir + "/speed"); mbps > 0 { // -1 without a link
		speed := int(mbps)
		n.SpeedMbps = &speed
	}
	if driver, err := os.Readlink(m.path(dir + "/device/driver")); err == nil {
		n.Driver = some(filepath.Base(driver))
	}
	if real, err := filepath.EvalSymlinks(m.path(dir + "/device")); err == nil {
		n.PCIAddress = some(pciAddress(real))
	}
	for _, a := range m.addresses(name) {
		text := a.String()
		switch {
		case a.Is4() && n.IPv4Address == nil:
			n.IPv4Address = &text
		case a.Is6() && n.IPv6Address == nil:
			n.IPv6Address = &text
		}
	}
	return n
}

func (m Machine) addresses(name string) []netip.Addr {
	if m.Addresses != nil {
		return m.Addresses(name)
	}
	nic, err := net.InterfaceByName(name)
	if err != nil {
		return nil
	}
	list, err := nic.Addrs()
	if err != nil {
		return nil
	}
	var out []netip.Addr
	for _, a := range list {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			out = append(out, p.Addr().Unmap())
		}
	}
	return out
}

// path places a path of the machine below Root.
func (m Machine) path(p string) string { return filepath.Join(m.Root, p) }

// text reads a small file without its surrounding white space; "" if it cannot be read.
func (m Machine) text(p string) string {
	b, err := os.ReadFile(m.path(p))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(strings.ToValidUTF8(strings.TrimRight(string(b), "\x00"), "?"))
}

// number reads a decimal number; 0 if there is none.
func (m Machine) number(p string) int64 {
	n, err := strconv.ParseInt(m.text(p), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// list names what is in a directory, sorted; a directory that is absent is empty.
func (m Machine) list(p string) ([]string, error) {
	entries, err := os.ReadDir(m.path(p))
	if errors.Is(err, fs.ErrNotExist) {
		// Without a mounted sysfs there is nothing to say; without one class of devices there is.
		if _, err := os.Stat(m.path("sys")); err == nil {
			return nil, nil
		}
	}
	if err != nil {
		return nil, err
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names, nil
}

// some is nil for an empty text.
func some(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
