package metal

import (
	"slices"
	"strings"
	"testing"

	"ingot/internal/fault"
)

func TestBootRolesAreToldApart(t *testing.T) {
	for name, row := range map[string]struct {
		roles []string
		says  string
	}{
		"none":              {nil, ""},
		"some":              {[]string{"member", "reader", "mail server"}, ""},
		"a comma":           {[]string{"member", "a,admin"}, "role 2 has a comma"},
		"an empty one":      {[]string{""}, "role 1 is empty"},
		"a blank":           {[]string{" admin"}, "role 1 is empty"},
		"a line end":        {[]string{"a\nb"}, "control character"},
		"a long one":        {[]string{strings.Repeat("x", 256)}, "256 bytes"},
		"too many of them":  {make([]string, 65), "65 roles"},
		"the longest there": {[]string{strings.Repeat("x", 255)}, ""},
	} {
		err := CheckBootRoles(row.roles)
		if said, _ := fault.PublicOf(err); (err != nil) != (row.says != "") || !strings.Contains(said, row.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	tellable, left := TellableRoles([]string{"member", "a,admin", "reader", "member", ""})
	if !slices.Equal(tellable, []string{"member", "reader"}) || !slices.Equal(left, []string{"a,admin", ""}) {
		t.Errorf("told are %q, left %q", tellable, left)
	}
}

func TestWantsDrive(t *testing.T) {
	for _, row := range []struct {
		said any
		want string
	}{{nil, "nothing"}, {"", "nothing"}, {true, "true"}, {"True", "true"}, {"1", "true"}, {false, "false"}, {"no", "false"}, {1.0, "error"}, {"maybe", "error"}} {
		got, err := WantsDrive(map[string]any{"config_drive": row.said})
		is := "nothing"
		switch {
		case err != nil:
			is = "error"
		case got != nil && *got:
			is = "true"
		case got != nil:
			is = "false"
		}
		if is != row.want {
			t.Errorf("%v: %s, want %s", row.said, is, row.want)
		}
	}
}
