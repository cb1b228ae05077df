package osdef

import (
	"archive/tar"
	"bytes"
	"io/fs"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"

	"ingot/internal/fault"
)

// like has the shape of the definition in Debian's package ganeti-instance-debootstrap 0.16: more versions than anybody
// speaks, a list of parameters, a file that the scripts share, and a variant.
func like() map[string]string {
	script := "#!/bin/sh\nset -e\n. ./common.sh\n"
	return map[string]string{
		"ganeti_api_version": "20\n15\n10\n5\n",
		"parameters.list":    "filesystem What the root partition is formatted with: ``ext4`` if it is not given.\n",
		"variants.list":      "default\n",
		"common.sh":          "# nothing by itself\n",
		"create":             script, "export": script, "import": script, "rename": script, "verify": script,
	}
}

var scriptNames = []string{"create", "export", "import", "rename", "verify", "create_untrusted"}

// executable tells which files of the tests' definitions are programs.
func executable(name string) bool {
	for _, s := range scriptNames {
		if name == s || strings.HasPrefix(name, "untrusted/") {
			return true
		}
	}
	return false
}

func mapFS(files map[string]string) fstest.MapFS {
	out := fstest.MapFS{}
	for name, content := range files {
		mode := fs.FileMode(0o644)
		if executable(name) {
			mode = 0o755
		}
		out[name] = &fstest.MapFile{Data: []byte(content), Mode: mode}
	}
	return out
}

