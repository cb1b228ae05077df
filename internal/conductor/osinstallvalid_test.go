package conductor

import (
	"strings"
	"testing"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/osdef"
	"ingot/internal/secret"
	"ingot/internal/store"
)

// A ramdisk that is missing, or an ISO of the node's own in its place, is known without asking the machine: validation says it of nodes that
// are to boot it, and of no others.
func TestValidationOfInstallations(t *testing.T) {
	const build = "run ingot ramdisk build --kind debian"
	missing := func(w *world) { w.unready = fault.New(fault.Unavailable, build) }
	own := func(w *world) {
		w.node.DriverInfo = w.node.DriverInfo.With("deploy_iso", "https://images.example/own.iso")
	}
	for name, row := range map[string]struct {
		spoil func(*world)
		kept  bool // the node is installed with a definition
		image bool
		says  string // "": nothing
	}{
		"all is there":                       {func(*world) {}, true, true, ""},
		"a rebuild, and no ramdisk":          {missing, true, true, build},
		"a rebuild without image":            {missing, true, false, build},
		"an ISO of its own":                  {own, true, true, "remove deploy_iso, or use the deploy interface direct"},
		"no image, so that it is to install": {missing, false, false, build},
		"an image is deployed as ever":       {missing, false, true, ""},
		"an ISO of its own, for an image":    {own, false, true, ""},
	} {
		w := newWorld(t)
		w.node.Interfaces["deploy"] = metal.DeployOS
		row.spoil(w)
		if !row.image {
			w.node.InstanceInfo = secret.NewMap(map[string]any{})
		}
		if row.kept {
			w.write(func(tx *store.Tx) error {
				if err := w.define(tx, "create"); err != nil {
					return err
				}
				return tx.SaveOSInstall(w.node, &store.OSInstall{DefinitionID: w.os.definition.ID, Variant: "12", Digest: w.os.definition.Digest, Mode: osdef.ModeInstall, Safe: true})
			})
		}
		if v := w.validatedKind("deploy"); v.Result == nil || *v.Result != (row.says == "") || !strings.Contains(v.Reason, row.says) {
			t.Errorf("%s: %v %q, want %q", name, v.Result != nil && *v.Result, v.Reason, row.says)
		}
		w.close()
	}
}
