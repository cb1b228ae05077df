package network

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// defaultMiimon is how often a bond looks whether its links have a carrier, milliseconds; a kernel's own default is never.
const defaultMiimon = 100

// Bond is several NICs that are one.
type Bond struct {
	Members []string // ids
	Mode    netlink.BondMode
	Miimon  int // milliseconds
	Hash    netlink.BondXmitHashPolicy
}

// VLAN is a tagged part of a link.
type VLAN struct {
	On  string // id
	Tag int
}

type wireBond struct {
	BondLinks []string        `json:"bond_links"`
	Mode      string          `json:"bond_mode"`
	Miimon    json.RawMessage `json:"bond_miimon"`
	Hash      string          `json:"bond_xmit_hash_policy"`
}

type wireVLAN struct {
	Tag     json.RawMessage `json:"vlan_id"`
	On      string          `json:"vlan_link"`
	VLANMAC string          `json:"vlan_mac_address"`
}

func (w wireBond) bond() (*Bond, error) {
	b := &Bond{Members: w.BondLinks, Mode: netlink.BOND_MODE_ACTIVE_BACKUP, Miimon: defaultMiimon, Hash: netlink.BOND_XMIT_HASH_POLICY_LAYER2}
	if len(b.Members) == 0 {
		return nil, errors.New("it is a bond of no links")
	}
	var ok bool
	if w.Mode != "" {
		if b.Mode, ok = netlink.StringToBondModeMap[w.Mode]; !ok || b.Mode == netlink.BOND_MODE_UNKNOWN {
			return nil, fmt.Errorf("there is no bond_mode %q", w.Mode)
		}
	}
	if w.Hash != "" {
		if b.Hash, ok = netlink.StringToBondXmitHashPolicyMap[w.Hash]; !ok {
			return nil, fmt.Errorf("there is no bond_xmit_hash_policy %q", w.Hash)
		}
	}
	if len(w.Miimon) > 0 {
		if b.Miimon, ok = number(w.Miimon); !ok || b.Miimon < 1 || b.Miimon > 60_000 {
			return nil, errors.New("its bond_miimon is not between 1 and 60000")
		}
	}
	return b, nil
}

func (w wireVLAN) vlan() (*VLAN, error) {
	tag, ok := number(w.Tag)
	switch {
	case !ok || tag < 1 || tag > 4094:
		return nil, errors.New("its vlan_id is not between 1 and 4094")
	case w.On == "":
		return nil, errors.New("it has no vlan_link")
	}
	return &VLAN{On: w.On, Tag: tag}, nil
}

// number reads a number that people also write as a text.
func number(raw json.RawMessage) (int, bool) {
	n, err := strconv.Atoi(string(bytes.Trim(raw, `"`)))
	return n, err == nil
}

// arrange puts links behind what they are made of: those that networks are on, and what these need. NICs come in the order
// of the data.
func arrange(order []string, all map[string]*Link, busy map[string]bool) ([]Link, error) {
	wanted, member := map[string]bool{}, map[string]bool{}
	for _, id := range order {
		if busy[id] {
			wanted[id] = true
		}
	}
	for _, id := range order { // VLANs first: they may want a bond
		if v := all[id].VLAN; v != nil && wanted[id] {
			on := all[v.On]
			switch {
			case on == nil:
				return nil, fmt.Errorf("network data: link %q: there is no link %q", id, v.On)
			case on.VLAN != nil:
				return nil, fmt.Errorf("network data: link %q: its vlan_link %q is a VLAN too", id, v.On)
			}
			wanted[v.On] = true
		}
	}
	for _, id := range order {
		if b := all[id].Bond; b != nil && wanted[id] {
			for _, m := range b.Members {
				switch on := all[m]; {
				case on == nil:
					return nil, fmt.Errorf("network data: link %q: there is no link %q", id, m)
				case on.Bond != nil || on.VLAN != nil:
					return nil, fmt.Errorf("network data: link %q: link %q is not a NIC", id, m)
				case member[m]:
					return nil, fmt.Errorf("network data: link %q: link %q is in another bond, or twice in it", id, m)
				}
				wanted[m], member[m], all[m].Member = true, true, true
			}
		}
	}
	var sorted [3][]Link
	for _, id := range order {
		l := all[id]
		if member[id] && busy[id] || member[id] && slices.ContainsFunc(order, func(v string) bool { return wanted[v] && all[v].VLAN != nil && all[v].VLAN.On == id }) {
			return nil, fmt.Errorf("network data: link %q is part of a bond: the network is the bond's", id)
		}
		if !wanted[id] {
			continue
		}
		at := 0
		if l.Bond != nil {
			at = 1
		} else if l.VLAN != nil {
			at = 2
		}
		sorted[at] = append(sorted[at], *l)
	}
	return slices.Concat(sorted[0], sorted[1], sorted[2]), nil
}

