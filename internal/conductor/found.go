package conductor

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/google/uuid"

	"ingot/internal/agentapi"
	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/store"
)

// found is what an inventory means for a node: Ironic's default hooks (validate-interfaces, ports,
// architecture), and the properties that schedulers choose by.
type found struct {
	all        []nic // that can be a port
	chosen     []nic // that shall be one
	bootMAC    string
	properties map[string]any
	bootMode   string
	secureBoot *bool
}

// maxNICs is how many NICs of a machine count: a stranger's report must not fill the table of ports.
const maxNICs = 256

type nic struct{ name, mac, clientID string }

// judge says what an inventory means. Nothing that can be a port, or no architecture, is fault.Invalid.
func (c InspectConfig) judge(inv agentapi.Inventory, n *metal.Node) (found, error) {
	f := found{properties: map[string]any{}, bootMode: inv.Boot.CurrentBootMode, secureBoot: inv.Boot.SecureBoot}
	if f.bootMode != "uefi" && f.bootMode != "bios" {
		f.bootMode = ""
	}
	if inv.Boot.PXEInterface != nil {
		f.bootMAC, _ = agentapi.MAC(*inv.Boot.PXEInterface)
	}
	var addressed []nic
	for _, i := range inv.Interfaces {
		mac, ok := agentapi.MAC(i.MACAddress)
		has, loop := address(i)
		if len(f.all) == maxNICs || !ok || i.Name == "" || i.Name == "lo" || loop || slices.ContainsFunc(f.all, func(o nic) bool { return o.mac == mac }) {
			continue
		}
		one := nic{name: short(i.Name), mac: mac}
		if i.ClientID != nil {
			one.clientID = short(*i.ClientID)
		}
		f.all = append(f.all, one)
		if has {
			addressed = append(addressed, one)
		}
	}
	if len(f.all) == 0 && len(inv.Interfaces) > 0 {
		return f, fault.New(fault.Invalid, "none of the machine's %d network interfaces has a name and a valid MAC address", len(inv.Interfaces))
	}
	f.chosen = c.choose(f, addressed)
	for key, value := range map[string]any{"cpu_arch": short(inv.CPU.Architecture), "cpus": between(inv.CPU.Count), "memory_mb": memory(inv.Memory),
		"vendor": short(inv.SystemVendor.Manufacturer), "local_gb": disk(inv.Disks, n)} {
		if value != "" && value != 0 {
			f.properties[key] = value
		}
	}
	if f.properties["cpu_arch"] == nil && n.Properties["cpu_arch"] == nil {
		return f, fault.New(fault.Invalid, "the inventory does not tell the processor's architecture, and properties/cpu_arch is not set")
	}
	return f, nil
}

// choose says which NICs become ports.
func (c InspectConfig) choose(f found, addressed []nic) []nic {
	switch c.AddPorts {
	case "disabled":
		return nil
	case "all":
		return f.all
	case "pxe":
		if booted := slices.IndexFunc(f.all, func(o nic) bool { return o.mac == f.bootMAC }); booted >= 0 {
			return f.all[booted : booted+1]
		}
	}
	if len(addressed) == 0 && c.AddPorts == "pxe" { // a BMC tells of no addresses
		return f.all
	}
	return addressed
}

// address tells whether a NIC has an IP address, and whether it is the loopback.
func address(i agentapi.Interface) (has, loop bool) {
	for _, text := range []*string{i.IPv4Address, i.IPv6Address} {
		if text == nil {
			continue
		}
		ip, err := netip.ParseAddr(*text)
		has = has || err == nil && !ip.IsLinkLocalUnicast()
		loop = loop || err == nil && ip.IsLoopback()
	}
	return has, loop
}

// short bounds a machine's text that ends in our records.
func short(s string) string {
	s = oneLine(strings.TrimSpace(s))
	if len(s) > 255 {
		s = strings.ToValidUTF8(s[:255], "")
	}
	return s
}

// between makes 0 of a count that no machine has.
func between(n int) int {
	if n < 0 || n > 1<<30 {
		return 0
	}
	return n
}

