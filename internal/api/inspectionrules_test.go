package api

import (
	"net/http"
	"strings"
	"testing"

	"ingot/internal/wire"
)

func TestInspectionRules(t *testing.T) {
	r := newRig(t)
	rule := map[string]any{"description": "Dell", "priority": 7,
		"conditions": []any{map[string]any{"op": "contains", "args": map[string]any{"value": "{inventory[system_vendor][manufacturer]}", "regex": "Dell"}}},
		"actions":    []any{map[string]any{"op": "set-attribute", "args": map[string]any{"path": "/driver_info/redfish_username", "value": "root"}, "loop": []any{"a"}}}}
	made := r.do("POST", "/v1/inspection_rules", wire.MaxMinor, rule).want(t, http.StatusCreated)
	uuid, _ := made.json(t)["uuid"].(string)
	path := "/v1/inspection_rules/" + uuid
	if !strings.HasSuffix(made.Header.Get("Location"), path) || made.json(t)["phase"] != "main" || made.json(t)["sensitive"] != false || made.json(t)["priority"] != 7.0 {
		t.Errorf("made: %s", made.body)
	}
	list := r.do("GET", "/v1/inspection_rules", wire.MaxMinor, nil).want(t, http.StatusOK)
	if strings.Contains(string(list.body), "actions") || !strings.Contains(string(list.body), uuid) {
		t.Errorf("the short list: %s", list.body)
	}
	if all := r.do("GET", "/v1/inspection_rules?detail=true&sort_key=priority", wire.MaxMinor, nil).want(t, http.StatusOK); !strings.Contains(string(all.body), "redfish_username") {
		t.Errorf("the long list: %s", all.body)
	}
	r.do("GET", "/v1/inspection_rules?sort_key=actions", wire.MaxMinor, nil).want(t, http.StatusBadRequest)

	patched := r.do("PATCH", path, wire.MaxMinor, []any{
		map[string]any{"op": "replace", "path": "/priority", "value": 9},
		map[string]any{"op": "replace", "path": "/actions/0/args/value", "value": "admin"},
	}).want(t, http.StatusOK)
	if patched.json(t)["priority"] != 9.0 || !strings.Contains(string(patched.body), `"admin"`) {
		t.Errorf("patched: %s", patched.body)
	}
	for _, bad := range []map[string]any{
		{"op": "replace", "path": "/priority", "value": 10000},
		{"op": "replace", "path": "/phase", "value": "early"},
		{"op": "replace", "path": "/actions", "value": []any{}},
		{"op": "replace", "path": "/actions/0/op", "value": "explode"},
		{"op": "remove", "path": "/actions"},
		{"op": "add", "path": "/conditions/-", "value": map[string]any{"op": "eq", "args": map[string]any{"values": "******"}}},
	} {
		r.do("PATCH", path, wire.MaxMinor, []any{bad}).want(t, http.StatusBadRequest)
	}
	if again := r.do("GET", path, wire.MaxMinor, nil); again.json(t)["priority"] != 9.0 {
		t.Errorf("a refused patch changed it: %s", again.body)
	}

	hidden := r.do("PATCH", path, wire.MaxMinor, []any{map[string]any{"op": "replace", "path": "/sensitive", "value": true}}).want(t, http.StatusOK)
	if hidden.json(t)["actions"] != nil || hidden.json(t)["conditions"] != nil {
		t.Errorf("a sensitive rule: %s", hidden.body)
	}
	r.do("PATCH", path, wire.MaxMinor, []any{map[string]any{"op": "replace", "path": "/sensitive", "value": false}}).want(t, http.StatusBadRequest)

	r.do("GET", path, 95, nil).want(t, http.StatusNotFound)
	r.do("POST", "/v1/inspection_rules", 95, rule).want(t, http.StatusMethodNotAllowed)
	r.do("POST", "/v1/inspection_rules", wire.MaxMinor, map[string]any{"uuid": uuid, "actions": rule["actions"]}).want(t, http.StatusConflict)
	r.do("POST", "/v1/inspection_rules", wire.MaxMinor, map[string]any{"actions": rule["actions"], "scope": "a"}).want(t, http.StatusBadRequest)
	r.do("DELETE", path, wire.MaxMinor, nil).want(t, http.StatusNoContent)
	r.do("GET", path, wire.MaxMinor, nil).want(t, http.StatusNotFound)
}
