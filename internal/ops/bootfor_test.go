package ops

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/policy"
	"ingot/internal/secret"
	"ingot/internal/store"
)

// deployable is a node that is available, with what a deployment needs.
func deployable(t *testing.T, s *Service, db *store.DB, name, owner, lessee string) *metal.Node {
	t.Helper()
	n := owned(t, s, name, owner, lessee)
	err := db.Write(t.Context(), func(tx *store.Tx) (err error) {
		if n, err = tx.Node(n.UUID); err != nil {
			return err
		}
		n.ProvisionState = metal.Available
		n.InstanceInfo = secret.NewMap(map[string]any{"image_source": "http://127.0.0.1/i.raw", "image_os_hash_value": strings.Repeat("ab", 32), "image_os_hash_algo": "sha256"})
		return tx.SaveNode(n)
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// lendTo has a node say whose its instance is to be.
func lendTo(t *testing.T, db *store.DB, n *metal.Node, project string) {
	t.Helper()
	err := db.Write(t.Context(), func(tx *store.Tx) error {
		n, err := tx.Node(n.UUID)
		if err != nil {
			return err
		}
		info := n.InstanceInfo.Expose()
		info["project_id"] = project
		n.InstanceInfo = secret.NewMap(info)
		return tx.SaveNode(n)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestBootRolesAreTheCallers: who deploys is noted with roles and project, unless a service speaks for somebody; that is noted
// for all to see.
func TestBootRolesAreTheCallers(t *testing.T) {
	s, db := service(t)
	nova := Caller{Who: "nova", Minor: 115, Rights: policy.For(policy.Caller{SystemScope: "all", ProjectID: "service", Roles: []string{"service"}})}
	odd := Caller{Who: "odd", Minor: 115, Rights: policy.For(policy.Caller{ProjectID: "p1", Roles: []string{"admin", "manager", "member", "mail,admin", "reader"}})}
	operator := Caller{Who: "operator", Minor: 115, Rights: policy.For(policy.Caller{SystemScope: "all", Roles: []string{"member", "reader"}})}
	for i, row := range []struct {
		by            Caller
		owner, lessee string
		instance      string // instance_info.project_id
		given         []string
		roles         []string
		project       string
		kind          fault.Kind // of the refusal; 0: none
	}{
		{by: odd, owner: "p1", roles: []string{"admin", "manager", "member", "reader"}, project: "p1"},
		// An owner may write any lessee. He speaks for none of them: targets trust project and roles together.
		{by: odd, owner: "p1", lessee: "victim", roles: []string{"admin", "manager", "member", "reader"}, project: "p1"},
		{by: odd, owner: "p1", lessee: "p1", roles: []string{"admin", "manager", "member", "reader"}, project: "p1"},
		{by: odd, owner: "p2", lessee: "p1", roles: []string{"admin", "manager", "member", "reader"}, project: "p1"},
		{by: odd, owner: "p1", instance: "victim", roles: []string{"admin", "manager", "member", "reader"}, project: "p1"},
		{by: nova, owner: "p1", lessee: "p2", roles: []string{"service"}, project: "p2"},
		{by: operator, owner: "p1", lessee: "p2", roles: []string{"member", "reader"}, project: "p2"},
		{by: odd, owner: "p1", given: []string{"mail"}, kind: fault.Forbidden},
		{by: odd, owner: "p1", given: []string{}, kind: fault.Forbidden},
		{by: nova, roles: []string{"service"}, project: "service"},
		{by: nova, owner: "p1", given: []string{"member", "mail"}, roles: []string{"member", "mail"}, project: "p1"},
		{by: nova, owner: "p1", given: []string{}, roles: nil, project: "p1"},
		{by: nova, owner: "p1", given: []string{"a,b"}, kind: fault.Invalid},
	} {
		n := deployable(t, s, db, "n"+string(rune('a'+i)), row.owner, row.lessee)
		if row.instance != "" {
			lendTo(t, db, n, row.instance)
		}
		err := s.SetProvision(t.Context(), row.by, n.UUID, Provision{Verb: metal.VerbActive, BootRoles: row.given})
		if row.kind != 0 {
			wantKind(t, err, row.kind)
			continue
		}
		if err != nil {
			t.Fatalf("row %d: %v", i, err)
		}
		ask := askOf(t, db, n)
		if ask.BootFor == nil || !slices.Equal(ask.BootFor.Roles, row.roles) || ask.BootFor.Project != row.project {
			t.Errorf("row %d: %+v", i, ask.BootFor)
		}
		if ask.BootFor.Own == (row.by.Who != "odd") {
			t.Errorf("row %d: it is the caller's own: %v", i, ask.BootFor.Own)
		}
		said := strings.Contains(strings.Join(whys(t, db, n), "\n"), "nova gave ")
		if said != (row.given != nil) {
			t.Errorf("row %d: the history says so: %v", i, said)
		}
	}
}

// TestRebuildKeepsBootRoles: a rebuild takes none, and what it notes is for a node of which nothing is kept.
func TestRebuildKeepsBootRoles(t *testing.T) {
	s, db := service(t)
	n := deployable(t, s, db, "n", "", "")
	put := func(state metal.State) {
		err := db.Write(t.Context(), func(tx *store.Tx) error {
			n, err := tx.Node(n.UUID)
			if err != nil {
				return err
			}
			n.ProvisionState = state
			return tx.SaveNode(n)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	put(metal.Active)
	wantKind(t, s.SetProvision(t.Context(), caller, n.UUID, Provision{Verb: metal.VerbRebuild, BootRoles: []string{"a"}}), fault.Invalid)
	if err := s.SetProvision(t.Context(), systemMember, n.UUID, Provision{Verb: metal.VerbRebuild}); err != nil {
		t.Fatal(err)
	}
	if ask := askOf(t, db, n); ask.BootFor == nil || !slices.Equal(ask.BootFor.Roles, []string{"member", "reader"}) {
		t.Errorf("%+v", ask.BootFor)
	}
}

// TestUndeployEndsServing: when the request is taken nothing is served any more, not when a conductor gets to it.
func TestUndeployEndsServing(t *testing.T) {
	s, db := service(t)
	n := deployable(t, s, db, "n", "", "")
	err := db.Write(t.Context(), func(tx *store.Tx) error {
		n, err := tx.Node(n.UUID)
		if err != nil {
			return err
		}
		n.ProvisionState = metal.Active
		if err := tx.SaveNode(n); err != nil {
			return err
		}
		return tx.SaveInstance(n, &store.Instance{ID: n.UUID, Seed: secret.New("x"), Request: secret.New("y")})
	})
	if err != nil {
		t.Fatal(err)
	}
	left := func() (i *store.Instance, request secret.Secret) {
		err := db.Read(t.Context(), func(tx *store.Tx) (err error) {
			if i, err = tx.Instance(n); err == nil {
				request, err = tx.InstanceRequest(n)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return i, request
	}
	if i, _ := left(); i == nil {
		t.Fatal("there is no instance")
	}
	if err := s.SetProvision(t.Context(), caller, n.UUID, Provision{Verb: metal.VerbDeleted}); err != nil {
		t.Fatal(err)
	}
	if i, request := left(); i != nil || !request.Empty() {
		t.Error("a node that is torn down has an instance")
	}
}

// TestADriveThatIsNotWanted is refused where it is ready; its parts are served.
func TestADriveThatIsNotWanted(t *testing.T) {
	for name, row := range map[string]struct {
		wish, drive any
		says        string
	}{
		"nothing said":         {nil, "aGk=", ""},
		"wanted":               {"true", "aGk=", ""},
		"not wanted":           {"false", "aGk=", "config_drive is false"},
		"not wanted, in parts": {false, map[string]any{"user_data": "x"}, ""},
		"not wanted, none":     {false, nil, ""},
		"neither true nor not": {"perhaps", nil, "must be true or false"},
	} {
		info := map[string]any{"configdrive": row.drive, "config_drive": row.wish}
		err := checkDrive(&metal.Node{InstanceInfo: secret.NewMap(info)})
		if said, _ := fault.PublicOf(err); (err != nil) != (row.says != "") || !strings.Contains(said, row.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// askOf is what a node's live operation is told.
func askOf(t *testing.T, db *store.DB, n *metal.Node) metal.Ask {
	t.Helper()
	var rec struct {
		Ask metal.Ask `json:"ask"`
	}
	err := db.Read(t.Context(), func(tx *store.Tx) error {
		live, err := tx.LiveOperation(n.ID)
		if err != nil || live == nil {
			return errors.Join(err, errors.New("no operation"))
		}
		return json.Unmarshal(live.Record, &rec)
	})
	if err != nil {
		t.Fatal(err)
	}
	return rec.Ask
}

// whys are the sentences of a node's history.
func whys(t *testing.T, db *store.DB, n *metal.Node) (out []string) {
	t.Helper()
	err := db.Read(t.Context(), func(tx *store.Tx) error {
		events, err := tx.Events(n, store.Page{})
		for _, e := range events {
			out = append(out, e.Why)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}
