package conductor

import (
	"encoding/json"
	"log/slog"
	"strings"
	"testing"

	"ingot/internal/agentapi"
	"ingot/internal/metal"
	"ingot/internal/secret"
)

// TestPartitionImage: what the agent is told of one, and what is refused before the machine is touched.
func TestPartitionImage(t *testing.T) {
	w := newWorld(t)
	r := &runner{c: w.conductor("c1", nil), log: slog.New(slog.DiscardHandler)}
	for _, c := range []struct {
		name    string
		info    map[string]any
		node    func(*metal.Node)
		refused string // "": accepted
	}{
		{"good", nil, nil, ""},
		{"no root_gb", map[string]any{"root_gb": nil}, nil, "root_gb"},
		{"ephemeral", map[string]any{"ephemeral_gb": "1"}, nil, "Ephemeral"},
		{"msdos", map[string]any{"capabilities": map[string]any{"disk_label": "msdos"}}, nil, "GPT only"},
		{"gpt", map[string]any{"capabilities": map[string]any{"disk_label": "gpt"}}, nil, ""},
		{"bios", nil, func(n *metal.Node) { n.BootMode = metal.BIOS }, "BIOS"},
		{"upstream's agent", nil, func(n *metal.Node) {
			n.DriverInfo = secret.NewMap(map[string]any{"deploy_iso": "http://192.0.2.1/ipa.iso"})
		}, "deploy_iso"},
	} {
		node := *w.node
		info := map[string]any{"image_type": "partition", "root_gb": "3", "swap_mb": 512, "image_source": "http://127.0.0.1:1/root.raw",
			"image_os_hash_algo": "sha256", "image_os_hash_value": strings.Repeat("ab", 32)}
		for k, v := range c.info {
			if info[k] = v; v == nil {
				delete(info, k)
			}
		}
		node.InstanceInfo, node.BootMode = secret.NewMap(info), ""
		if c.node != nil {
			c.node(&node)
		}
		op := &Op{row: liveRow(), Node: &node}
		_, err := r.checkImage(t.Context(), op)
		if (err == nil) != (c.refused == "") || err != nil && !strings.Contains(err.Error(), c.refused) {
			t.Errorf("%s: %v, want %q", c.name, err, c.refused)
		}
		if err != nil {
			continue
		}
		text, err := json.Marshal(op.Rec.Image)
		if err != nil {
			t.Fatal(err)
		}
		var back agentapi.ImageInfo
		want := agentapi.Partitions{RootGB: 3, RootMB: 3072, SwapMB: 512, BootMode: "uefi", BootOption: "local", DiskLabel: "gpt"}
		if err := json.Unmarshal(text, &back); err != nil || back.ImageType != "partition" || back.Partitions == nil || *back.Partitions != want {
			t.Errorf("%s: the agent is told %s, %v", c.name, text, err)
		}
		for _, key := range []string{`"root_mb":3072`, `"swap_mb":512`, `"ephemeral_mb":0`, `"preserve_ephemeral":false`, `"ephemeral_format":""`} {
			if !strings.Contains(string(text), key) {
				t.Errorf("%s: %s is not in %s", c.name, key, text)
			}
		}
	}
}
