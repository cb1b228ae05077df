package conductor

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"ingot/internal/metal"
	"ingot/internal/seed"
	"ingot/internal/store"
)

// maxPlaces bounds the addresses that are kept of an instance from one source: its user may write any number.
const maxPlaces = 256

// staticAddresses are those that the instance's network data has it take.
func staticAddresses(s *seed.Seed) []store.InstanceAddress {
	raw, _ := s.File(seed.NetworkData)
	var data struct {
		Links []struct {
			ID      string `json:"id"`
			MAC     string `json:"ethernet_mac_address"`
			VLANMAC string `json:"vlan_mac_address"`
		} `json:"links"`
		Networks []struct {
			Link string `json:"link"`
			At   string `json:"ip_address"`
		} `json:"networks"`
	}
	if json.Unmarshal(raw, &data) != nil {
		return nil
	}
	macs := map[string]string{}
	for _, l := range data.Links {
		macs[l.ID] = cmp.Or(l.MAC, l.VLANMAC)
	}
	var out []store.InstanceAddress
	for _, n := range data.Networks {
		for _, a := range metal.StaticAddresses(map[string]any{"networks": []any{map[string]any{"ip_address": n.At}}}) {
			out = addPlace(out, a, macs[n.Link])
		}
	}
	return out
}

// byClaim divides what an instance's network data have it take: what the node's own network_data say, too, is the operator's word, and
// the rest is its user's. A node that a project owns says what that project likes: it may have enrolled the node itself.
func byClaim(all []store.InstanceAddress, n *metal.Node) (planned, claimed []store.InstanceAddress) {
	operators := metal.StaticAddresses(n.NetworkData)
	for _, a := range all {
		if n.Owner == "" && slices.Contains(operators, a.Address) {
			planned = append(planned, a)
		} else {
			claimed = append(claimed, a)
		}
	}
	return planned, claimed
}

// addPlace adds an address, if somebody could ask from it.
func addPlace(to []store.InstanceAddress, a netip.Addr, mac string) []store.InstanceAddress {
	if a = a.Unmap(); len(to) >= maxPlaces || !possible(a) || slices.ContainsFunc(to, func(o store.InstanceAddress) bool { return o.Address == a }) {
		return to
	}
	return append(to, store.InstanceAddress{Address: a, MAC: strings.ToLower(mac)})
}

// notePlaces keeps, with the step's outcome, the addresses that the network service gives the NICs of a machine that is on its
// user's network; but is a MAC that has just lost its. A service that does not answer leaves the instance unknown at them, which
// is told.
func (r *runner) notePlaces(ctx context.Context, op *Op, but string) error {
	w, err := r.wiring(ctx, op)
	if err != nil {
		return err
	}
	macs := []string{}
	for _, p := range w.Ports {
		macs = append(macs, p.Address)
	}
	for _, g := range w.Groups {
		macs = append(macs, g.Address)
	}
	var all []store.InstanceAddress
	for _, mac := range macs {
		if mac == "" || mac == but {
			continue
		}
		found, err := r.hw.Network.Addresses(ctx, op.Node, mac, metal.TenantNetwork)
		if err != nil {
			r.unheard(err)
			r.event(op, "step", "WARN", fmt.Sprintf("The network service did not say which addresses %s has: the metadata service may not know the instance by them: %s", mac, sentence(err)))
			return nil
		}
		for _, a := range found {
			all = addPlace(all, a, mac)
		}
	}
	op.Also(func(tx *store.Tx, n *metal.Node) error {
		return tx.SaveInstanceAddresses(n.ID, store.FromNetworkService, all)
	})
	return nil
}
