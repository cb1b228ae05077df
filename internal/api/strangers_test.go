package api

import (
	"net/http"
	"strings"
	"testing"

	"ingot/internal/policy"
)

// TestCleaningStaysOn: every spelling of false that is taken for automated_clean needs the right to switch cleaning off.
func TestCleaningStaysOn(t *testing.T) {
	m := newMatrixRig(t, policy.BuiltIn())
	for _, off := range []string{`false`, `"false"`, `"FALSE"`, `" false"`, `"no\n"`, `"\u00a0off"`, `" 0 "`, `"f"`, `"N"`} {
		for _, code := range []string{"LM", "OM", "OA"} {
			m.as(code, patch, m.url+"/v1/nodes/mine", set("/automated_clean", off)).want(t, http.StatusForbidden, "node:disable_cleaning")
		}
	}
	m.as("LM", patch, m.url+"/v1/nodes/mine", set("/automated_clean", `" yes "`)).want(t, http.StatusOK)
}

// TestStrangersAreNoMarkers: a page cannot begin after what the caller may not see: where it lies in an order tells what is
// in it.
func TestStrangersAreNoMarkers(t *testing.T) {
	m := newMatrixRig(t, policy.BuiltIn())
	for path, name := range map[string]string{"nodes": "others", "ports": "othersport", "portgroups": "othersportgroup", "volume/connectors": "othersconnector",
		"volume/targets": "otherstarget", "allocations": "othersallocation", "runbooks": "othersrunbook"} {
		for _, key := range []string{"", "&sort_key=created_at&sort_dir=desc"} {
			q := m.url + "/v1/" + path + "?marker=" + m.objects[name] + key
			m.as("OR", get, q, "").want(t, http.StatusNotFound, "could not be found")
			m.as("SR", get, q, "").want(t, http.StatusOK)
		}
		own := strings.TrimPrefix(name, "others")
		if own == "" {
			own = "node"
		}
		m.as("OR", get, m.url+"/v1/"+path+"?marker="+m.objects[own], "").want(t, http.StatusOK)
	}
}

// TestStrangersPortgroups: naming a port group of a node that the caller may not see is as naming none.
func TestStrangersPortgroups(t *testing.T) {
	m := newMatrixRig(t, policy.BuiltIn())
	for _, ident := range []string{m.objects["othersportgroup"], "b3f1c7c2-2f6e-4f55-9f3d-0f6f0a0c9b99"} {
		body := m.fill(`{"node_uuid": "<node>", "address": "52:54:00:00:00:99", "portgroup_uuid": "` + ident + `"}`)
		want := "Portgroup " + ident + " could not be found."
		m.as("OA", post, m.url+"/v1/ports", body).want(t, http.StatusBadRequest, want)
		m.as("OA", patch, m.url+"/v1/ports/"+m.objects["port"], set("/portgroup_uuid", `"`+ident+`"`)).want(t, http.StatusBadRequest, want)
	}
}

// TestStrangersNames: a filter by a parent's name does not tell whether a hidden node has it.
func TestStrangersNames(t *testing.T) {
	m := newMatrixRig(t, policy.BuiltIn())
	m.make("parent", "/v1/nodes", `{"name": "hidden-parent", "driver": "fake-hardware", "owner": "p-O"}`)
	m.make("part", "/v1/nodes", `{"name": "part", "driver": "fake-hardware", "owner": "p-O", "lessee": "p-L", "parent_node": "<parent>"}`)
	if a := m.as("LR", get, m.url+"/v1/nodes?parent_node=hidden-parent", "").want(t, http.StatusOK); strings.Contains(string(a.body), m.objects["part"]) {
		t.Errorf("the name of a hidden parent finds its parts: %s", a.body)
	}
	m.as("OR", get, m.url+"/v1/nodes?parent_node=hidden-parent", "").want(t, http.StatusOK, m.objects["part"])
	m.as("LR", get, m.url+"/v1/nodes?parent_node="+m.objects["parent"], "").want(t, http.StatusOK, m.objects["part"])
}
