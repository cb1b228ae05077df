package ops

import (
	"log/slog"
	"testing"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/policy"
)

// TestDomainsOwnNothing: where scopes are not enforced, a token of a domain still makes nothing that would be anybody's.
func TestDomainsOwnNothing(t *testing.T) {
	config := policy.Defaults()
	config.EnforceScope = false
	rules, err := policy.New(config)
	if err != nil {
		t.Fatal(err)
	}
	all := []string{"admin", "manager", "member", "reader"}
	s := New(nil, Defaults(), slog.New(slog.DiscardHandler))
	in := func(who policy.Caller) Caller { who.Roles = all; return Caller{Rights: rules.For(who), Minor: 115} }
	domain := in(policy.Caller{UserID: "u", DomainID: "d"})
	for what, err := range map[string]error{
		"a node": s.mayCreate(domain, &metal.Node{Owner: "victim"}), "an allocation": domain.ownAllocation(&metal.Allocation{Owner: "victim"}),
		"an allocation of nobody's": domain.ownAllocation(&metal.Allocation{}),
	} {
		if fault.KindOf(err) != fault.Forbidden {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := s.CreateRunbook(t.Context(), domain, &metal.Runbook{Name: "CUSTOM_R", Public: true}); fault.KindOf(err) != fault.Forbidden {
		t.Errorf("a runbook: %v", err)
	}
	for name, who := range map[string]policy.Caller{"system": {SystemScope: "all"}, "project": {ProjectID: "p"}} {
		n, a := &metal.Node{}, &metal.Allocation{}
		if err := s.mayCreate(in(who), n); err != nil || n.Owner != who.ProjectID {
			t.Errorf("%s: %v, owner %q", name, err, n.Owner)
		}
		if err := in(who).ownAllocation(a); err != nil || a.Owner != who.ProjectID {
			t.Errorf("%s: %v, owner %q", name, err, a.Owner)
		}
	}
}
