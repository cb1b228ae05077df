package metal

import (
	"maps"
	"strings"
	"testing"

	"ingot/internal/secret"
)

func TestCapabilities(t *testing.T) {
	for _, row := range []struct {
		in   any
		want map[string]string // nil: refused
	}{
		{nil, map[string]string{}},
		{"", map[string]string{}},
		{"boot_mode:uefi,secure_boot:true", map[string]string{"boot_mode": "uefi", "secure_boot": "true"}},
		{" boot_mode : uefi , , profile:a:b ", map[string]string{"boot_mode": "uefi", "profile": "a:b"}},
		{`{"secure_boot": true, "cpus": 4}`, map[string]string{"secure_boot": "true", "cpus": "4"}},
		{map[string]any{"secure_boot": "true"}, map[string]string{"secure_boot": "true"}},
		{map[string]any{"a": []any{1}}, nil},
		{`{"a": `, nil},
		{"boot_mode", nil},
		{7, nil},
	} {
		got, err := Capabilities(row.in)
		if (err == nil) != (row.want != nil) || !maps.Equal(got, row.want) && row.want != nil {
			t.Errorf("%v: %v, %v; want %v", row.in, got, err, row.want)
		}
	}
}

func TestWishOf(t *testing.T) {
	for _, row := range []struct {
		instance map[string]any
		rack     any
		want     BootWish
		refused  string
	}{
		{want: BootWish{}},
		{instance: map[string]any{"capabilities": map[string]any{"secure_boot": "true"}}, want: BootWish{UEFI, true}},
		{instance: map[string]any{"capabilities": "secure_boot:false"}, rack: "boot_mode:bios", want: BootWish{BIOS, false}},
		{instance: map[string]any{"deploy_boot_mode": "BIOS"}, want: BootWish{BIOS, false}},
		{instance: map[string]any{"capabilities": "boot_mode:uefi", "deploy_boot_mode": "bios"}, want: BootWish{UEFI, false}},
		{rack: "secure_boot:true", want: BootWish{}}, // a property says what can be, not what is wanted
		{instance: map[string]any{"capabilities": "secure_boot:true,boot_mode:bios"}, refused: "goes with boot_mode:uefi"},
		{instance: map[string]any{"capabilities": "boot_mode:uefi"}, rack: "boot_mode:bios", refused: "properties.capabilities say bios"},
		{instance: map[string]any{"capabilities": "secure_boot:true"}, rack: "boot_mode:bios", refused: "properties.capabilities say bios"},
		{instance: map[string]any{"capabilities": "secure_boot:perhaps"}, refused: "neither true nor false"},
		{instance: map[string]any{"capabilities": "boot_mode:coreboot"}, refused: "neither uefi nor bios"},
		{instance: map[string]any{"capabilities": "boot_mode"}, refused: "key:value"},
	} {
		got, err := WishOf(&Node{InstanceInfo: secret.NewMap(row.instance), Properties: map[string]any{"capabilities": row.rack}})
		if row.refused != "" {
			if err == nil || !strings.Contains(err.Error(), row.refused) {
				t.Errorf("%v over %v: %v, want it refused with %q", row.instance, row.rack, err, row.refused)
			}
			continue
		}
		if err != nil || got != row.want {
			t.Errorf("%v over %v: %+v, %v; want %+v", row.instance, row.rack, got, err, row.want)
		}
	}
}

func FuzzCapabilities(f *testing.F) {
	for _, s := range []string{"", "a:b,c:d", `{"a": true}`, `{"a": {"b": 1}}`, ":", "{"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if got, err := Capabilities(s); err == nil {
			for k := range got {
				if len(k) > len(s) {
					t.Errorf("%q gave a longer key %q", s, k)
				}
			}
		}
	})
}
