package seed

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"ingot/internal/fault"
)

var staticNetwork = map[string]any{
	"links":    []any{map[string]any{"id": "eno1", "type": "phy", "ethernet_mac_address": "52:54:00:00:00:01"}},
	"networks": []any{map[string]any{"id": "n0", "network_id": "n0", "link": "eno1", "type": "ipv4", "ip_address": "192.0.2.10", "netmask": "255.255.255.0"}},
	"services": []any{},
}

// TestNetworkDataOf reads the network data of every form of a config drive.
func TestNetworkDataOf(t *testing.T) {
	s, err := FromObject(map[string]any{"network_data": staticNetwork, "user_data": strings.Repeat("x", 100000)}, Input{UUID: "u", Name: "n"})
	if err != nil {
		t.Fatal(err)
	}
	packed, err := s.Drive()
	if err != nil {
		t.Fatal(err)
	}
	iso, err := s.ISO()
	if err != nil {
		t.Fatal(err)
	}
	bare, err := FromObject(map[string]any{"user_data": "x"}, Input{UUID: "u", Name: "n"})
	if err != nil {
		t.Fatal(err)
	}
	none, err := bare.Drive()
	if err != nil {
		t.Fatal(err)
	}
	plain := base64.StdEncoding.EncodeToString(iso)
	for name, row := range map[string]struct {
		drive any
		node  map[string]any
		some  bool
		fails string
	}{
		"no drive":                        {nil, staticNetwork, false, ""},
		"an object":                       {map[string]any{"network_data": staticNetwork}, nil, true, ""},
		"an object, the node's":           {map[string]any{"user_data": "x"}, staticNetwork, true, ""},
		"an object with null":             {map[string]any{"network_data": nil}, staticNetwork, false, ""},
		"an object, no links":             {map[string]any{"network_data": map[string]any{"links": []any{}, "networks": []any{}}}, nil, false, ""},
		"an object, no links, the node's": {map[string]any{"network_data": map[string]any{"links": []any{}, "networks": []any{}}}, staticNetwork, true, ""},
		"an object, other shapes":         {map[string]any{"network_data": "x"}, nil, false, "must be an object"},
		"gzip and base64":                 {packed, nil, true, ""},
		"gzip and base64, broken lines":   {packed[:76] + "\n" + packed[76:], nil, true, ""},
		"base64":                          {plain, nil, true, ""},
		"an ISO without":                  {none, staticNetwork, false, ""},
		"an empty string":                 {"", staticNetwork, false, ""},
		"a URL":                           {"http://192.0.2.1/drive", nil, false, "at a URL"},
		"no base64":                       {"*", nil, false, "not base64"},
		"no image":                        {base64.StdEncoding.EncodeToString([]byte("vfat")), nil, false, "neither an ISO"},
		"half a gzip":                     {packed[:len(packed)/2/4*4], nil, false, "broken gzip"},
		"half an ISO":                     {base64.StdEncoding.EncodeToString(iso[:18*sector]), nil, false, "not a readable ISO"},
		"a number":                        {1.0, nil, false, "neither"},
	} {
		got, err := NetworkDataOf(row.drive, row.node)
		if row.fails != "" {
			if kind := fault.KindOf(err); kind != fault.Invalid && kind != fault.TooLarge || !strings.Contains(err.Error(), row.fails) {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		want, _ := json.Marshal(staticNetwork)
		if err != nil || (got != nil) != row.some || row.some && canonical(t, got) != canonical(t, want) {
			t.Errorf("%s: %s, %v", name, got, err)
		}
	}
}

func canonical(t *testing.T, raw []byte) string {
	t.Helper()
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(v)
}
