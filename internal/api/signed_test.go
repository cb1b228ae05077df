package api

import (
	"net/http"
	"strings"
	"testing"

	"ingot/internal/policy"
)

// TestWhoSeesSignatures: who may say what is installed reads the address as it was given, for clients compare it with what they want; a
// reader cannot read the image by it.
func TestWhoSeesSignatures(t *testing.T) {
	m := newMatrixRig(t, policy.BuiltIn())
	const address = "https://images.example.org/i?X-Amz-Signature=5eed"
	m.as("SA", patch, m.url+"/v1/nodes/mine", `[{"op": "add", "path": "/instance_info/image_source", "value": "`+address+`"}]`).want(t, http.StatusOK, address)
	for code, sees := range map[string]bool{"SA": true, "SM": true, "OM": true, "SR": false, "OR": false} {
		a := m.as(code, get, m.url+"/v1/nodes/mine", "")
		a.want(t, http.StatusOK, "X-Amz-Signature=")
		if strings.Contains(string(a.body), "5eed") != sees {
			t.Errorf("%s reads %s", code, a.body)
		}
	}
}
