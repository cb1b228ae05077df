package api

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"ingot/internal/metal"
	"ingot/internal/store"
	"ingot/internal/wire"
)

func (r *rig) write(f func(*store.Tx) error) {
	r.t.Helper()
	if err := r.db.Write(r.t.Context(), f); err != nil {
		r.t.Fatal(err)
	}
}

// given does what a conductor does with an allocation.
func (r *rig) given(allocation, node string) {
	r.t.Helper()
	r.write(func(tx *store.Tx) error {
		a, err := tx.Allocation(allocation)
		if err != nil {
			return err
		}
		n, err := tx.Node(node)
		if err != nil {
			return err
		}
		a.State, a.NodeID, n.InstanceUUID = metal.Allocated, n.ID, a.UUID
		return errors.Join(tx.SaveAllocation(a), tx.SaveNode(n))
	})
}

func decodeAllocation(t *testing.T, a reply) (out wire.Allocation) {
	t.Helper()
	if err := json.Unmarshal(a.body, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestCreateAllocation(t *testing.T) {
	r := newRig(t)
	n1 := r.node("web-1")
	r.do(put, "/v1/nodes/web-1/traits", 80, `{"traits": ["CUSTOM_A"]}`).want(t, 204)
	const given = "3fa85f64-5717-4562-b3fc-2c963f66afa6"
	for _, c := range []struct {
		minor  int
		body   string
		status int
		says   string
	}{
		{51, `{"resource_class": "x"}`, 405, "needs API version 1.52"},
		{52, `{}`, 400, "resource_class"},
		{52, `{"resource_class": "x", "bogus": 1}`, 400, "bogus"},
		{52, `{"resource_class": "x", "state": "active"}`, 400, "state"},
		{52, `{"resource_class": "` + strings.Repeat("x", 81) + `"}`, 400, "at most 80"},
		{52, `{"resource_class": "x", "name": "not a name"}`, 400, "not a name"},
		{52, `{"resource_class": "x", "name": "` + given + `"}`, 400, "looks like a UUID"},
		{52, `{"resource_class": "x", "uuid": "nope"}`, 400, "UUID"},
		{52, `{"resource_class": "x", "traits": ["nope"]}`, 400, "trait"},
		{52, `{"resource_class": "x", "traits": [1]}`, 400, "entry 1"},
		{52, `{"resource_class": "x", "traits": "CUSTOM_A"}`, 400, "array"},
		{52, `{"resource_class": "x", "candidate_nodes": ["nobody"]}`, 400, "Node nobody could not be found"},
		{52, `{"resource_class": "x", "candidate_nodes": ["a b"]}`, 400, "candidate_nodes"},
		{57, `{"node": "web-1"}`, 400, "1.58"},
		{58, `{"node": "nobody"}`, 400, "Node nobody could not be found"},
		{58, `{"node": "web-1"}`, 500, "not active"},
		{59, `{"resource_class": "x", "owner": "p1"}`, 406, "1.60"},
		{60, `{"resource_class": "x", "owner": "p1", "name": "a1", "uuid": "` + given + `", "traits": ["CUSTOM_B", "CUSTOM_A"], "candidate_nodes": ["web-1"], "extra": {"k": 1}}`,
			201, `"candidate_nodes":["` + n1 + `"]`},
		{60, `{"resource_class": "x", "name": "a1"}`, 409, "name already exists"},
		{60, `{"resource_class": "x", "uuid": "` + given + `"}`, 409, "UUID already exists"},
	} {
		a := r.do(post, "/v1/allocations", c.minor, c.body).want(t, c.status, c.says)
		if c.status != 201 {
			continue
		}
		got := decodeAllocation(t, a)
		if got.UUID != given || got.State != "allocating" || got.NodeUUID != "" || got.Owner != "p1" || len(got.Traits) != 2 || a.Header.Get("Location") != r.url+"/v1/allocations/"+given {
			t.Errorf("%+v at %s", got, a.Header.Get("Location"))
		}
	}
	r.do(get, "/v1/allocations/a1", 59, nil).want(t, 200, `"state":"allocating"`)
	if a := r.do(get, "/v1/allocations/a1", 59, nil); strings.Contains(string(a.body), "owner") {
		t.Errorf("1.59 has an owner: %s", a.body)
	}
	r.do(get, "/v1/allocations/"+given+"?fields=name,state", 60, nil).want(t, 200, `{"name":"a1","state":"allocating","links"`)
	r.do(get, "/v1/allocations/a1?fields=owner", 59, nil).want(t, 406, "1.60")
	r.do(get, "/v1/allocations/nobody", 60, nil).want(t, 404, "Allocation nobody could not be found")
	r.do(get, "/v1/allocations/a%20b", 60, nil).want(t, 400, "UUID or name")
}

func TestListAllocations(t *testing.T) {
	r := newRig(t)
	r.node("web-1")
	for _, name := range []string{"a1", "a2", "a3"} {
		r.do(post, "/v1/allocations", 60, `{"resource_class": "c-`+name+`", "name": "`+name+`", "owner": "o-`+name+`"}`).want(t, 201)
	}
	r.given("a2", "web-1")
	for _, c := range []struct {
		query  string
		status int
		names  string
		says   string
	}{
		{"", 200, "a1 a2 a3", `"extra":{}`},
		{"?state=active", 200, "a2", ""},
		{"?state=allocating", 200, "a1 a3", ""},
		{"?state=bogus", 400, "", "bogus"},
		{"?resource_class=c-a3", 200, "a3", ""},
		{"?owner=o-a1", 200, "a1", ""},
		{"?node=web-1", 200, "a2", ""},
		{"?node=nobody", 400, "", "could not be found"},
		{"?sort_key=name&sort_dir=desc", 200, "a3 a2 a1", ""},
		{"?sort_key=traits", 400, "", "sort_key"},
		{"?sort_key=candidate_nodes", 400, "", "sort_key"},
		{"?sort_key=extra", 400, "", "sort_key"},
		{"?detail=true", 400, "", "Unexpected arguments: detail"},
		{"?limit=2&resource_class=c-a1&sort_key=name", 200, "a1", ""},
		{"?limit=2", 200, "a1 a2", "limit=2&marker="},
		{"?fields=name", 200, "a1 a2 a3", `[{"name":"a1","links"`},
	} {
		a := r.do(get, "/v1/allocations"+c.query, 60, nil).want(t, c.status, c.says)
		if c.status != 200 {
			continue
		}
		list, err := wire.DecodeList[wire.Allocation](a.body, "allocations")
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, got := range list.Items {
			names = append(names, got.Name)
		}
		if strings.Join(names, " ") != c.names {
			t.Errorf("%s: %v, want %s", c.query, names, c.names)
		}
	}
	r.do(get, "/v1/allocations?owner=x", 59, nil).want(t, 406, "1.60")
	r.do(get, "/v1/allocations", 51, nil).want(t, 404, "1.52")
}

func TestPatchAllocation(t *testing.T) {
	r := newRig(t)
	r.do(post, "/v1/allocations", 60, `{"resource_class": "x", "name": "a1"}`).want(t, 201)
	r.do(patch, "/v1/allocations/a1", 56, `[{"op": "replace", "path": "/name", "value": "b"}]`).want(t, 405)
	r.do(patch, "/v1/allocations/a1", 57, `[{"op": "replace", "path": "/name", "value": "b1"}, {"op": "add", "path": "/extra/k", "value": 1}]`).want(t, 200, `"name":"b1"`, `"k":1`)
	r.do(patch, "/v1/allocations/b1", 57, `[{"op": "replace", "path": "/name", "value": "a b"}]`).want(t, 400, "name")
	for _, path := range []string{"/resource_class", "/state", "/owner", "/uuid", "/traits", "/node_uuid"} {
		r.do(patch, "/v1/allocations/b1", 80, `[{"op": "replace", "path": "`+path+`", "value": "x"}]`).want(t, 400, "Cannot patch "+path)
	}
	r.do(patch, "/v1/allocations/b1", 57, `[{"op": "remove", "path": "/name"}]`).want(t, 200, `"name":null`)
}

func TestDeleteAllocation(t *testing.T) {
	r := newRig(t)
	r.node("web-1")
	allocate := func() {
		t.Helper()
		r.do(post, "/v1/allocations", 60, `{"resource_class": "x", "name": "a1"}`).want(t, 201)
		r.given("a1", "web-1")
	}
	free := func(how string, instance bool) {
		t.Helper()
		r.do(get, "/v1/allocations/a1", 60, nil).want(t, 404)
		a := r.do(get, "/v1/nodes/web-1?fields=instance_uuid,allocation_uuid", 80, nil).want(t, 200, `"allocation_uuid":null`)
		if strings.Contains(string(a.body), `"instance_uuid":null`) == instance {
			t.Errorf("%s: %s", how, a.body)
		}
	}
	allocate()
	a := decodeAllocation(t, r.do(get, "/v1/nodes/web-1/allocation", 52, nil).want(t, 200, `"state":"active"`))
	r.do(get, "/v1/nodes/web-1", 80, nil).want(t, 200, `"allocation_uuid":"`+a.UUID+`"`)
	r.do(get, "/v1/nodes/web-1/allocation", 51, nil).want(t, 404, "1.52")
	r.do(get, "/v1/nodes/nobody/allocation", 80, nil).want(t, 404, "Node nobody")

	r.force("web-1", func(n *metal.Node) { n.ProvisionState = metal.Active })
	r.do(del, "/v1/allocations/a1", 60, nil).want(t, 409, "undeploy")
	r.do(del, "/v1/nodes/web-1/allocation", 60, nil).want(t, 409, "undeploy")
	r.do(patch, "/v1/nodes/web-1", 80, `[{"op": "remove", "path": "/instance_uuid"}]`).want(t, 409, "belongs to allocation")
	r.force("web-1", func(n *metal.Node) { n.ProvisionState, n.TargetProvisionState = metal.Deploying, metal.Active })
	r.do(del, "/v1/allocations/a1", 60, nil).want(t, 409, "deploying")
	r.force("web-1", func(n *metal.Node) { n.ProvisionState, n.Maintenance = metal.Active, true })
	r.do(del, "/v1/allocations/a1", 60, nil).want(t, 204)
	free("an active node in maintenance", false)

	allocate()
	r.do(patch, "/v1/nodes/web-1", 80, `[{"op": "remove", "path": "/instance_uuid"}]`).want(t, 200)
	free("without its instance", false)
	r.force("web-1", func(n *metal.Node) {
		n.ProvisionState, n.TargetProvisionState, n.Maintenance = metal.Available, "", false
	})
	allocate()
	r.do(patch, "/v1/nodes/web-1", 80, `[{"op": "remove", "path": "/instance_uuid"}]`).want(t, 200)
	free("available, without its instance", false)
	allocate()
	r.do(del, "/v1/nodes/web-1/allocation", 60, nil).want(t, 204)
	free("by the node", false)
	r.do(del, "/v1/nodes/web-1/allocation", 60, nil).want(t, 404)
	r.do(post, "/v1/allocations", 60, `{"resource_class": "x", "name": "a1"}`).want(t, 201)
	r.do(del, "/v1/allocations/a1", 51, nil).want(t, 405)
	r.do(del, "/v1/allocations/a1", 52, nil).want(t, 204)

	allocate() // a node goes with its allocation
	r.do(del, "/v1/nodes/web-1", 80, nil).want(t, 409, "associated")
	r.force("web-1", func(n *metal.Node) { n.Maintenance = true })
	r.do(del, "/v1/nodes/web-1", 80, nil).want(t, 204)
	r.do(get, "/v1/allocations/a1", 60, nil).want(t, 404)
}

func TestBackfill(t *testing.T) {
	r := newRig(t)
	r.node("web-1")
	const instance = "3fa85f64-5717-4562-b3fc-2c963f66afa6"
	r.force("web-1", func(n *metal.Node) { n.ProvisionState, n.ResourceClass, n.InstanceUUID = metal.Active, "x", instance })
	r.do(put, "/v1/nodes/web-1/traits", 80, `{"traits": ["CUSTOM_A"]}`).want(t, 204)
	other := r.node("web-2")
	for _, c := range []struct {
		body   string
		status int
		says   string
	}{
		{`{"node": "web-1", "resource_class": "y"}`, 500, "resource class is not y"},
		{`{"node": "web-1", "traits": ["CUSTOM_B"]}`, 500, "CUSTOM_B"},
		{`{"node": "web-1", "candidate_nodes": ["` + other + `"]}`, 500, "candidate"},
		{`{"node": "web-1", "uuid": "` + other + `"}`, 409, "associated with instance " + instance},
		{`{"node": "web-1", "name": "old", "traits": ["CUSTOM_A"]}`, 201, `"state":"active"`},
		{`{"node": "web-1"}`, 409, "already has the allocation " + instance},
	} {
		a := r.do(post, "/v1/allocations", 60, c.body).want(t, c.status, c.says)
		if c.status == 201 {
			if got := decodeAllocation(t, a); got.UUID != instance || got.ResourceClass != "x" {
				t.Errorf("%+v", got)
			}
		}
	}
	r.do(get, "/v1/nodes/web-1", 80, nil).want(t, 200, `"allocation_uuid":"`+instance+`"`, `"traits":["CUSTOM_A"]`)
}

// TestAllocatedOwner: a node that was allocated for a project stays that project's.
func TestAllocatedOwner(t *testing.T) {
	r := newRig(t)
	r.node("web-1")
	r.force("web-1", func(n *metal.Node) { n.ProvisionState, n.Owner = metal.Available, "p1" })
	r.do(post, "/v1/allocations", 60, `{"resource_class": "x", "name": "a1", "owner": "p1"}`).want(t, 201)
	r.given("a1", "web-1")
	r.do(patch, "/v1/nodes/web-1", 80, `[{"op": "replace", "path": "/owner", "value": "p2"}]`).want(t, 409, "allocated")
	r.do(patch, "/v1/nodes/web-1", 80, `[{"op": "replace", "path": "/description", "value": "x"}]`).want(t, 200)
}
