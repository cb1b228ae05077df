package ops

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"ingot/internal/metal"
	"ingot/internal/store"
)

// namesListed is how many nodes a finding about many names.
const namesListed = 5

// networks tells what is unwise about the networks of nodes; validate says it of one.
func (s *Service) networks(tx *store.Tx) ([]metal.Finding, error) {
	var together, shared []*metal.Node
	for _, name := range []string{"flat", "noop"} {
		list, err := tx.Nodes(store.NodeFilter{Network: name, Somebodys: true, Plain: true}, store.Page{})
		if err != nil {
			return nil, err
		}
		together = append(together, list...)
	}
	for _, name := range slices.Sorted(maps.Keys(s.config.Networks)) {
		list, err := tx.Nodes(store.NodeFilter{Network: name}, store.Page{})
		if err != nil {
			return nil, err
		}
		names := s.config.Networks[name]
		shared = append(shared, slices.DeleteFunc(list, func(n *metal.Node) bool { return metal.Lacks(n.Interface("rescue")) || names.RescueWarning(n) == "" })...)
	}
	isolation := metal.Finding{Check: "tenants", Level: metal.Fine, Said: "No machine that is somebody's is on a network interface that does not separate tenants."}
	if len(together) > 0 {
		isolation.Level, isolation.Said = metal.Warn, fmt.Sprintf("%s owned or leased and on a network interface that does not separate tenants (flat, noop): %s.", many(together), some(together))
		isolation.Do = "Give them the network interface neutron or vswitch, or see that their networks are separated otherwise."
	}
	rescue := metal.Finding{Check: "rescuing networks", Level: metal.Fine, Said: "No rescuing network is a provisioning or cleaning network, too."}
	if len(shared) > 0 {
		rescue.Level, rescue.Said = metal.Warn, fmt.Sprintf("%s rescued on the provisioning or cleaning network: %s.", many(shared), some(shared))
		rescue.Do = "Give rescuing a network of its own (rescuing_network). [conductor] refuse_shared_rescuing_network refuses others."
	}
	return []metal.Finding{isolation, rescue}, nil
}

func many(nodes []*metal.Node) string {
	if len(nodes) == 1 {
		return "1 node is"
	}
	return fmt.Sprintf("%d nodes are", len(nodes))
}

// some names the first of many nodes.
func some(nodes []*metal.Node) string {
	var names []string
	for _, n := range nodes[:min(len(nodes), namesListed)] {
		names = append(names, cmp.Or(n.Name, n.UUID))
	}
	if len(nodes) > namesListed {
		names = append(names, "…")
	}
	return strings.Join(names, ", ")
}
