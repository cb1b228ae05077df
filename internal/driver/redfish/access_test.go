package redfish

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/secret"
)

func nodeWith(info map[string]any) *metal.Node { return &metal.Node{DriverInfo: secret.NewMap(info)} }

// full is driver_info that says all that is needed, with more on top.
func full(key string, v any) map[string]any {
	m := map[string]any{keyAddress: "https://192.0.2.1", keyUser: "root", keyPassword: "calvin"}
	m[key] = v
	return m
}

func TestAddresses(t *testing.T) {
	for given, want := range map[string]string{
		"https://192.0.2.1":              "https://192.0.2.1",
		"192.0.2.1":                      "https://192.0.2.1",
		"BMC.example:8443":               "https://bmc.example:8443",
		"https://bmc.example:443/":       "https://bmc.example",
		"https://[2001:db8::1]":          "https://[2001:db8::1]",
		" https://192.0.2.1/redfish/v1/": "https://192.0.2.1",
		"":                               "",
		"https://":                       "",
		"ftp://192.0.2.1":                "",
		"http://192.0.2.1":               "", // unless allowed
		"https://root:calvin@192.0.2.1":  "",
		"https://192.0.2.1/bmc/3":        "",
		"https://192.0.2.1/?x=1":         "",
		"https://192.0.2.1\n":            "https://192.0.2.1",
		"https://192.0.2.1 :x":           "",
	} {
		a, err := parseAccess(nodeWith(full(keyAddress, given)), false)
		if a.base != want || (err == nil) != (want != "") {
			t.Errorf("%q gives %q, %v; want %q", given, a.base, err, want)
		}
		if err != nil && (fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), keyAddress) || strings.Contains(err.Error(), "calvin")) {
			t.Errorf("%q: %v", given, err)
		}
	}
	if a, err := parseAccess(nodeWith(full(keyAddress, "http://192.0.2.1")), true); err != nil || a.base != "http://192.0.2.1" {
		t.Errorf("http where it is allowed: %q, %v", a.base, err)
	}
}

func TestSystemIDs(t *testing.T) {
	for given, want := range map[string]string{
		"": "", "1": "/redfish/v1/Systems/1", "System.Embedded.1": "/redfish/v1/Systems/System.Embedded.1",
		"/redfish/v1/Systems/1/": "/redfish/v1/Systems/1", "a b": "/redfish/v1/Systems/a%20b", "a/b": "/redfish/v1/Systems/a%2Fb",
		"/": "!", "//evil/redfish/v1": "!", "/redfish/../x": "!", "/redfish/v1/Systems/1?x": "!", "/etc/passwd": "!", "/redfish/\x00": "!",
	} {
		a, err := parseAccess(nodeWith(full(keySystem, given)), false)
		if want == "!" {
			if fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), keySystem) {
				t.Errorf("%q gives %q, %v", given, a.system, err)
			}
		} else if err != nil || a.system != want {
			t.Errorf("%q gives %q, %v; want %q", given, a.system, err, want)
		}
	}
}

func TestTrustAndAuth(t *testing.T) {
	dir := t.TempDir()
	junk := filepath.Join(dir, "junk")
	if err := os.WriteFile(junk, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	sum := strings.Repeat("0aF", 21) + "0"
	colons := "SHA256:" + strings.TrimSuffix(strings.Repeat("AB:", 32), ":")
	for _, row := range []struct {
		key   string
		value any
		fails string // what the error names; "" for none
	}{
		{keyVerifyCA, true, ""}, {keyVerifyCA, "True", ""}, {keyVerifyCA, nil, ""},
		{keyVerifyCA, false, keyFingerprint}, {keyVerifyCA, "False", keyFingerprint}, {keyVerifyCA, "0", keyFingerprint},
		{keyVerifyCA, 7, keyVerifyCA}, {keyVerifyCA, junk, keyVerifyCA}, {keyVerifyCA, dir, keyVerifyCA},
		{keyVerifyCA, "/dev/zero", keyVerifyCA}, {keyVerifyCA, "-----BEGIN CERTIFICATE-----\nx", keyVerifyCA},
		{keyFingerprint, sum, ""}, {keyFingerprint, colons, ""}, {keyFingerprint, sum[1:], keyFingerprint}, {keyFingerprint, "no", keyFingerprint},
		{keyAuth, "BASIC", ""}, {keyAuth, "none", ""}, {keyAuth, "digest", keyAuth}, {keyAuth, 1, keyAuth},
		{keyPassword, 1234, keyPassword}, {keyPassword, "", keyPassword}, {keyUser, nil, keyUser},
	} {
		_, err := parseAccess(nodeWith(full(row.key, row.value)), false)
		if row.fails == "" && err != nil {
			t.Errorf("%s=%v: %v", row.key, row.value, err)
		}
		if row.fails != "" && (fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), row.fails)) {
			t.Errorf("%s=%v: %v", row.key, row.value, err)
		}
	}
	a, err := parseAccess(nodeWith(map[string]any{keyAddress: "https://192.0.2.1"}), false)
	if err != nil || a.auth != authNone {
		t.Errorf("no credentials: %q, %v", a.auth, err)
	}
}

