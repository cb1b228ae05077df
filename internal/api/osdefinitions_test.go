package api

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/fstest"

	"ingot/internal/osdef"
)

// bundleThat is a definition that declares two parameters and two variants; says is in its script.
func bundleThat(says string) *osdef.Bundle {
	script := &fstest.MapFile{Data: []byte("#!/bin/sh\n"), Mode: 0o755}
	b, err := osdef.FromFS(fstest.MapFS{
		"ganeti_api_version": {Data: []byte("20\n")}, "parameters.list": {Data: []byte("mirror where packages are\ntoken for the mirror\n")},
		"variants.list": {Data: []byte("12\n13\n")}, "create": {Data: []byte("#!/bin/sh\n# " + says + "\n"), Mode: 0o755},
		"export": script, "import": script, "rename": script, "verify": script,
	}, osdef.Usual, nil)
	if err != nil {
		panic(err)
	}
	return b
}

func packedOS(says string) string { return base64.StdEncoding.EncodeToString(bundleThat(says).Tar()) }

func digestOS(says string) string { return bundleThat(says).Digest() }

func TestOSDefinitions(t *testing.T) {
	r := newRig(t)
	const at = "/v1/os_definitions"
	made := r.do(post, at, 1, `{"name": "debian", "description": "ours", "bundle": "`+packedOS("one")+`", "os_parameters": {"mirror": "http://m"},
		"variant_parameters_private": {"13": {"token": "canary-13"}}}`)
	made.want(t, 201, digestOS("one"))
	if strings.Contains(string(made.body), "canary") {
		t.Errorf("a private value is shown: %s", made.body)
	}
	m := made.json(t)
	for key, want := range map[string]any{"name": "debian", "api_version": 20.0, "trusted": false, "hidden": false, "variants": []any{"12", "13"},
		"variant_parameters_private": map[string]any{"13": map[string]any{"token": "******"}}, "os_parameters": map[string]any{"mirror": "http://m"},
		"parameters": []any{map[string]any{"name": "mirror", "description": "where packages are"}, map[string]any{"name": "token", "description": "for the mirror"}}} {
		if fmt.Sprint(m[key]) != fmt.Sprint(want) {
			t.Errorf("%s is %v, want %v", key, m[key], want)
		}
	}
	r.do(get, at+"/"+m["uuid"].(string), 1, "").want(t, 200, `"debian"`)
	r.do(get, at+"/none", 1, "").want(t, 404, "none")
	if got := r.do(get, at+"/debian/bundle", 1, ""); got.StatusCode != 200 || !bytes.Equal(got.body, bundleThat("one").Tar()) || got.Header.Get("Content-Type") != "application/x-tar" {
		t.Errorf("the files: %d, %d bytes, %s", got.StatusCode, len(got.body), got.Header.Get("Content-Type"))
	}
	r.do(post, at, 1, `{"name": "debian", "bundle": "`+packedOS("two")+`"}`).want(t, 409, "already exists")
	r.do(del, at+"/debian", 1, "").want(t, 204, "")
	r.do(get, at+"/debian", 1, "").want(t, 404, "debian")
}

func TestREQ01DefinitionsAreRefusedWhenTheyAreAdded(t *testing.T) {
	r := newRig(t)
	none, err := osdef.FromFS(fstest.MapFS{"create": {Data: []byte("x"), Mode: 0o755}}, osdef.Usual, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ body, says string }{
		{`{"name": "x", "bundle": "` + base64.StdEncoding.EncodeToString(none.Tar()) + `"}`, "ganeti_api_version"},
		{`{"name": "x", "bundle": "not base64"}`, "base64"},
		{`{"name": "x", "bundle": 5}`, "must be a string"},
		{`{"name": "x"}`, "bundle"},
		{`{"bundle": "` + packedOS("x") + `"}`, "'name'"},
		{`{"name": "../x", "bundle": "` + packedOS("x") + `"}`, "cannot be the name"},
		{`{"name": "a+b", "bundle": "` + packedOS("x") + `"}`, "cannot be the name"},
		{`{"name": "b3f1c7c2-2f6e-4f55-9f3d-0f6f0a0c9b21", "bundle": "` + packedOS("x") + `"}`, "UUID"},
		{`{"name": "x", "trusted": true, "bundle": "` + packedOS("x") + `"}`, "trusted"},
		{`{"name": "x", "bundle": "` + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("x"), 9<<20-1)) + `"}`, ""},
	} {
		got := r.do(post, "/v1/os_definitions", 1, c.body)
		if got.StatusCode != 400 && got.StatusCode != 413 || !strings.Contains(string(got.body), c.says) {
			t.Errorf("%.80s: %d %.300s", c.body, got.StatusCode, got.body)
		}
	}
	if list := r.do(get, "/v1/os_definitions", 1, "").json(t)["os_definitions"].([]any); len(list) != 0 {
		t.Errorf("something was kept: %v", list)
	}
}

