package api

import (
	"strings"
	"testing"

	"ingot/internal/metal"
	"ingot/internal/wire"
)

// TestStatesNewerThanTheClient: in every state that has a first version, an older client may read and may not change.
func TestStatesNewerThanTheClient(t *testing.T) {
	r := newRig(t)
	id := r.node("web-1")
	newer := 0
	for state, info := range metal.States {
		r.force(id, func(n *metal.Node) { n.ProvisionState, n.TargetProvisionState = state, "" })
		change := func(minor int) []reply {
			return []reply{
				r.do(patch, "/v1/nodes/"+id, minor, `[{"op": "add", "path": "/extra/x", "value": 1}]`),
				r.do(del, "/v1/nodes/"+id, minor, nil),
				r.do(put, "/v1/nodes/"+id+"/states/provision", minor, `{"target": "rebuild"}`), // known to every version
			}
		}
		if info.Min == 0 {
			continue
		}
		newer++
		for _, minor := range []int{0, info.Min - 1} {
			for _, a := range change(minor) {
				a.want(t, 409, wire.Version(info.Min), string(state))
			}
			r.do(get, "/v1/nodes/"+id, minor, nil).want(t, 200, string(state))
			r.do(get, "/v1/nodes/"+id+"/states", minor, nil).want(t, 200, string(state))
			r.do(get, "/v1/nodes", minor, nil).want(t, 200, string(state))
		}
		for _, verb := range []string{"unrescue", "unhold", "service"} { // newer themselves: that is the reason then
			if min := metal.Verbs[metal.Verb(verb)].Min; min <= info.Min {
				a := r.do(put, "/v1/nodes/"+id+"/states/provision", min-1, `{"target": "`+verb+`"}`)
				if a.StatusCode == 409 || a.StatusCode == 202 {
					t.Errorf("%s in %s at 1.%d: %d %s", verb, state, min-1, a.StatusCode, a.body)
				}
			}
		}
		r.do(patch, "/v1/nodes/"+id, info.Min, `[{"op": "remove", "path": "/owner"}]`)
		if a := r.do(del, "/v1/nodes/"+id, info.Min, nil); a.StatusCode != 409 || strings.Contains(string(a.body), "API version") {
			t.Errorf("DELETE in %s at 1.%d: %d %s", state, info.Min, a.StatusCode, a.body)
		}
	}
	if newer != 6 {
		t.Errorf("%d states have a first version", newer)
	}
}

// TestOldStatesStayOpen: a request without a version can do what it always could.
func TestOldStatesStayOpen(t *testing.T) {
	r := newRig(t)
	for _, state := range []metal.State{metal.Enroll, metal.Manageable, metal.AdoptFailed} {
		id := r.node("web-1")
		r.force(id, func(n *metal.Node) { n.ProvisionState = state })
		r.do(patch, "/v1/nodes/"+id, 0, `[{"op": "add", "path": "/extra/x", "value": 1}]`).want(t, 200)
		r.do(del, "/v1/nodes/"+id, 0, nil).want(t, 204)
	}
}
