package seed_test

import (
	"encoding/json"
	"strings"
	"testing"

	"ingot/internal/seed"
)

// TestRenamed: an instance that was renamed reads its new name everywhere, and everything else as before.
func TestRenamed(t *testing.T) {
	s := whole(t)
	news := s.Renamed("web2.example.org")
	for _, path := range []string{"/latest/meta-data/hostname", "/latest/meta-data/local-hostname", "/latest/meta-data/public-hostname"} {
		was := get(t, s, path)
		if got := get(t, news, path); got != "web2.example.org" || got == was {
			t.Errorf("%s: %q, before %q", path, got, was)
		}
	}
	var before, after map[string]any
	if err := json.Unmarshal([]byte(get(t, s, "/openstack/latest/meta_data.json")), &before); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(get(t, news, "/openstack/latest/meta_data.json")), &after); err != nil {
		t.Fatal(err)
	}
	if after["hostname"] != "web2.example.org" || after["name"] != "web2.example.org" {
		t.Errorf("it reads %v and %v", after["hostname"], after["name"])
	}
	before["hostname"], before["name"] = after["hostname"], after["name"]
	if a, b := asJSON(t, before), asJSON(t, after); a != b {
		t.Errorf("more than the name has changed:\n%s\n%s", a, b)
	}
	for _, path := range []string{"/openstack/latest/user_data", "/openstack/latest/network_data.json", "/latest/meta-data/instance-id"} {
		if get(t, s, path) != get(t, news, path) {
			t.Errorf("%s has changed", path)
		}
	}
	strange, err := seed.FromObject(map[string]any{"meta_data": map[string]any{}}, seed.Input{UUID: "u", Name: "n"})
	if err != nil {
		t.Fatal(err)
	}
	if got := get(t, strange.Renamed("web2"), "/openstack/latest/meta_data.json"); !strings.Contains(got, `"hostname":"web2"`) {
		t.Errorf("without a name it reads %s", got)
	}
	if got := (&seed.Seed{}).Renamed("web2"); len(got.Encode()) == 0 {
		t.Error("a seed of nothing cannot be renamed")
	}
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