func TestREQ13NoSecretDefaultsAndPrivateOnesAreWriteOnly(t *testing.T) {
	r := newRig(t)
	const at = "/v1/os_definitions/x"
	secret := r.do(post, "/v1/os_definitions", 1, `{"name": "x", "bundle": "`+packedOS("x")+`", "os_parameters_secret": {"token": "canary"}}`)
	secret.want(t, 400, "no defaults")
	if strings.Contains(string(secret.body), "canary") {
		t.Errorf("the value is in the answer: %s", secret.body)
	}
	r.do(post, "/v1/os_definitions", 1, `{"name": "x", "bundle": "`+packedOS("x")+`", "os_parameters_private": {"token": "canary"}}`).want(t, 201, `"token":"******"`)
	r.do(patch, at, 1, set("/os_parameters_secret/token", `"canary"`)).want(t, 400, "Cannot patch /os_parameters_secret")
	for what, got := range map[string]reply{"one": r.do(get, at, 1, ""), "the list": r.do(get, "/v1/os_definitions?fields=name,os_parameters_private", 80, ""),
		"all": r.do(get, "/v1/os_definitions?detail=true", 80, ""), "a patch": r.do(patch, at, 1, set("/os_parameters/mirror", `"http://m"`))} {
		if got.StatusCode != http.StatusOK || strings.Contains(string(got.body), "canary") || !strings.Contains(string(got.body), `"token":"******"`) {
			t.Errorf("%s: %d %s", what, got.StatusCode, got.body)
		}
	}
	r.do(patch, at, 1, set("/os_parameters_private", `{"token": "******"}`)).want(t, 200, "") // as it was shown
	r.do(patch, at, 1, set("/os_parameters_private", `{"mirror": "******"}`)).want(t, 400, "mask")
	kept, err := r.s.OSDefinition(t.Context(), "x")
	if err != nil || !kept.Defaults[""].Private["token"].Equal("canary") {
		t.Errorf("a mask changed the value, %v", err)
	}
}

func TestREQ06DefaultsAreJudged(t *testing.T) {
	r := newRig(t)
	const at = "/v1/os_definitions/x"
	r.do(post, "/v1/os_definitions", 1, `{"name": "x", "bundle": "`+packedOS("x")+`", "os_parameters": {"mirror": "m"}}`).want(t, 201, "")
	for _, c := range []struct{ patch, says string }{
		{set("/os_parameters_private/mirror", `"canary"`), "mirror (public, private)"},
		{set("/variant_parameters_private", `{"12": {"mirror": "canary"}}`), "mirror (public, private)"},
		{set("/os_parameters/size", `"canary"`), "no parameters size"},
		{set("/os_parameters/mirror", `5`), "must be a string"},
		{set("/variant_parameters", `{"14": {"mirror": "canary"}}`), "14"},
		{set("/variant_parameters", `{"12": "canary"}`), "object of parameters for each variant"},
		{set("/trusted", `true`), "Cannot patch /trusted"},
		{set("/digest", `"x"`), "Cannot patch /digest"},
	} {
		got := r.do(patch, at, 1, c.patch)
		got.want(t, 400, c.says)
		if strings.Contains(string(got.body), "canary") {
			t.Errorf("a value is in the answer: %s", got.body)
		}
	}
	r.do(patch, at, 1, set("/variant_parameters", `{"12": {"mirror": "n"}, "13": {"mirror": "o"}}`)).want(t, 200, `"mirror":"o"`)
	got := r.do(patch, at, 1, set("/variant_parameters", `{"12": {"mirror": "n"}}`))
	if got.want(t, 200, `"mirror":"n"`); strings.Contains(string(got.body), `"o"`) {
		t.Errorf("a variant that was left out is still there: %s", got.body)
	}
	// Files that no longer declare what has a default are refused as well.
	fewer, err := osdef.FromFS(fstest.MapFS{"ganeti_api_version": {Data: []byte("15")}, "create": {Data: []byte("x"), Mode: 0o755}, "export": {Data: []byte("x"), Mode: 0o755},
		"import": {Data: []byte("x"), Mode: 0o755}, "rename": {Data: []byte("x"), Mode: 0o755}}, osdef.Usual, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.do(put, at+"/bundle", 1, `{"bundle": "`+base64.StdEncoding.EncodeToString(fewer.Tar())+`"}`).want(t, 400, "default parameters")
}

func TestREQ16TrustIsOfADigest(t *testing.T) {
	r := newRig(t)
	const at = "/v1/os_definitions/x"
	r.do(post, "/v1/os_definitions", 1, `{"name": "x", "bundle": "`+packedOS("one")+`"}`).want(t, 201, `"trusted":false`)
	r.do(put, at+"/trust", 1, `{"digest": "`+digestOS("two")+`"}`).want(t, 409, digestOS("one"))
	r.do(put, at+"/trust", 1, `{}`).want(t, 400, "digest")
	r.do(put, at+"/trust", 1, `{"digest": "`+digestOS("one")+`"}`).want(t, 200, `"trusted":true`)
	r.do(put, at+"/trust", 1, `{"digest": "`+digestOS("one")+`"}`).want(t, 200, `"trusted":true`) // no second entry
	r.do(patch, at, 1, set("/description", `"another"`)).want(t, 200, `"trusted":true`)
	r.do(put, at+"/bundle", 1, `{"bundle": "`+packedOS("one")+`"}`).want(t, 200, `"trusted":true`) // the same files
	r.do(put, at+"/bundle", 1, `{"bundle": "`+packedOS("two")+`"}`).want(t, 200, `"trusted":false`)
	r.do(put, at+"/bundle", 1, `{"bundle": "`+packedOS("one")+`"}`).want(t, 200, `"trusted":false`) // the old ones again
	r.do(put, at+"/trust", 1, `{"digest": "`+digestOS("one")+`"}`).want(t, 200, `"trusted":true`)
	r.do(del, at+"/trust", 1, "").want(t, 204, "")
	r.do(del, at+"/trust", 1, "").want(t, 204, "")
	shown := r.do(get, at, 1, "")
	shown.want(t, 200, `"trusted":false`)
	var told []string
	for _, e := range shown.json(t)["trust_history"].([]any) {
		e := e.(map[string]any)
		if e["who"] == "" || e["at"] == nil || e["digest"] != digestOS("one") {
			t.Errorf("an entry says too little: %v", e)
		}
		told = append(told, fmt.Sprint(e["trusted"]))
	}
	if got := strings.Join(told, " "); got != "false true false true" {
		t.Errorf("what became of the trust, newest first: %s", got)
	}
}
