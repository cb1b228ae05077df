package ops

import (
	"testing"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/policy"
)

// TestReasonsGoWithWhatTheyAreOf takes protection and retirement back, with no word on the reasons.
func TestReasonsGoWithWhatTheyAreOf(t *testing.T) {
	s, db := service(t)
	n := enrolled(t, s, "redfish")
	force(t, db, n.UUID, metal.Active)
	update := func(change func(*metal.Node)) (*metal.Node, error) {
		return s.UpdateNode(t.Context(), caller, n.UUID, []policy.Rule{"node:update"}, false, func(n *metal.Node) error {
			change(n)
			return nil
		})
	}
	if _, err := update(func(n *metal.Node) {
		n.Protected, n.ProtectedReason, n.Retired, n.RetiredReason = true, "mine", true, "old"
	}); err != nil {
		t.Fatal(err)
	}
	got, err := update(func(n *metal.Node) { n.Protected, n.Retired = false, false })
	if err != nil {
		t.Fatal(err)
	}
	if got.ProtectedReason != "" || got.RetiredReason != "" {
		t.Errorf("reasons %q and %q stay", got.ProtectedReason, got.RetiredReason)
	}
	_, err = update(func(n *metal.Node) { n.RetiredReason = "again" })
	wantKind(t, err, fault.Invalid)
}
