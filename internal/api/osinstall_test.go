package api

import (
	"crypto/tls"
	"net/http/httptest"
	"strings"
	"testing"

	"ingot/internal/fault"
	"ingot/internal/metal"
)

func TestREQ12WhatIsHiddenIsTakenInTheBodyOnly(t *testing.T) {
	r := newRig(t)
	n := r.do(post, "/v1/nodes", 80, `{"driver": "redfish", "name": "n"}`).json(t)["uuid"].(string)
	r.force(n, func(n *metal.Node) { n.ProvisionState = metal.Available })
	for _, name := range hiddenArgs {
		got := r.do(put, "/v1/nodes/n/states/provision?"+name+"=canary-query", 80, `{"target": "active"}`)
		got.want(t, 400, name+" is taken in the body only")
	}
	if strings.Contains(r.log.String(), "canary-query") {
		t.Errorf("a value is in the log: %s", r.log.String())
	}
}

func TestREQ12WhatIsHiddenIsTakenWhereNobodyReadsItOnTheWay(t *testing.T) {
	for _, row := range []struct {
		what, from, public string
		tls, ok            bool
	}{
		{"plain http from elsewhere", "192.0.2.7:4711", "", false, false},
		{"plain http behind nothing that ends TLS", "192.0.2.7:4711", "http://bare.example.org", false, false},
		{"an address that is none", "canary", "", false, false},
		{"TLS", "192.0.2.7:4711", "", true, true},
		{"what ends TLS in front", "192.0.2.7:4711", "https://bare.example.org", false, true},
		{"this host", "127.0.0.1:4711", "", false, true},
		{"this host by IPv6", "[::1]:4711", "", false, true},
		{"this host by both", "[::ffff:127.0.0.1]:4711", "", false, true},
	} {
		for _, name := range hiddenArgs {
			q := httptest.NewRequest(put, "/v1/nodes/n/states/provision", nil)
			if q.RemoteAddr = row.from; row.tls {
				q.TLS = &tls.ConnectionState{}
			}
			c := &call{api: newAPI(nil, Options{PublicEndpoint: row.public}, nil, false), r: q}
			var v any = "canary"
			if strings.HasPrefix(name, "os_parameters") {
				v = map[string]any{"token": "canary"}
			}
			_, err := c.readOS(map[string]any{name: v})
			text, _ := fault.PublicOf(err)
			if (err == nil) != row.ok || !row.ok && (!strings.Contains(text, name+" came over plain http") || strings.Contains(text, "canary")) {
				t.Errorf("%s, %s: %v", row.what, name, err)
			}
			if _, err := c.readOS(map[string]any{"os_definition": "debian", "os_parameters": map[string]any{"a": "1"}, name: nil}); err != nil {
				t.Errorf("%s: what may be read: %v", row.what, err)
			}
		}
	}
}

func TestOSKeysOfAVerb(t *testing.T) {
	r := newRig(t)
	script := packedOS("x")
	d := r.do(post, "/v1/os_definitions", 80, `{"name": "debian", "bundle": "`+script+`"}`).json(t)
	r.do(put, "/v1/os_definitions/debian/trust", 80, `{"digest": "`+d["digest"].(string)+`"}`).want(t, 200, "")
	n := r.do(post, "/v1/nodes", 80, `{"driver": "redfish", "name": "n"}`).json(t)["uuid"].(string)
	r.force(n, func(n *metal.Node) { n.ProvisionState = metal.Available })
	for _, c := range []struct {
		what, keys string
		status     int
		says       string
	}{
		{"all of it", `"os_definition": "debian+12", "os_parameters": {"mirror": "m"}, "os_parameters_private": {"token": "canary"}, "execution_mode": "install", "safe_install": true, "personalization_url": "https://p/x.tgz"`, 400, "installs no OS definitions"},
		{"values that are no text", `"os_definition": "debian+12", "os_parameters_secret": {"token": 5}`, 400, "the value of token must be a string"},
		{"no object", `"os_parameters_secret": "canary"`, 400, "must be an object"},
		{"a name of a definition", `"os_definition": 5`, 400, "os_definition"},
		{"a definition that is not there", `"os_definition": "suse"`, 404, "suse"},
		{"force or not", `"os_definition": "debian+14", "force_variant": "perhaps"`, 400, "force_variant: it must be true or false"},
		{"force of nothing", `"force_variant": true`, 400, "force_variant goes with os_definition"},
		{"safe or not", `"safe_install": "perhaps"`, 400, "true or false"},
		{"REQ-29", `"execution_mode": "default"`, 400, "run, install and self_install"},
		{"REQ-4", `"os_parameters": {"a-b": "1"}, "os_parameters_secret": {"a_b": "canary"}`, 400, "OSP_A_B"},
		{"REQ-6", `"os_parameters": {"a": "1"}, "os_parameters_secret": {"a": "canary"}`, 400, "a (public, secret)"},
		{"REQ-26: credentials for nothing", `"personalization_user": "u", "personalization_password": "canary"`, 400, "go with personalization_url"},
		{"an import", `"os_definition": "debian+12", "os_import_url": "https://backup.example.org/n1"`, 400, "installs no OS definitions"},
		{"an import by nothing", `"os_import_url": "https://backup.example.org/n1"`, 400, "image_source"},
		{"credentials for no import", `"os_definition": "debian+12", "os_import_user": "u", "os_import_password": "canary"`, 400, "go with os_import_url"},
		{"REQ-26: a password of nobody", `"personalization_url": "https://p/x.tgz", "personalization_password": "canary"`, 400, "personalization_user, which is missing"},
		{"a password of nobody for an import", `"os_import_url": "https://backup.example.org/n1", "os_import_password": "canary"`, 400, "os_import_user, which is missing"},
		{"an import with a user in its URL", `"os_definition": "debian+12", "os_import_url": "https://u:canary@backup.example.org/n1"`, 400, "has a user in it"},
		{"null is nothing", `"os_definition": null, "os_parameters": null`, 400, "image_source"},
		{"REQ-26: no package any more", `"personalization_url": null, "personalization_user": "u", "personalization_password": "canary"`, 400, "go with personalization_url"},
		{"REQ-29: nothing in the mode run", `"execution_mode": "run", "personalization_url": null, "safe_install": true`, 400, "leave away safe_install, personalization_url, or use"},
		{"nothing is nothing", `"os_definition": ""`, 400, "image_source"},
	} {
		got := r.do(put, "/v1/nodes/n/states/provision", 80, `{"target": "active", `+c.keys+`}`)
		if got.StatusCode != c.status || !strings.Contains(string(got.body), c.says) || strings.Contains(string(got.body), "canary") {
			t.Errorf("%s: %d %s", c.what, got.StatusCode, got.body)
		}
	}
	r.do(put, "/v1/nodes/n/states/provision", 80, `{"target": "manage", "os_definition": "debian+12"}`).want(t, 400, "only valid when setting target provision state to active or rebuild")
	if strings.Contains(r.log.String(), "canary") {
		t.Errorf("a value is in the log: %s", r.log.String())
	}
}
