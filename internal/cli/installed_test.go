package cli

import (
	"strings"
	"testing"

	"ingot/internal/client"
	"ingot/internal/metal"
)

// TestOSUnsetOfAnUnknownName: a mistyped name would leave in use what is not wanted any more. Where the server does not show how a node
// was installed, it is asked.
func TestOSUnsetOfAnUnknownName(t *testing.T) {
	node := func(info map[string]any) *client.Node {
		return &client.Node{All: client.Object{"driver_internal_info": info}}
	}
	with := node(map[string]any{metal.OSInstalledKey: map[string]any{"mode": "install", "parameters": map[string]any{"mirror": "m"}, "private": []any{"token"}, "needed_again": []any{"root"}}})
	for _, c := range []struct {
		node  *client.Node
		unset string
		says  string // "": nothing
	}{
		{with, "mirror", ""},
		{with, "token", ""},
		{with, "root", ""},
		{with, "mirrors", "had none of that name; it had mirror, root, token"},
		{node(map[string]any{metal.OSInstalledKey: map[string]any{"mode": "install"}}), "mirror", "it had none"},
		{node(map[string]any{"content": "** Redacted **"}), "mirror", ""},
	} {
		err := notInstalledWith(c.node, &client.OSInstall{Unset: []string{c.unset}})
		if (err != nil) != (c.says != "") || (err != nil && !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s: %v, want %q", c.unset, err, c.says)
		}
	}
}
