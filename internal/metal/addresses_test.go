package metal_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"ingot/internal/metal"
	"ingot/internal/secret"
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

func TestPollOnly(t *testing.T) {
	for _, c := range []struct {
		value       any
		byDefault   bool
		want, wrong bool
	}{
		{nil, false, false, false}, {nil, true, true, false}, {true, false, true, false}, {false, true, false, false},
		{"True", false, true, false}, {" no ", true, false, false}, {"maybe", true, true, true}, {7.0, false, false, true},
	} {
		n := &metal.Node{DriverInfo: secret.NewMap(map[string]any{metal.PollOnlyKey: c.value})}
		got, err := metal.PollOnly(n, c.byDefault)
		if got != c.want || (err != nil) != c.wrong {
			t.Errorf("driver_info poll_only %v, by default %v: %v, %v", c.value, c.byDefault, got, err)
		}
	}
	if got, err := metal.PollOnly(&metal.Node{}, true); !got || err != nil {
		t.Errorf("a node without driver_info: %v, %v", got, err)
	}
}
