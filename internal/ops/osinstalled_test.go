package ops

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"ingot/internal/metal"
	"ingot/internal/osdef"
	"ingot/internal/store"
)

// What is told of an installation has names of parameters that are private or secret, and no values.
func TestREQ07WhatIsShownHasNames(t *testing.T) {
	r := newOSRig(t)
	err := r.db.Write(t.Context(), func(tx *store.Tx) error {
		n, err := tx.Node(r.node.UUID)
		if err != nil {
			return err
		}
		d, err := tx.OSDefinition("confined")
		if err != nil {
			return err
		}
		return tx.SaveOSInstall(n, &store.OSInstall{DefinitionID: d.ID, Variant: "12", Digest: "sha256:00", Mode: osdef.ModeInstall, Safe: true, Package: "https://p/x.tgz?sig=5eed",
			Parameters: osdef.Classes{Public: map[string]string{"mirror": "http://m"}, Private: values("token", "canary-private")}, Secrets: []string{"root-key"}})
	})
	if err != nil {
		t.Fatal(err)
	}
	why, err := r.s.Why(t.Context(), caller, r.node.UUID)
	if err != nil {
		t.Fatal(err)
	}
	o := why.OSInstall
	if o == nil || o.Definition != "confined" || o.Variant != "12" || !o.Changed || !slices.Equal(o.Private, []string{"token"}) || !slices.Equal(o.Again, []string{"root-key"}) || o.Parameters["mirror"] != "http://m" {
		t.Errorf("why tells %+v", o)
	}
	if o.Package != "https://p/x.tgz" { // whoever has the signature may read the package
		t.Errorf("why tells of the package %s", o.Package)
	}
	n, err := r.s.Node(t.Context(), caller, r.node.UUID, "node:get")
	if err != nil {
		t.Fatal(err)
	}
	shown, err := json.Marshal(n.InternalInfo[metal.OSInstalledKey])
	if err != nil || !strings.Contains(string(shown), `"needed_again":["root-key"]`) || strings.Contains(string(shown)+fmt.Sprintf("%+v", o), "canary") {
		t.Errorf("the node has %s, %v", shown, err)
	}
	for definition, want := range map[string]int{"confined": 1, "host": 0, "nothing": 0} {
		if found, err := r.s.Nodes(t.Context(), caller, NodeQuery{OSDefinition: definition}); err != nil || len(found) != want {
			t.Errorf("%d nodes are installed with %s, want %d: %v", len(found), definition, want, err)
		}
	}
}
