package metal_test

import (
	"fmt"
	"strings"
	"testing"

	"ingot/internal/fault"
	"ingot/internal/metal"
)

// wiring is a node's ports and port groups in short: "a" a port, "a+" one that boots from the network, "a@x" one on physical network x, "a/g" one in
// group g, "g:" a group; "=v" after any of them is the VIF it has.
func wiring(text string) (ports []*metal.Port, groups []*metal.Portgroup) {
	for _, word := range strings.Fields(text) {
		name, vif, _ := strings.Cut(word, "=")
		info := map[string]any{"kept": true}
		if vif != "" {
			info["tenant_vif_port_id"] = vif
		}
		if g, ok := strings.CutSuffix(name, ":"); ok {
			groups = append(groups, &metal.Portgroup{UUID: g, InternalInfo: info})
			continue
		}
		name, group, _ := strings.Cut(name, "/")
		name, boots := strings.CutSuffix(name, "+")
		name, physical, _ := strings.Cut(name, "@")
		ports = append(ports, &metal.Port{UUID: name, PortgroupUUID: group, PXEEnabled: boots, PhysicalNetwork: physical, InternalInfo: info})
	}
	return ports, groups
}

func TestAttachVIF(t *testing.T) {
	for _, c := range []struct {
		wiring string
		vif    metal.VIF
		to     string // what gets it; else the kind of the error
	}{
		{"a b", metal.VIF{ID: "v"}, "a"},
		{"a b+", metal.VIF{ID: "v"}, "b"},
		{"a+ b+", metal.VIF{ID: "v"}, "a"},
		{"a=w b", metal.VIF{ID: "v"}, "b"},
		{"a=w b=v", metal.VIF{ID: "v"}, fault.Conflict.String()},
		{"a/g g:=v b", metal.VIF{ID: "v"}, fault.Conflict.String()},
		{"a=w", metal.VIF{ID: "v"}, fault.Invalid.String()},
		{"", metal.VIF{ID: "v"}, fault.Invalid.String()},
		{"a+ b/g g:", metal.VIF{ID: "v"}, "g"},
		{"g:", metal.VIF{ID: "v"}, fault.Invalid.String()},
		{"a/g b/g=w g:", metal.VIF{ID: "v"}, "a"},
		{"a/g g:=w", metal.VIF{ID: "v"}, fault.Invalid.String()},
		{"a+ b c/g g:", metal.VIF{ID: "v", Port: "b"}, "b"},
		{"a b=w", metal.VIF{ID: "v", Port: "b"}, fault.Invalid.String()},
		{"a b/g g: c/h h:", metal.VIF{ID: "v", Portgroup: "h"}, "h"},
		{"a", metal.VIF{ID: "v", Portgroup: "h"}, fault.Invalid.String()},
		{"a@x b@y", metal.VIF{ID: "v", Physical: []string{"y"}}, "b"},
		{"a+ b@y", metal.VIF{ID: "v", Physical: []string{"y"}}, "b"},
		{"a@x b", metal.VIF{ID: "v", Physical: []string{"y"}}, "b"},
		{"a@x b@x/g g:", metal.VIF{ID: "v", Physical: []string{"y"}}, fault.Invalid.String()},
	} {
		ports, groups := wiring(c.wiring)
		p, g, err := metal.AttachVIF(c.vif, ports, groups)
		got := fault.KindOf(err).String()
		var info map[string]any
		switch {
		case p != nil:
			got, info = p.UUID, p.InternalInfo
		case g != nil:
			got, info = g.UUID, g.InternalInfo
		}
		if got != c.to || err == nil && (metal.VIFOf(info, nil) != c.vif.ID || info["kept"] != true) {
			t.Errorf("%q %+v: %s %v %v; want %s", c.wiring, c.vif, got, info, err, c.to)
		}
	}
}

func TestDetachVIF(t *testing.T) {
	n := &metal.Node{UUID: "n"}
	ports, groups := wiring("a=v b=w c/g g:=x")
	if got := fmt.Sprint(metal.VIFs(ports, groups)); got != "[v w x]" {
		t.Errorf("VIFs %s", got)
	}
	p, _, err := metal.DetachVIF(n, "w", ports, groups)
	if err != nil || p.UUID != "b" || len(p.InternalInfo) != 1 {
		t.Errorf("from a port: %+v, %v", p, err)
	}
	if _, g, err := metal.DetachVIF(n, "x", ports, groups); err != nil || g.UUID != "g" {
		t.Errorf("from a group: %+v, %v", g, err)
	}
	ports[0].Extra = map[string]any{"vif_port_id": "old", "rack": 1}
	ports[0].InternalInfo = nil
	if p, _, err := metal.DetachVIF(n, "old", ports, groups); err != nil || len(p.Extra) != 1 {
		t.Errorf("from extra: %+v, %v", p, err)
	}
	if _, _, err := metal.DetachVIF(n, "w", ports, groups); fault.KindOf(err) != fault.Invalid {
		t.Errorf("twice: %v", err)
	}
}
