package store

import (
	"bytes"
	"slices"
	"testing"

	"ingot/internal/fault"
	"ingot/internal/metal"
)

func TestTemplatesAndTraits(t *testing.T) { each(t, testTemplatesAndTraits) }

func testTemplatesAndTraits(t *testing.T, open opener) {
	db := open(t)
	n := addNode(t, db, 1)
	d := &metal.DeployTemplate{UUID: id(9), Name: "CUSTOM_RAID", Extra: map[string]any{"a": "b"},
		Steps: []metal.Step{{Interface: "raid", Step: "apply_configuration", Priority: 95, Args: map[string]any{"password": "canary-of-a-template"}}}}
	write(t, db, func(tx *Tx) error { return tx.CreateTemplate(d) })
	for _, ident := range []string{d.UUID, d.Name} {
		same(t, read(t, db, func(tx *Tx) (*metal.DeployTemplate, error) { return tx.Template(ident) }), d)
	}
	sealed := read(t, db, func(tx *Tx) (b []byte, err error) {
		err = tx.row("SELECT steps FROM deploy_templates").Scan(&b)
		return b, err
	})
	if bytes.Contains(sealed, []byte("canary")) {
		t.Error("the steps lie in the database unsealed")
	}
	if err := db.Write(t.Context(), func(tx *Tx) error { return tx.CreateTemplate(&metal.DeployTemplate{UUID: id(8), Name: d.Name}) }); fault.KindOf(err) != fault.Conflict {
		t.Errorf("a second of the name: %v", err)
	}
	d.Name = "CUSTOM_OTHER"
	write(t, db, func(tx *Tx) error { return tx.SaveTemplate(d) })
	named := read(t, db, func(tx *Tx) ([]*metal.DeployTemplate, error) {
		return tx.TemplatesNamed([]string{"CUSTOM_RAID", "CUSTOM_OTHER"})
	})
	if len(named) != 1 || named[0].Name != "CUSTOM_OTHER" {
		t.Errorf("named: %v", named)
	}
	write(t, db, func(tx *Tx) error { return tx.DeleteTemplate(d.ID) })
	if all := read(t, db, func(tx *Tx) ([]*metal.DeployTemplate, error) { return tx.Templates(Page{Limit: 10}) }); len(all) != 0 {
		t.Errorf("after the deletion: %v", all)
	}

	write(t, db, func(tx *Tx) error { return tx.SetTraits(n.ID, []string{"HW_B", "CUSTOM_A"}) })
	got := read(t, db, func(tx *Tx) (map[int64][]string, error) { return tx.Traits(n.ID, n.ID+1) })
	if !slices.Equal(got[n.ID], []string{"CUSTOM_A", "HW_B"}) || len(got) != 1 {
		t.Errorf("traits %v", got)
	}
	write(t, db, func(tx *Tx) error { return tx.DeleteNode(n.ID) })
	if got := read(t, db, func(tx *Tx) (map[int64][]string, error) { return tx.Traits(n.ID) }); len(got) != 0 {
		t.Errorf("traits of a deleted node: %v", got)
	}
}