func bundle(t *testing.T, files map[string]string) *Bundle {
	t.Helper()
	b, err := FromFS(mapFS(files), Usual, nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// with is like, changed: an empty content takes a file away.
func with(changes map[string]string) map[string]string {
	files := like()
	for name, content := range changes {
		if files[name] = content; content == "" {
			delete(files, name)
		}
	}
	return files
}

func TestREQ01DefinitionsAsGanetiHasThem(t *testing.T) {
	d, err := bundle(t, like()).Definition()
	if err != nil {
		t.Fatal(err)
	}
	want := &Definition{
		Versions: []int{20, 15, 10, 5}, Version: 20, Variants: []string{"default"},
		Parameters: []Parameter{{"filesystem", "What the root partition is formatted with: ``ext4`` if it is not given."}},
		Scripts:    []string{"create", "export", "import", "rename", "verify"},
	}
	if !reflect.DeepEqual(d, want) {
		t.Errorf("got %+v\nwant %+v", d, want)
	}
}

func TestREQ01DefinitionsThatAreRefused(t *testing.T) {
	for _, c := range []struct {
		what   string
		change map[string]string
		says   string
	}{
		{"no versions", map[string]string{"ganeti_api_version": ""}, "ganeti_api_version"},
		{"no common version", map[string]string{"ganeti_api_version": "5\n30\n"}, "10, 15, 20"},
		{"a version that is no number", map[string]string{"ganeti_api_version": "20\ntwelve\n"}, `"twelve"`},
		{"nothing that installs", map[string]string{"create": ""}, "no script create"},
		{"no export", map[string]string{"export": ""}, "no script export"},
		{"no import", map[string]string{"import": ""}, "no script import"},
		{"no rename", map[string]string{"rename": ""}, "no script rename"},
		{"no verify", map[string]string{"verify": ""}, "no script verify"},
		{"no parameters.list", map[string]string{"parameters.list": ""}, "parameters.list"},
		{"an empty script", map[string]string{"import": " \n"}, "import"},
		{"two names of one script", map[string]string{"create_untrusted": "#!/bin/sh\n", "untrusted/create": "#!/bin/sh\n"}, "create_untrusted"},
		{"a parameter with a wrong name", map[string]string{"parameters.list": "a.b says\n"}, `"a.b"`},
		{"a parameter twice", map[string]string{"parameters.list": "a says\na says more\n"}, "OSP_A"},
		{"a list of parameters that is no text", map[string]string{"parameters.list": "a \x1b[2J\n"}, "UTF-8"},
		{"a variant with a wrong name", map[string]string{"variants.list": "../etc\n"}, "variants.list"},
		{"a variant twice", map[string]string{"variants.list": "a\na\n"}, "variants.list"},
	} {
		t.Run(c.what, func(t *testing.T) {
			_, err := bundle(t, with(c.change)).Definition()
			if fault.KindOf(err) != fault.Invalid || !strings.Contains(public(err), c.says) {
				t.Errorf("got %v, want a refusal with %q", err, c.says)
			}
		})
	}
}

func TestREQ01ScriptsAreExecutable(t *testing.T) {
	for _, name := range scriptNames[:5] {
		files := mapFS(like())
		files[name].Mode = 0o644
		b, err := FromFS(files, Usual, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.Definition(); err == nil || !strings.Contains(public(err), "The file "+name+" ") || !strings.Contains(public(err), "not executable") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestREQ01RequirementsAreThoseOfTheVersionSpoken(t *testing.T) {
	// Upstream asks for what the newest listed version demands, even if it is spoken by nobody.
	d, err := bundle(t, with(map[string]string{"ganeti_api_version": "30\n15\n", "verify": "", "parameters.list": ""})).Definition()
	if err != nil || d.Version != 15 {
		t.Errorf("got %+v, %v", d, err)
	}
	d, err = bundle(t, with(map[string]string{"ganeti_api_version": "10", "verify": "", "parameters.list": "", "variants.list": "one"})).Definition()
	if err != nil || d.Version != 10 || d.Variants != nil {
		t.Errorf("version 10 has no variants: got %+v, %v", d, err)
	}
}

func TestREQ02ListsSkipBlankLinesAndComments(t *testing.T) {
	d, err := bundle(t, with(map[string]string{
		"variants.list":   "# ours\n\none\n  two  \r\n\n",
		"parameters.list": "\n# of the disk\nsize\tin MiB\nname\n   \n",
	})).Definition()
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"one", "two"}; !reflect.DeepEqual(d.Variants, want) {
		t.Errorf("variants: %q", d.Variants)
	}
	if want := []Parameter{{"size", "in MiB"}, {"name", ""}}; !reflect.DeepEqual(d.Parameters, want) {
		t.Errorf("parameters: %q", d.Parameters)
	}
}

func TestREQ02Variants(t *testing.T) {
	none, two := &Definition{}, &Definition{Variants: []string{"one", "two"}}
	for _, c := range []struct {
		what   string
		d      *Definition
		chosen string
		force  bool
		want   string
		says   string
	}{
		{"none and none", none, "", false, "", ""},
		{"not supported", none, "one", false, "", "no variants"},
		{"not supported, forced", none, "one", true, "", "no variants"},
		{"missing", two, "", false, "", "one must be chosen"},
		{"missing, forced", two, "", true, "", "one must be chosen"},
		{"declared", two, "two", false, "two", ""},
		{"unknown", two, "three", false, "", "no variant three"},
		{"unknown, forced", two, "three", true, "three", ""},
		{"forced, but no name", two, "../three", true, "", "cannot be the name"},
	} {
		got, err := c.d.Variant(c.chosen, c.force)
		if got != c.want || (err == nil) != (c.says == "") || err != nil && !strings.Contains(public(err), c.says) {
			t.Errorf("%s: got %q, %v", c.what, got, err)
		}
	}
}

func TestREQ02NameAndVariant(t *testing.T) {
	for given, want := range map[string][2]string{"debian": {"debian", ""}, "debian+12": {"debian", "12"}, "debian+12+x": {"debian", "12+x"}} {
		name, variant, err := Split(given)
		if err != nil || name != want[0] || variant != want[1] {
			t.Errorf("%s: %q %q %v", given, name, variant, err)
		}
	}
	for _, given := range []string{"", "+12", "debian+", "../debian", ".debian", "a b", strings.Repeat("a", 65)} {
		if _, _, err := Split(given); fault.KindOf(err) != fault.Invalid || err == nil {
			t.Errorf("%q: %v", given, err)
		}
	}
}

func TestPartsFollowTrust(t *testing.T) {
	script := "#!/bin/sh\n"
	ganeti, _ := bundle(t, like()).Definition()
	old, _ := bundle(t, with(map[string]string{"create_untrusted": script})).Definition()
	both, _ := bundle(t, with(map[string]string{"untrusted/create": script, "untrusted/export": script})).Definition()
	only, err := bundle(t, map[string]string{"ganeti_api_version": "20", "parameters.list": "\n", "verify": script,
		"untrusted/create": script, "untrusted/export": script, "untrusted/import": script, "untrusted/rename": script}).Definition()
	if err != nil {
		t.Fatal(err)
	}
	host := func(s string) Part { return Part{Script: s} }
	confined := func(s string) Part { return Part{Script: s, Confined: true} }
	for _, c := range []struct {
		what    string
		d       *Definition
		action  Action
		trusted bool
		want    []Part
	}{
		{"trusted", ganeti, Create, true, []Part{host("create")}},
		{"not trusted", ganeti, Create, false, nil},
		{"verify is confined, trusted", ganeti, Verify, true, []Part{confined("verify")}},
		{"verify is confined", ganeti, Verify, false, []Part{confined("verify")}},
		{"old name, trusted", old, Create, true, []Part{host("create"), confined("create_untrusted")}},
		{"old name", old, Create, false, []Part{confined("create_untrusted")}},
		{"old name is not for import", old, Import, false, nil},
		{"both", both, Create, true, []Part{host("create"), confined("untrusted/create")}},
		{"both, not trusted", both, Export, false, []Part{confined("untrusted/export")}},
		{"only untrusted, trusted", only, Rename, true, []Part{confined("untrusted/rename")}},
	} {
		got, err := c.d.Parts(c.action, c.trusted)
		if !reflect.DeepEqual(got, c.want) || (err == nil) != (c.want != nil) {
			t.Errorf("%s: got %+v, %v", c.what, got, err)
		}
	}
}

// tarOf writes a tar file as a stranger would.
func tarOf(t testing.TB, headers ...tar.Header) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, h := range headers {
		if h.Typeflag == tar.TypeXGlobalHeader {
			if err := w.WriteHeader(&h); err != nil {
				t.Fatal(err)
			}
			continue
		}
		content := h.PAXRecords["content"]
		h.PAXRecords, h.Size = nil, int64(len(content))
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
