package main

import (
	"path/filepath"
	"strings"
	"testing"

	"ingot/internal/config"
	"ingot/internal/vendordata"
)

func TestVendordataThatAreWeak(t *testing.T) {
	both := []string{vendordata.StaticJSON, vendordata.DynamicJSON}
	for _, c := range []struct {
		providers []string
		targets   []string
		file      string
		want      []string // of each finding the level and a word
	}{
		{both, nil, "", nil},
		{both, []string{"x@https://v.example.org/"}, "", []string{"WARN", "cannot know who asks them: x."}},
		{both, []string{"x@https://u:canary@v.example.org/"}, "", []string{"OK", "in order"}},
		{both, []string{"x@http://v.example.org/", "y@http://127.0.0.1/"}, "", []string{"WARN", "cannot know who asks them: x, y.", "WARN", "by http: x."}},
		{both[:1], []string{"x@https://v.example.org/"}, "", []string{"WARN", "nobody asks them"}},
		{both, []string{"static@https://v.example.org/"}, "", []string{"FAIL", "entry 1"}},
		{both, []string{"x@http://u:canary@v.example.org/"}, "", []string{"FAIL", "is http"}},
		{both, nil, filepath.Join(t.TempDir(), "none.json"), []string{"FAIL", "vendordata_jsonfile_path"}},
	} {
		conf := config.Defaults()
		conf.Vendordata.VendordataProviders, conf.Vendordata.VendordataDynamicTargets, conf.Vendordata.VendordataJSONFilePath = c.providers, c.targets, c.file
		got := examineVendordata(conf)
		if len(got)*2 != len(c.want) {
			t.Errorf("%v %v: %+v, want %q", c.providers, c.targets, got, c.want)
			continue
		}
		for i, f := range got {
			if string(f.Level) != c.want[2*i] || !strings.Contains(f.Said, c.want[2*i+1]) || strings.Contains(f.Said, "canary") {
				t.Errorf("%v %v: %+v, want %q", c.providers, c.targets, f, c.want)
			}
		}
	}
}
