package store

import (
	"bytes"
	"testing"

	"ingot/internal/fault"
	"ingot/internal/metal"
)

func TestRules(t *testing.T) { each(t, testRules) }

func testRules(t *testing.T, open opener) {
	db := open(t)
	r := &metal.InspectionRule{UUID: id(9), Description: "Dell", Priority: 3, Phase: metal.PhaseMain,
		Conditions: []metal.RuleOp{{Op: "!eq", Args: map[string]any{"values": []any{"a", "b"}}, Multiple: "all", Loop: []any{"x"}}},
		Actions:    []metal.RuleOp{{Op: "set-attribute", Args: map[string]any{"path": "/driver_info/redfish_password", "value": "canary-of-a-rule"}}}}
	write(t, db, func(tx *Tx) error { return tx.CreateRule(r) })
	same(t, read(t, db, func(tx *Tx) (*metal.InspectionRule, error) { return tx.Rule(r.UUID) }), r)
	sealed := read(t, db, func(tx *Tx) (b []byte, err error) {
		err = tx.row("SELECT body FROM inspection_rules").Scan(&b)
		return b, err
	})
	if bytes.Contains(sealed, []byte("canary")) {
		t.Error("the rule lies in the database unsealed")
	}
	r.Priority, r.Sensitive = 4, true
	write(t, db, func(tx *Tx) error { return tx.SaveRule(r) })
	write(t, db, func(tx *Tx) error {
		return tx.CreateRule(&metal.InspectionRule{UUID: id(8), Phase: metal.PhaseMain, Priority: 1})
	})
	page := read(t, db, func(tx *Tx) ([]*metal.InspectionRule, error) {
		return tx.Rules(Page{Limit: 1, SortKey: "priority", SortDir: "desc"})
	})
	if len(page) != 1 || page[0].UUID != r.UUID {
		t.Errorf("by priority: %v", page)
	}
	if all := read(t, db, (*Tx).AllRules); len(all) != 2 || all[0].UUID != r.UUID {
		t.Errorf("all: %v", all)
	}
	write(t, db, func(tx *Tx) error { return tx.DeleteRule(r.ID) })
	err := db.Read(t.Context(), func(tx *Tx) error {
		_, err := tx.Rule(r.UUID)
		return err
	})
	if fault.KindOf(err) != fault.NotFound {
		t.Errorf("after the deletion: %v", err)
	}
}
