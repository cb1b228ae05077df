package redfish

import (
	"context"
	"math"
	"net"
	"slices"
	"strings"

	"github.com/stmcginnis/gofish/schemas"

	"ingot/internal/metal"
)

// Inspect reads what the BMC knows of its machine. What it does not say stays zero; a part of it that
// cannot be read is no error, the machine itself is.
func (d *Driver) Inspect(ctx context.Context, n *metal.Node) (metal.HardwareInfo, error) {
	var info metal.HardwareInfo
	err := d.call(ctx, n, "describe the machine", func(c *call) error {
		s, err := c.system()
		if err != nil {
			return err
		}
		l, err := linksOf(s)
		if err != nil {
			return err
		}
		info = metal.HardwareInfo{Manufacturer: clean(s.Manufacturer), Model: clean(s.Model), Serial: clean(s.SerialNumber), UUID: metal.SystemUUID(s.UUID)}
		if gib := s.MemorySummary.TotalSystemMemoryGiB; gib != nil && *gib > 0 && *gib < 1<<20 {
			info.MemoryMiB = int(math.Round(*gib * 1024))
		}
		info.BootMode = modeOf(s.Boot.BootSourceOverrideMode)
		steps := []func() error{
			func() (err error) { info.CPUs, info.CPUArch, err = c.processors(s, l.Processors.URI); return },
			func() (err error) { info.SecureBoot, err = c.secureBoot(l.SecureBoot.URI); return },
			func() (err error) { info.MACs, err = c.macs(l.EthernetInterfaces.URI); return },
		}
		for _, step := range steps {
			if err := step(); err != nil && !partial(err) {
				return err
			}
		}
		return nil
	})
	return info, err
}

// partial tells whether an error concerns one resource and not the BMC as a whole.
func partial(err error) bool { return refused(err) || statusOf(err) == 500 || undecodable(err) }

// clean bounds a text of the BMC's that ends in our records.
func clean(s string) string { return bounded(strings.TrimSpace(s), 255) }

// architectures are Redfish's instruction sets in Ironic's words.
// Source: OpenStack Ironic, ironic/drivers/modules/redfish/inspect.py, CPU_ARCH_MAP.
var architectures = map[schemas.InstructionSet]string{
	"x86-64": "x86_64", "x86": "i686", "ARM-A64": "aarch64", "ARM-A32": "arm",
	"IA-64": "ia64", "MIPS64": "mips64", "MIPS32": "mips",
}

// processors counts the CPUs an operating system would see, and tells their architecture. The summary has
// threads only on newer BMCs: else they are added up, and the last resort is the count of cores or sockets.
func (c *call) processors(s *schemas.ComputerSystem, uri string) (count int, arch string, err error) {
	var members []string
	if uri != "" {
		members, err = c.members(uri, maxMembers)
	}
	threads := 0
	for _, m := range members {
		var p struct {
			ProcessorType  string
			InstructionSet schemas.InstructionSet
			TotalThreads   *float64
		}
		if e := c.read(m, &p); e != nil {
			return summary(s, 0), arch, e
		}
		if p.ProcessorType != "" && p.ProcessorType != "CPU" {
			continue
		}
		if p.TotalThreads != nil {
			threads += whole(*p.TotalThreads)
		}
		if arch == "" {
			arch = architectures[p.InstructionSet]
		}
	}
	return summary(s, threads), arch, err
}

func summary(s *schemas.ComputerSystem, threads int) int {
	p := s.ProcessorSummary
	for _, n := range []*uint{p.LogicalProcessorCount, nil, p.CoreCount, p.Count} {
		if n == nil && threads > 0 {
			return threads
		}
		if n != nil && *n > 0 {
			return whole(float64(*n))
		}
	}
	return 0
}

// whole makes an int of a stranger's number; what no machine has becomes 0.
func whole(f float64) int {
	if f < 0 || f > 1<<20 {
		return 0
	}
	return int(f)
}

// secureBoot tells whether Secure Boot was in force at the last boot, or else whether it is enabled; nil
// when the BMC says neither.
func (c *call) secureBoot(uri string) (*bool, error) {
	if uri == "" {
		return nil, nil
	}
	var s struct {
		SecureBootCurrentBoot string
		SecureBootEnable      *bool
	}
	if err := c.read(uri, &s); err != nil {
		return nil, err
	}
	if s.SecureBootCurrentBoot == "" {
		return s.SecureBootEnable, nil
	}
	on := s.SecureBootCurrentBoot == "Enabled"
	return &on, nil
}

// macs lists the addresses of the machine's NICs in the BMC's order, each once; what is no MAC is skipped.
func (c *call) macs(uri string) ([]string, error) {
	if uri == "" {
		return nil, nil
	}
	members, err := c.members(uri, maxMembers)
	if err != nil {
		return nil, err
	}
	var macs []string
	for _, m := range members {
		var nic struct {
			MACAddress            string
			PermanentMACAddress   string
			EthernetInterfaceType string
		}
		if err := c.read(m, &nic); err != nil {
			if partial(err) {
				continue
			}
			return macs, err
		}
		mac, ok := parseMAC(firstOf(nic.MACAddress, nic.PermanentMACAddress))
		if ok && nic.EthernetInterfaceType != "Virtual" && !slices.Contains(macs, mac) {
			macs = append(macs, mac)
		}
	}
	return macs, nil
}

// parseMAC takes six bytes in any usual writing; a multicast or zero address is no NIC's.
func parseMAC(s string) (string, bool) {
	hw, err := net.ParseMAC(strings.TrimSpace(s))
	if err != nil || len(hw) != 6 || hw[0]&1 == 1 || !slices.ContainsFunc(hw, func(b byte) bool { return b != 0 }) {
		return "", false
	}
	return hw.String(), true
}