// memory is MiB: what is plugged in, else what the kernel sees.
func memory(m agentapi.Memory) int {
	if m.PhysicalMB != nil && *m.PhysicalMB > 0 {
		return between(*m.PhysicalMB)
	}
	return between(int(m.Total >> 20))
}

// disk is the size in GiB of the disk that an image would go to, less the one for partitioning, as Ironic has it.
func disk(disks []agentapi.Disk, n *metal.Node) int {
	root, err := agentapi.RootDisk(store.AgentNode(n), disks)
	if err != nil {
		return 0
	}
	return between(int(root.Size>>30) - 1)
}

// apply writes what was found to the node.
func (f found) apply(n *metal.Node) {
	if n.Properties == nil {
		n.Properties = map[string]any{}
	}
	maps.Copy(n.Properties, f.properties)
	if f.bootMode != "" {
		n.BootMode = f.bootMode
		n.SetCapability("boot_mode", f.bootMode)
	}
	if f.secureBoot != nil {
		n.SecureBoot = f.secureBoot
		n.SetCapability("secure_boot", fmt.Sprint(*f.secureBoot))
	}
}

func (f found) String() string {
	var out []string
	for _, key := range []string{"vendor", "cpu_arch", "cpus", "memory_mb", "local_gb"} {
		if v := f.properties[key]; v != nil {
			out = append(out, fmt.Sprintf("%s %v", key, v))
		}
	}
	return strings.Join(append(out, fmt.Sprintf("%d network interfaces", len(f.all))), ", ")
}

// ports makes, mends and deletes ports of the node. An address that another node owns is left out: the
// operator decides. It tells what it did.
func (c InspectConfig) ports(tx *store.Tx, n *metal.Node, f found) (string, error) {
	have, err := tx.PortsOf(n.ID)
	if err != nil {
		return "", err
	}
	now, err := tx.Now()
	if err != nil {
		return "", err
	}
	var added, taken []string
	for _, i := range f.chosen {
		if slices.ContainsFunc(have, func(p *metal.Port) bool { return p.Address == i.mac }) {
			continue
		}
		if _, err := tx.Port(i.mac); fault.KindOf(err) != fault.NotFound {
			if err != nil {
				return "", err
			}
			taken = append(taken, i.mac)
			continue
		}
		p := &metal.Port{UUID: uuid.NewString(), NodeUUID: n.UUID, Address: i.mac, CreatedAt: now, PXEEnabled: f.bootMAC == "" || f.bootMAC == i.mac, Extra: map[string]any{}}
		if i.clientID != "" {
			p.Extra["client-id"] = i.clientID
		}
		if err := tx.CreatePort(p); err != nil {
			return "", err
		}
		added = append(added, i.mac)
	}
	var gone []string
	for _, p := range have {
		switch boots := p.Address == f.bootMAC; {
		case !c.keeps(p, f):
			if err := tx.DeletePort(p.ID); err != nil {
				return "", err
			}
			gone = append(gone, p.Address)
		case c.UpdatePXEEnabled && f.bootMAC != "" && p.PXEEnabled != boots:
			p.PXEEnabled, p.UpdatedAt = boots, now
			if err := tx.SavePort(p); err != nil {
				return "", err
			}
		}
	}
	told := "ports added: " + listed(added)
	if len(gone) > 0 {
		told += "; deleted: " + listed(gone)
	}
	if len(taken) > 0 {
		told += "; left out, for another node has them: " + listed(taken)
	}
	return told, nil
}

// keeps tells whether a port stays.
func (c InspectConfig) keeps(p *metal.Port, f found) bool {
	among := map[string][]nic{"present": f.all, "added": f.chosen}[c.KeepPorts]
	if c.KeepPorts != "present" && c.KeepPorts != "added" {
		return true
	}
	return slices.ContainsFunc(among, func(i nic) bool { return i.mac == p.Address })
}

func listed(items []string) string {
	if len(items) == 0 {
		return "none"
	}
	return strings.Join(items, ", ")
}
