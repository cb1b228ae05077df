package ops

import (
	"testing"

	"ingot/internal/metal"
	"ingot/internal/policy"
	"ingot/internal/secret"
)

func TestAutomaticLessee(t *testing.T) {
	byProject := Caller{Rights: policy.BuiltIn().For(policy.Caller{ProjectID: "of-request", Roles: []string{"admin"}})}
	for _, c := range []struct {
		from, lessee, project string
		want                  string
	}{
		{LesseeFromInstance, "", "of-instance", "of-instance"},
		{LesseeFromInstance, "", "", ""},
		{LesseeFromInstance, "before", "of-instance", "before"},
		{LesseeFromRequest, "", "of-instance", "of-request"},
		{LesseeFromNowhere, "", "of-instance", ""},
	} {
		n := &metal.Node{Lessee: c.lessee, InternalInfo: map[string]any{"kept": true}, InstanceInfo: secret.NewMap(map[string]any{"project_id": c.project})}
		rq := &request{Service: &Service{config: Config{LesseeFrom: c.from}}, node: n, by: byProject}
		if err := rq.checkNewDeploy(); err != nil {
			t.Fatal(err)
		}
		marked := n.InternalInfo[metal.AutomaticLessee] == true
		if n.Lessee != c.want || marked != (c.want != "" && c.lessee == "") || n.InternalInfo["kept"] != true {
			t.Errorf("%+v: lessee %q, %v", c, n.Lessee, n.InternalInfo)
		}
	}
}
