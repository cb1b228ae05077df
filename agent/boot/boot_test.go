package boot

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const token = "0123456789012345678901234567890123456789abc"

func TestParse(t *testing.T) {
	good := `{"version":1,"api_url":"https://192.0.2.1:6386","ca":"P","node_uuid":"N","agent_token":"` + token + `","time":"2026-01-02T03:04:05Z","later":{}}`
	c, err := Parse([]byte("\n " + good + strings.Repeat(" ", 1000) + "\n\x00\x00"))
	if err != nil || c.NodeUUID != "N" || c.AgentToken != token || c.APIURL != "https://192.0.2.1:6386" {
		t.Fatalf("%+v %v", c, err)
	}
	if when, err := Time(c); err != nil || when.Unix() != 1767323045 {
		t.Error(when, err)
	}
	for _, role := range []string{"", "rescue", "install"} {
		if c, err := Parse([]byte(`{"version":1,"role":"` + role + `"}`)); err != nil || string(c.Role) != role {
			t.Errorf("role %q: %q, %v", role, c.Role, err)
		}
	}
	for _, c := range []struct{ data, want string }{
		{"", "not filled in"},
		{strings.Repeat(" ", 100), "not filled in"},
		{strings.Repeat(" ", maxConfig+1), "larger than"},
		{"{", "not JSON"},
		{`{"version":2}`, "version 2"},
		{`{"version":"` + token + `"}`, "version is of the wrong type"},
		{`{"version":1,"agent_token":"` + token[:31] + `"}`, "shorter than 32"},
		{`{"version":1,"agent_token":"` + token + `","api_url":"http://x"}`, "no node it belongs to"},
		{`{"version":1,"time":"yesterday"}`, "RFC 3339"},
		{`{"version":1,"role":"king"}`, "role \"king\""},
		{`{"version":1,"poll_only":true}`, "has no token"},
		{`{"version":1,"certificate":"x"}`, "without its key"},
		{`{"version":1,"key":"` + token + `"}`, "without its certificate"},
		{`{"version":1,"certificate":"x","key":"` + token + `"}`, "not a pair"},
		{`{"version":1,"client":"` + token + `"}`, "client: a certificate in PEM"},
	} {
		if _, err := Parse([]byte(c.data)); err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), token[:31]) {
			t.Errorf("%.80s: %v, want %s", c.data, err, c.want)
		}
	}
}

func TestParams(t *testing.T) {
	line := "console=ttyS0 quiet ipa-api-url=http://a boot_method=vmedia ipa-api-url=http://b=c ipa-debug=TRUE ipa-agent-token=" + token
	p := ParseParams(line)
	c, ok := p.Config()
	if !ok || c.APIURL != "http://b=c" || c.AgentToken != token || !p.VirtualMedia() || !p.Debug() {
		t.Errorf("%+v %v", c, ok)
	}
	if m := Masked(line); strings.Contains(m, token) || !strings.Contains(m, "quiet ipa-api-url=http://a") {
		t.Error(m)
	}
	if c, ok := ParseParams("quiet ipa-agent-token=" + token).Config(); !ok || c.AgentToken != token {
		t.Error("a boot that is only polled is not one")
	}
	if _, ok := ParseParams("quiet").Config(); ok {
		t.Error("a control plane from nowhere")
	}
}

func TestOnlyACDDriveIsABootMedium(t *testing.T) {
	iso := make([]byte, 17*2048)
	copy(iso[16*2048:], "\x01CD001\x01")
	copy(iso[16*2048+40:], "CONFIG-2                        ")
	other := append([]byte(nil), iso...)
	copy(other[16*2048+40:], "INSTALLER")
	for _, c := range []struct {
		name    string
		devices devices
		want    string // "" for none, "many" for an error that says so
	}{
		{"a CD", devices{"sr0": {"5", iso}}, "sr0"},
		{"the second drive", devices{"sr0": {"5", other}, "sr1": {"5", iso}, "sr2": {"5", nil}}, "sr1"},
		{"a disk", devices{"sda": {"0", iso}}, ""},
		{"a disk named like a CD", devices{"sr0": {"0", iso}}, ""},
		{"a virtio disk", devices{"vda": {"", iso}}, ""},
		{"a CD of another kind", devices{"sr0": {"5", other}}, ""},
		{"no file system", devices{"sr0": {"5", make([]byte, 40000)}}, ""},
		{"two", devices{"sr0": {"5", iso}, "sr1": {"5", iso}}, "many"},
	} {
		root := t.TempDir()
		for _, dir := range []string{"dev", "sys/block"} {
			if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		for name, d := range c.devices {
			dir := filepath.Join(root, "sys/block", name, "device")
			if err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, "type"), []byte(d.kind+"\n"), 0o644),
				os.WriteFile(filepath.Join(root, "dev", name), d.data, 0o644)); err != nil {
				t.Fatal(err)
			}
		}
		got, err := find(root)
		switch {
		case c.want == "many":
			if err == nil || errors.Is(err, ErrNoMedium) {
				t.Errorf("%s: %v", c.name, err)
			}
		case c.want == "":
			if !errors.Is(err, ErrNoMedium) {
				t.Errorf("%s: %s %v", c.name, got, err)
			}
			if _, err := FromMedium(t.Context(), root, root, false); !errors.Is(err, ErrNoMedium) {
				t.Errorf("%s: %v", c.name, err)
			}
		case filepath.Base(got) != c.want || err != nil:
			t.Errorf("%s: %s %v", c.name, got, err)
		}
	}
}

type devices = map[string]struct {
	kind string
	data []byte
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"version":1,"api_url":"https://192.0.2.1","network_data":{"links":[]},"time":"2026-01-02T03:04:05Z"}   `))
	f.Add([]byte(`{"version":1,"agent_token":"x"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse(data)
		if err != nil {
			if c.AgentToken != "" {
				t.Error("a refused configuration was returned")
			}
			return
		}
		if _, err := json.Marshal(c); c.Version != 1 || err != nil {
			t.Errorf("%+v %v", c, err)
		}
		if _, err := Time(c); err != nil {
			t.Error(err)
		}
	})
}
