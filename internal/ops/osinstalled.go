package ops

import (
	"encoding/json"
	"maps"
	"slices"

	"ingot/internal/metal"
	"ingot/internal/store"
)

// osInstalled is how a node's system was installed, as it is shown; nil: by no OS definition, package or mode of its own.
func osInstalled(tx *store.Tx, n *metal.Node) (*metal.OSInstalled, error) {
	kept, err := tx.OSInstall(n)
	if kept == nil || err != nil {
		return nil, err
	}
	out := &metal.OSInstalled{Variant: kept.Variant, Digest: kept.Digest, Mode: kept.Mode, Safe: kept.Safe, Package: kept.Package,
		Parameters: kept.Parameters.Public, Private: slices.Sorted(maps.Keys(kept.Parameters.Private)), Again: kept.Secrets, At: kept.UpdatedAt}
	if kept.DefinitionID == 0 {
		return out, nil
	}
	d, err := tx.OSDefinitionByID(kept.DefinitionID)
	if err != nil {
		return nil, err
	}
	out.Definition, out.Changed = d.Name, d.Digest != kept.Digest
	return out, nil
}

// installed adds to a node, as it is shown by itself, how its system was installed.
func installed(tx *store.Tx, n *metal.Node) error {
	how, err := osInstalled(tx, n)
	if how == nil || err != nil {
		return err
	}
	text, err := json.Marshal(how)
	if err != nil {
		return err
	}
	var shown map[string]any // as what is beside it: who masks it knows maps
	if err := json.Unmarshal(text, &shown); err != nil {
		return err
	}
	n.InternalInfo = maps.Clone(n.InternalInfo)
	if n.InternalInfo == nil {
		n.InternalInfo = map[string]any{}
	}
	n.InternalInfo[metal.OSInstalledKey] = shown
	return nil
}