func TestEveryQuirkHasASource(t *testing.T) {
	for _, q := range quirks {
		if q.source == "" || q.maker == "" || q.maker != strings.ToLower(q.maker) || q.model != strings.ToLower(q.model) {
			t.Errorf("quirk %+v", q)
		}
	}
	for _, w := range busyWords {
		if w.id == "" || w.why == "" || w.source == "" {
			t.Errorf("busy word %+v", w)
		}
	}
	for _, w := range insertWords {
		if w.word == "" || w.source == "" {
			t.Errorf("insert word %q", w.word)
		}
	}
	if q := quirkOf("HPE", "ProLiant DL380 Gen11"); q != (quirk{}) {
		t.Errorf("an ordinary machine has a quirk: %+v", q)
	}
}

func TestBounded(t *testing.T) {
	for in, want := range map[string]string{
		"plain": "plain", " a\n\tb\x1b[0m ": "a b [0m", "0123456789abc": "0123456…", "äöüäöüäöü": "äöü…", "": "", "\xff\xfe": "",
	} {
		if got := bounded(in, 10); got != want || len(got) > 10 {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
}

func TestDeeper(t *testing.T) {
	for in, want := range map[string]bool{
		`{"a":[[1]]}`: false, `{"a":[[[1]]]}`: true, `{"a":"[[[[[["}`: false, `{"a\"[[[[":1}`: false, `[[[[`: true, ``: false,
		`<p>[[[[[[</p>`: false, " \n{\"a\":{\"b\":{\"c\":{}}}}": true, `{"\\":[],"b":[],"c":[]}`: false,
	} {
		if got := deeper([]byte(in), 3); got != want {
			t.Errorf("deeper(%s) = %v", in, got)
		}
	}
}

func TestTail(t *testing.T) {
	var l tail
	for range 1000 {
		l.line("0123456789\r\n", 25)
	}
	if got := string(l.bytes(25)); got != "0123456789\n0123456789\n" {
		t.Errorf("the last 25 bytes: %q", got)
	}
	if got := string(l.bytes(22)); got != "0123456789\n0123456789\n" {
		t.Errorf("the last 22 bytes: %q", got)
	}
	if got := string(l.bytes(5)); got != "6789\n" {
		t.Errorf("less than a line: %q", got)
	}
	if cap(l.b) > 1000 {
		t.Errorf("it holds %d bytes", cap(l.b))
	}
}

func TestMACs(t *testing.T) {
	for in, want := range map[string]string{
		"AA:BB:CC:DD:EE:0F": "aa:bb:cc:dd:ee:0f", "AA-BB-CC-DD-EE-0F": "aa:bb:cc:dd:ee:0f", " aabb.ccdd.ee0f": "aa:bb:cc:dd:ee:0f",
		"": "", "null": "", "00:00:00:00:00:00": "", "ff:ff:ff:ff:ff:ff": "", "01:00:5e:00:00:01": "", "00:11:22:33:44:55:66:77": "",
	} {
		if got, ok := parseMAC(in); got != want || ok != (want != "") {
			t.Errorf("%q gives %q", in, got)
		}
	}
}
