package conductor

import (
	"context"
	"fmt"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/seed"
)

// tellsNoNetwork: a drive, as it was given, leaves it to us to say what the instance's network is. A ready one does not, and null
// means none.
func tellsNoNetwork(given any) bool {
	switch d := given.(type) {
	case nil:
		return true
	case map[string]any:
		_, tells := d["network_data"]
		return !tells
	}
	return false
}

// describeNetwork is network_data of what the network service knows of the VIFs of the node's user; nil: nothing. VIFs that cannot be
// described are told of in the history: the instance asks DHCP then, as any does that is told nothing.
func (r *runner) describeNetwork(ctx context.Context, op *Op) (map[string]any, error) {
	if !op.Rec.Wired {
		return nil, nil
	}
	w, err := r.wiring(ctx, op)
	if err != nil || len(metal.VIFs(w.Ports, w.Groups)) == 0 {
		return nil, err
	}
	vifs, err := r.hw.Network.Describe(ctx, op.Node, w)
	if err == nil && len(vifs) == 0 {
		return nil, nil
	}
	var data map[string]any
	if err == nil {
		data, err = networkOf(w, vifs).Data()
	}
	if kind := fault.KindOf(err); err != nil && kind != fault.Invalid && kind != fault.NotFound {
		return nil, err
	}
	if err != nil {
		r.log.Info("the instance's network is not described", "error", err)
		r.event(op, "step", "WARN", fmt.Sprintf("The instance is told nothing of its network: %s", sentence(err)))
		return nil, nil
	}
	if links, _ := data["links"].([]any); len(links) == 0 {
		return nil, nil
	}
	return data, nil
}

// networkOf is a machine's NICs and bonds, with what is plugged into them.
func networkOf(w metal.Wiring, vifs []seed.VIF) seed.Network {
	out := seed.Network{VIFs: vifs}
	members := map[string][]string{}
	for _, p := range w.Ports {
		out.NICs = append(out.NICs, seed.NIC{ID: p.UUID, MAC: p.Address})
		if p.PortgroupUUID != "" {
			members[p.PortgroupUUID] = append(members[p.PortgroupUUID], p.UUID)
		}
	}
	for _, g := range w.Groups {
		if len(members[g.UUID]) == 0 { // a bond of nothing
			continue
		}
		out.Bonds = append(out.Bonds, seed.Bond{ID: g.UUID, MAC: g.Address, Mode: g.Mode, Properties: g.Properties, Members: members[g.UUID]})
	}
	return out
}
