package ops

import (
	"slices"
	"testing"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/policy"
)

// member is a member of a project, manager its manager, and of the system whoever speaks for it.
func member(project string) Caller {
	return Caller{Who: project, Minor: 115, Rights: policy.For(policy.Caller{ProjectID: project, Roles: []string{"member", "reader"}})}
}

func manager(project string) Caller {
	return Caller{Who: project, Minor: 115, Rights: policy.For(policy.Caller{ProjectID: project, Roles: []string{"manager", "member", "reader"}})}
}

func ofSystem(roles ...string) Caller {
	return Caller{Who: "system", Minor: 115, Rights: policy.For(policy.Caller{SystemScope: "all", Roles: roles})}
}

var systemMember = ofSystem("member", "reader")

func owned(t *testing.T, s *Service, name, owner, lessee string) *metal.Node {
	t.Helper()
	n, err := s.CreateNode(t.Context(), caller, &metal.Node{Name: name, Driver: "fake-hardware", Owner: owner, Lessee: lessee})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestWhoseAllocations: whose an allocation becomes, and who may name which nodes. Source: RBAC reference §6, "Allocations".
func TestWhoseAllocations(t *testing.T) {
	s, _ := service(t)
	owned(t, s, "mine", "p1", "")
	owned(t, s, "lent", "p2", "p1")
	owned(t, s, "theirs", "p2", "")
	for name, c := range map[string]struct {
		by         Caller
		owner      string
		candidates []string
		kind       fault.Kind // of the error; with owner "!" in want
		want       string
	}{
		"a project's is its own":                     {by: member("p1"), want: "p1"},
		"also when it says so":                       {by: member("p1"), owner: "p1", want: "p1"},
		"and nobody else's":                          {by: member("p1"), owner: "p2", kind: fault.Forbidden, want: "!"},
		"the system's is whose it says":              {by: systemMember, owner: "p2", want: "p2"},
		"or nobody's":                                {by: systemMember, want: ""},
		"a reader asks for nothing of its own":       {by: ofSystem("reader"), owner: "p2", want: "p2"}, // api judges allocation:create
		"a project names what it owns and leases":    {by: member("p1"), candidates: []string{"mine", "lent"}, want: "p1"},
		"but not what is another's":                  {by: member("p1"), candidates: []string{"mine", "theirs"}, kind: fault.Invalid, want: "!"},
		"nor what is not there":                      {by: member("p1"), candidates: []string{"nobody"}, kind: fault.Invalid, want: "!"},
		"the system names all":                       {by: systemMember, candidates: []string{"mine", "theirs"}, want: ""},
		"what the owner of a lent node names is its": {by: member("p2"), candidates: []string{"lent", "theirs"}, want: "p2"},
	} {
		a, err := s.CreateAllocation(t.Context(), c.by, &metal.Allocation{ResourceClass: "x", Owner: c.owner, CandidateNodes: slices.Clone(c.candidates)}, "")
		if c.want == "!" {
			if err == nil || fault.KindOf(err) != c.kind {
				t.Errorf("%s: %v, want kind %v", name, err, c.kind)
			}
			continue
		}
		if err != nil || a.Owner != c.want {
			t.Errorf("%s: %+v, %v", name, a, err)
		}
	}
}

// TestWhoSeesAllocations: an allocation of another project is not there; one's own is, for reading and for who may change it.
func TestWhoSeesAllocations(t *testing.T) {
	s, _ := service(t)
	for _, owner := range []string{"p1", "p2", ""} {
		if _, err := s.CreateAllocation(t.Context(), caller, &metal.Allocation{Name: "of-" + owner, ResourceClass: "x", Owner: owner}, ""); err != nil {
			t.Fatal(err)
		}
	}
	reader := Caller{Who: "r", Minor: 115, Rights: policy.For(policy.Caller{ProjectID: "p1", Roles: []string{"reader"}})}
	for _, c := range []struct {
		by   Caller
		sees []string
	}{{member("p1"), []string{"of-p1"}}, {reader, []string{"of-p1"}}, {member("p3"), nil}, {ofSystem("reader"), []string{"of-", "of-p1", "of-p2"}}} {
		found, err := s.Allocations(t.Context(), c.by, AllocationQuery{})
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, a := range found {
			names = append(names, a.Name)
		}
		slices.Sort(names)
		if !slices.Equal(names, c.sees) {
			t.Errorf("%v: sees %v, want %v", c.by.Rights.Who(), names, c.sees)
		}
	}
	_, err := s.Allocation(t.Context(), member("p1"), "of-p2")
	wantKind(t, err, fault.NotFound)
	wantKind(t, s.DeleteAllocation(t.Context(), member("p1"), "of-p2"), fault.NotFound)
	_, err = s.Allocation(t.Context(), reader, "of-p1")
	if err != nil {
		t.Error(err)
	}
	wantKind(t, s.DeleteAllocation(t.Context(), reader, "of-p1"), fault.Forbidden)
	_, err = s.Allocations(t.Context(), member("p1"), AllocationQuery{Owner: "p2"})
	wantKind(t, err, fault.Forbidden)
	if err := s.DeleteAllocation(t.Context(), member("p1"), "of-p1"); err != nil {
		t.Error(err)
	}
}

func book(name, owner string, public bool) *metal.Runbook {
	return &metal.Runbook{Name: name, Owner: owner, Public: public, Steps: []metal.Step{{Interface: "bios", Step: "x", Order: 1}}}
}

// TestWhoseRunbooks: a project's runbook is its own and not public, and only the system gives one away. Source: RBAC reference §6.
func TestWhoseRunbooks(t *testing.T) {
	s, _ := service(t)
	r, err := s.CreateRunbook(t.Context(), manager("p1"), book("own", "", false))
	if err != nil || r.Owner != "p1" {
		t.Fatalf("%+v, %v", r, err)
	}
	_, err = s.CreateRunbook(t.Context(), manager("p1"), book("given", "p2", false))
	wantKind(t, err, fault.Invalid)
	_, err = s.CreateRunbook(t.Context(), manager("p1"), book("open", "", true))
	wantKind(t, err, fault.Invalid)
	for _, b := range []*metal.Runbook{book("open", "", true), book("theirs", "p2", false), book("nobodys", "", false)} {
		if _, err := s.CreateRunbook(t.Context(), systemMember, b); err != nil {
			t.Fatal(err)
		}
	}
	update := func(c Caller, name string, rule policy.Rule, change func(*metal.Runbook)) error {
		_, err := s.UpdateRunbook(t.Context(), c, name, []policy.Rule{rule}, func(r *metal.Runbook) error { change(r); return nil })
		return err
	}
	owner := func(r *metal.Runbook) { r.Owner = "p2" }
	public := func(r *metal.Runbook) { r.Public = true }
	wantKind(t, update(manager("p1"), "own", "runbook:update:owner", owner), fault.Forbidden)
	wantKind(t, update(manager("p1"), "own", "runbook:update:public", public), fault.Forbidden)
	wantKind(t, update(member("p1"), "own", "runbook:update", func(r *metal.Runbook) { r.Description = "x" }), fault.Forbidden)
	wantKind(t, update(manager("p1"), "theirs", "runbook:update", func(r *metal.Runbook) { r.Description = "x" }), fault.Forbidden)
	if err := update(manager("p1"), "own", "runbook:update", func(r *metal.Runbook) { r.Description = "x" }); err != nil {
		t.Error(err)
	}
	wantKind(t, s.DeleteRunbook(t.Context(), manager("p1"), "theirs"), fault.Forbidden)

	list := func(c Caller, mine bool) (names []string) {
		t.Helper()
		found, err := s.Runbooks(t.Context(), c, mine, Page{})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range found {
			names = append(names, r.Name)
		}
		slices.Sort(names)
		return names
	}
	if got := list(member("p1"), false); !slices.Equal(got, []string{"open", "own"}) {
		t.Errorf("a member lists %v", got)
	}
	if got := list(systemMember, false); !slices.Equal(got, []string{"nobodys", "open", "own", "theirs"}) {
		t.Errorf("the system lists %v", got)
	}
	for name, kind := range map[string]fault.Kind{"theirs": fault.Forbidden, "nobodys": fault.Forbidden, "unheard-of": fault.NotFound} {
		_, err := s.Runbook(t.Context(), member("p1"), name)
		wantKind(t, err, kind)
	}
	if _, err := s.Runbook(t.Context(), member("p1"), "open"); err != nil {
		t.Error(err)
	}
	if err := update(systemMember, "own", "runbook:update:public", public); err != nil {
		t.Error(err)
	}
	if r, err := s.Runbook(t.Context(), systemMember, "own"); err != nil || r.Owner != "" || !r.Public {
		t.Errorf("made public: %+v, %v", r, err)
	}
}

// TestWhoUsesRunbooks: a runbook is used by managers of its project; a public one still needs the right.
func TestWhoUsesRunbooks(t *testing.T) {
	s, _ := service(t)
	n := owned(t, s, "mine", "p1", "")
	if err := s.ChangeTraits(t.Context(), caller, n.UUID, "node:traits:set", func([]string) ([]string, error) { return []string{"CUSTOM_A"}, nil }); err != nil {
		t.Fatal(err)
	}
	for _, b := range []*metal.Runbook{book("own", "p1", false), book("open", "", true), book("theirs", "p2", false)} {
		r, err := s.CreateRunbook(t.Context(), systemMember, b)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.ChangeRunbookTraits(t.Context(), systemMember, r.UUID, func([]string) []string { return []string{"CUSTOM_A"} }); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		by   Caller
		name string
		ok   bool
	}{
		{manager("p1"), "own", true}, {member("p1"), "own", false}, {manager("p1"), "theirs", false}, {manager("p1"), "open", false},
		{systemMember, "own", true}, {systemMember, "open", true}, {ofSystem("reader"), "open", false},
	} {
		_, err := s.UseRunbook(t.Context(), c.by, n, c.name)
		if c.ok && err != nil {
			t.Errorf("%v and %s: %v", c.by.Rights.Who(), c.name, err)
		}
		if !c.ok {
			wantKind(t, err, fault.Forbidden)
		}
	}
}
