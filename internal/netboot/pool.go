package netboot

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"net/netip"
	"slices"
	"time"

	"ingot/internal/fault"
)

const (
	offerTime   = 2 * time.Minute  // how long an address that was offered waits for the request
	declineTime = 10 * time.Minute // how long an address in use by somebody else is left alone
	maxTries    = 16               // addresses that others took in the meantime
	maxDeclined = 4                // addresses that one node declined and that rest: more is no accident
	maxOfNIC    = 8                // leases of one NIC in a network: firmware, iPXE, ramdisk and system each have a DUID
)

// want is who wants an address, and which.
type want struct {
	known  *Known
	mac    string
	client string     // DHCPv6: DUID and IAID
	addr   netip.Addr // asked for by the machine; invalid: none
	strict bool       // that or none: it was acknowledged once, or offered
	life   time.Duration
}

// lease gives a machine an address: the one reserved for it, the one it has or had, the one it asks for, or a free one.
func (s *Service) lease(ctx context.Context, n *Network, r Range, w want) (Lease, error) {
	now := s.now()
	all, err := s.o.Leases.List(ctx, n.Name)
	if err != nil {
		return Lease{}, fmt.Errorf("read the leases: %w", err)
	}
	if all, err = s.giveUpOwn(ctx, n, r, w, all, now); err != nil {
		return Lease{}, err
	}
	taken, mine := map[netip.Addr]bool{}, netip.Addr{}
	until := now.Add(w.life)
	for _, l := range all {
		switch {
		case !l.Declined && l.MAC == w.mac && l.Client == w.client:
			if r.From.BitLen() == l.Address.BitLen() || r.Empty() {
				mine = l.Address
				if l.Until.After(until) {
					until = l.Until // an offer takes nothing from a lease
				}
			}
		case l.Until.After(now):
			taken[l.Address] = true
		}
	}
	for mac, a := range n.Reservations {
		if mac != w.mac {
			taken[a] = true
		}
	}
	tries := 0
	for _, a := range n.candidates(r, w, mine) {
		if taken[a] || w.strict && a != w.addr {
			continue
		}
		l := Lease{Network: n.Name, Address: a, MAC: w.mac, Client: w.client, Node: w.known.NodeUUID, Until: until}
		err := s.o.Leases.Hold(ctx, l, now)
		if err == nil {
			return l, s.dropOther(ctx, l, mine)
		}
		if fault.KindOf(err) != fault.Conflict {
			return Lease{}, fmt.Errorf("keep the lease: %w", err)
		}
		if tries++; tries >= maxTries {
			break
		}
	}
	if w.strict {
		return Lease{}, silence{reason: "address not its own", detail: w.addr.String()}
	}
	return Lease{}, s.exhausted(ctx, n, w)
}

// giveUpOwn ends leases that the same NIC has under another DUID: of the address that is reserved for it, and the one that
// ends first when there are too many, so that nobody empties a range with the MAC of one machine. It gives what is left.
func (s *Service) giveUpOwn(ctx context.Context, n *Network, r Range, w want, all []Lease, now time.Time) ([]Lease, error) {
	bits := 32
	if r.From.Is6() {
		bits = 128
	}
	reserved := n.reserved(w, bits)
	var own []Lease
	for _, l := range all {
		if !l.Declined && l.MAC == w.mac && l.Client != w.client && l.Until.After(now) && l.Address.BitLen() == bits {
			own = append(own, l)
		}
	}
	slices.SortFunc(own, func(a, b Lease) int { return a.Until.Compare(b.Until) })
	for i, l := range own {
		if l.Address != reserved && i > len(own)-maxOfNIC {
			continue
		}
		if err := s.o.Leases.Drop(ctx, l); err != nil {
			return nil, fmt.Errorf("drop the lease: %w", err)
		}
		all = slices.DeleteFunc(slices.Clone(all), func(o Lease) bool { return o.Address == l.Address })
	}
	return all, nil
}

// dropOther gives back the address that a machine had, now that it has another.
func (s *Service) dropOther(ctx context.Context, l Lease, had netip.Addr) error {
	if !had.IsValid() || had == l.Address {
		return nil
	}
	old := l
	old.Address = had
	return s.o.Leases.Drop(ctx, old)
}

// errExhausted is a range without a free address.
var errExhausted = errors.New("no address is free")

func (s *Service) exhausted(ctx context.Context, n *Network, w want) error {
	s.log.Warn("no address is free", "network", n.Name, "mac", w.mac, "node", w.known.NodeUUID)
	s.o.Boots.Note(ctx, Notice{NodeUUID: w.known.NodeUUID, Kind: NoticeExhausted,
		Text: fmt.Sprintf("The machine asked for an address in the network %s, and its range has none that is free.", n.Name)})
	return errExhausted
}

// reserved is the address of a network that is only for this NIC, of the family that bits tells.
func (n *Network) reserved(w want, bits int) netip.Addr {
	for _, a := range append([]netip.Addr{n.Reservations[w.mac]}, w.known.Reserved...) {
		if a.IsValid() && a.BitLen() == bits && (n.leasable(a) || n.Subnet6.IsValid() && n.Subnet6.Contains(a)) {
			return a
		}
	}
	return netip.Addr{}
}

// candidates are addresses that a machine may get, the best first. Which free one comes first depends on the MAC, so
// that a machine whose lease was forgotten gets the same again if it can.
func (n *Network) candidates(r Range, w want, mine netip.Addr) []netip.Addr {
	bits := 32
	if r.From.Is6() {
		bits = 128
	}
	if a := n.reserved(w, bits); a.IsValid() {
		return []netip.Addr{a}
	}
	if r.Empty() {
		return nil
	}
	var all []netip.Addr
	for a := r.From; ; a = a.Next() {
		if bits == 128 && a != n.Server6 || bits == 32 && n.leasable(a) {
			all = append(all, a)
		}
		if a == r.To {
			break
		}
	}
	if len(all) == 0 {
		return nil
	}
	h := fnv.New32a()
	h.Write([]byte(w.mac + w.client))
	at := int(h.Sum32() % uint32(len(all)))
	out := make([]netip.Addr, 0, len(all)+2)
	for _, a := range []netip.Addr{mine, w.addr} {
		if a.IsValid() && slices.Contains(all, a) {
			out = append(out, a)
		}
	}
	return append(append(out, all[at:]...), all[:at]...)
}