// devices are the names of the links that are there, by their ids.
type devices map[string]string

// title is how a message calls a link.
func (l Link) title() string {
	switch {
	case l.Bond != nil:
		return fmt.Sprintf("bond %q", l.ID)
	case l.VLAN != nil:
		return fmt.Sprintf("VLAN %d", l.VLAN.Tag)
	}
	return fmt.Sprintf("NIC %s", l.MAC)
}

// device finds the NIC, or makes the link.
func (l Link) device(ctx context.Context, names devices) (netlink.Link, error) {
	switch {
	case l.Bond != nil:
		return l.makeBond(names)
	case l.VLAN != nil:
		return l.makeVLAN(names)
	}
	return nicByMAC(ctx, l.MAC)
}

// makeBond makes it anew, whatever was there: NICs join a bond that has its mode.
func (l Link) makeBond(names devices) (netlink.Link, error) {
	name := "bond" + strconv.Itoa(len(names))
	if err := remove(name); err != nil {
		return nil, err
	}
	bond := netlink.NewLinkBond(netlink.LinkAttrs{Name: name, HardwareAddr: l.MAC})
	bond.Mode, bond.Miimon = l.Bond.Mode, l.Bond.Miimon
	if l.Bond.Mode == netlink.BOND_MODE_802_3AD || l.Bond.Mode == netlink.BOND_MODE_BALANCE_XOR {
		bond.XmitHashPolicy = l.Bond.Hash
	}
	if err := netlink.LinkAdd(bond); err != nil {
		return nil, lacks(err, "make it", "bonding")
	}
	for _, id := range l.Bond.Members {
		nic, err := netlink.LinkByName(names[id])
		if err != nil {
			return nil, err
		}
		// The kernel lets only a NIC that is down join.
		if err := errors.Join(netlink.LinkSetDown(nic), netlink.LinkSetMaster(nic, bond), netlink.LinkSetUp(nic)); err != nil {
			return nil, fmt.Errorf("let %s join: %w", names[id], err)
		}
	}
	return netlink.LinkByName(name)
}

func (l Link) makeVLAN(names devices) (netlink.Link, error) {
	parent, err := netlink.LinkByName(names[l.VLAN.On])
	if err != nil {
		return nil, err
	}
	name := "vlan" + strconv.Itoa(l.VLAN.Tag) + "." + strconv.Itoa(parent.Attrs().Index)
	if err := remove(name); err != nil {
		return nil, err
	}
	vlan := &netlink.Vlan{LinkAttrs: netlink.LinkAttrs{Name: name, ParentIndex: parent.Attrs().Index, HardwareAddr: l.MAC}, VlanId: l.VLAN.Tag}
	if err := netlink.LinkAdd(vlan); err != nil {
		return nil, lacks(err, "make it", "8021q")
	}
	return netlink.LinkByName(name)
}

// lacks says which module is missing, if that is what the kernel means.
func lacks(err error, doing, module string) error {
	if errors.Is(err, unix.EOPNOTSUPP) {
		return fmt.Errorf("%s: this ramdisk's kernel has no module %s", doing, module)
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// remove deletes a link that was made, if it is there.
func remove(name string) error {
	old, err := netlink.LinkByName(name)
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		return nil
	}
	if err != nil {
		return err
	}
	return netlink.LinkDel(old)
}
