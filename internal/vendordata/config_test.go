package vendordata

import (
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ingot/internal/secret"
)

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// configured is the default configuration with these targets.
func configured(targets ...string) Config {
	c := Defaults()
	c.VendordataProviders = []string{StaticJSON, DynamicJSON}
	c.VendordataDynamicTargets = targets
	return c
}

// TestRequirement08BadTargetsEndTheStart: each bad entry is named by its number, none of what it may keep secret is.
func TestRequirement08BadTargetsEndTheStart(t *testing.T) {
	for entry, want := range map[string]string{
		"https://v.example.org/a":                   "entry 2: there is no @",
		"@https://v.example.org/a":                  "entry 2: there is no name",
		"  @https://v.example.org/a":                "entry 2: there is no name",
		"good@https://v.example.org/again":          `entry 2: the name "good" is used twice`,
		"static@https://v.example.org/":             `entry 2: the name "static"`,
		"https://user:canary@v.example.org/":        "entry 2: what is before the first @ is no name",
		"x@ftp://user:canary@v.example.org/":        `entry 2: target "x": its URL must begin`,
		"x@https://user:canary@v.example.org:p/":    `entry 2: target "x": its URL cannot be parsed`,
		"x@v.example.org?token=canary":              `entry 2: target "x": its URL must begin`,
		"x@https:///path?token=canary":              `entry 2: target "x": its URL has no host`,
		"x@":                                        `entry 2: target "x"`,
		strings.Repeat("n", 256) + "@https://v.org": "entry 2: what is before",
	} {
		_, err := New(configured("good@https://u:p@v.example.org/a@b", entry), Options{}, quiet())
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "canary") {
			t.Errorf("%q: %v; want one with %q", entry, err, want)
		}
	}
	c := configured("none", "x@https://v.example.org/", "x@https://v.example.org/")
	c.VendordataProviders = []string{StaticJSON, "PlainJSON"}
	err := c.Check()
	for _, want := range []string{`"PlainJSON" is not one of StaticJSON, DynamicJSON`, "entry 1", "entry 3"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not tell all: %q is missing", err, want)
		}
	}
}

func TestTargetsAreDividedAtTheFirstAt(t *testing.T) {
	l := TargetList{"one@https://u:p@v.example.org/a@b?q=1#f", " two@http://192.0.2.1:8080/x "}
	all, wrong := l.parse()
	if len(wrong) > 0 || len(all) != 2 || all[0].name != "one" || all[0].url.Path != "/a@b" || all[1].url.Host != "192.0.2.1:8080" {
		t.Fatalf("%+v, %v", all, wrong)
	}
	if got, want := l.Shown(), "one@https://"+secret.Mask+"@v.example.org/a@b?"+secret.Mask+",two@http://192.0.2.1:8080/x"; got != want {
		t.Errorf("shown as %q, want %q", got, want)
	}
}

// TestRequirement05TokensDoNotGoOverHTTP: a target by http is refused once requests show who asks.
func TestRequirement05TokensDoNotGoOverHTTP(t *testing.T) {
	signer := &keys{}
	for _, c := range []struct {
		target  string
		signer  Signer
		allowed bool
		good    bool
	}{
		{"x@http://127.0.0.1/", nil, false, true},
		{"x@http://127.0.0.1/", signer, false, false},
		{"x@http://127.0.0.1/", signer, true, true},
		{"x@http://user:canary@127.0.0.1/", nil, false, false},
		{"x@http://user:canary@127.0.0.1/", nil, true, true},
		{"x@https://127.0.0.1/", signer, false, true},
		{"x@https://user:canary@127.0.0.1/", nil, false, true},
	} {
		conf := configured(c.target)
		conf.VendordataDynamicAllowHTTPAuth = c.allowed
		_, err := New(conf, Options{Signer: c.signer}, quiet())
		if (err == nil) != c.good || err != nil && (!strings.Contains(err.Error(), `target "x"`) || strings.Contains(err.Error(), "canary")) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// TestRequirement11StaticFile: at start the file must be in order; later the last good content holds.
func TestRequirement11StaticFile(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "vendor.json")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
	}
	c := Defaults()
	c.VendordataJSONFilePath = file
	for _, bad := range []string{"", `{"canary": `, "\"\xff\"", strings.Repeat("[", maxDepth+1) + strings.Repeat("]", maxDepth+1), `"` + strings.Repeat("x", 1<<20) + `"`} {
		write(bad)
		if _, err := New(c, Options{}, quiet()); err == nil || !strings.Contains(err.Error(), "vendordata_jsonfile_path") || strings.Contains(err.Error(), "canary") {
			t.Errorf("%.20q: the start went on: %v", bad, err)
		}
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if _, err := New(c, Options{}, quiet()); err == nil {
		t.Error("a file that is not there did not end the start")
	}
	write(`{"cloud-init": "#cloud-config"} `)
	s, err := New(c, Options{}, quiet())
	if err != nil {
		t.Fatal(err)
	}
	says := func(want string) {
		t.Helper()
		if got := string(s.Static()); got != want {
			t.Errorf("it says %s, want %s", got, want)
		}
	}
	says(`{"cloud-init":"#cloud-config"}`)
	write(`{"broken`)
	says(`{"cloud-init":"#cloud-config"}`)
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	says(`{"cloud-init":"#cloud-config"}`)
	write(`["new"]`)
	says(`["new"]`)
}

// TestRequirement10ProvidersDecide: without StaticJSON there is no static document, without DynamicJSON nobody is asked.
func TestRequirement10ProvidersDecide(t *testing.T) {
	c := configured("x@https://192.0.2.1/")
	c.VendordataProviders = []string{DynamicJSON}
	s, err := New(c, Options{}, quiet())
	if err != nil || s.Static() != nil || len(s.Targets()) != 1 {
		t.Errorf("DynamicJSON alone: %v, %s, %v", err, s.Static(), s.Targets())
	}
	if got := string((Answers{}).VendorData2(s.Static())); got != "{}" {
		t.Errorf("vendor_data2.json is %s", got)
	}
	c.VendordataProviders = []string{StaticJSON}
	if s, err = New(c, Options{}, quiet()); err != nil || string(s.Static()) != "{}" || len(s.Targets()) != 0 {
		t.Errorf("StaticJSON alone: %v, %s, %v", err, s.Static(), s.Targets())
	}
	if a, err := s.Fetch(t.Context(), Request{}); err != nil || string(a.VendorData2(s.Static())) != `{"static":{}}` {
		t.Errorf("%v, %s", err, a.VendorData2(s.Static()))
	}
	var none *Service
	none.Forget("x")
	none.Close()
	if a, err := none.Fetch(t.Context(), Request{}); err != nil || none.Static() != nil || len(none.Targets()) != 0 || none.Fatal() || len(a.Failed()) != 0 {
		t.Error("the nil Service has something")
	}
	if _, err := none.Fresh(t.Context(), "x", Request{}, Answers{}); err != nil {
		t.Error(err)
	}
}
