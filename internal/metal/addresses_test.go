package metal_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"ingot/internal/metal"
)

func TestStaticAddresses(t *testing.T) {
	for text, want := range map[string]string{
		`{}`:                   "[]",
		`{"networks": "none"}`: "[]",
		`{"networks": [1, {"id": "n"}, {"ip_address": 7}, {"ip_address": "dhcp"}]}`:                            "[]",
		`{"networks": [{"ip_address": "192.0.2.7"}, {"ip_address": "2001:db8::7/64"}, {"type": "ipv4_dhcp"}]}`: "[192.0.2.7 2001:db8::7]",
	} {
		var data map[string]any
		if err := json.Unmarshal([]byte(text), &data); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(metal.StaticAddresses(data)); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}
