package ops

import (
	"testing"

	"ingot/internal/metal"
	"ingot/internal/store"
)

// TestOtherNICsAreAnotherGeneration: boot hosts keep by which NICs an instance is known, and compare its generation.
func TestOtherNICsAreAnotherGeneration(t *testing.T) {
	s, db := service(t)
	n := enrolled(t, s, "redfish")
	instanceOn(t, db, n)
	generation := func() (g string) {
		t.Helper()
		if err := db.Read(t.Context(), func(tx *store.Tx) error {
			i, err := tx.Instance(n)
			g = i.Generation
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return g
	}
	was := generation()
	step := func(what string, changes bool, err error) {
		t.Helper()
		now := generation()
		if err != nil || (now != was) != changes {
			t.Errorf("%s: another generation: %v, %v", what, now != was, err)
		}
		was = now
	}
	p, err := s.CreatePort(t.Context(), caller, &metal.Port{NodeUUID: n.UUID, Address: "52:54:00:00:00:01"})
	step("a NIC is new", true, err)
	_, err = s.UpdatePort(t.Context(), caller, p.UUID, func(p *metal.Port) error { p.Description = "the first"; return nil })
	step("it is described", false, err)
	_, err = s.UpdatePort(t.Context(), caller, p.UUID, func(p *metal.Port) error { p.Address = "52:54:00:00:00:02"; return nil })
	step("it has another MAC", true, err)
	step("it is gone", true, s.DeletePort(t.Context(), caller, p.UUID))
	g, err := s.CreatePortgroup(t.Context(), caller, &metal.Portgroup{NodeUUID: n.UUID, Address: "52:54:00:00:00:03"})
	step("a bond is new", true, err)
	step("the bond is gone", true, s.DeletePortgroup(t.Context(), caller, g.UUID))
}
