package config

import (
	"bytes"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"ingot/internal/secret"
)

var update = flag.Bool("update", false, "rewrite docs/config.md")

func write(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "ingot.conf")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestLoad(t *testing.T) {
	file := write(t, `# as an operator of the upstream system would write it
debug = on
[api]
host_ip = ::1
port: 7000
public_endpoint = "https://api.example.com:443/baremetal#not-a-comment"
[conductor]
automated_clean = False
deploy_callback_timeout = 3600
clean_callback_timeout=1h30m
; another comment
[deploy]
erase_devices_priority=0
[DEFAULT]
host = %(not)s-interpolated
`)
	l, err := Load(file, []string{"INGOT_API__PORT=6390", "INGOT_DEFAULT__ENABLED_HARDWARE_TYPES= redfish , ,fake-hardware",
		"INGOT_ENDPOINT=http://elsewhere", "PATH=/bin"})
	if err != nil {
		t.Fatal(err)
	}
	want := Defaults()
	want.Default.Debug, want.Default.Host = true, "%(not)s-interpolated"
	want.API.HostIP, want.API.Port, want.API.PublicEndpoint = "::1", 6390, "https://api.example.com:443/baremetal#not-a-comment"
	want.Conductor.AutomatedClean, want.Conductor.DeployCallbackTimeout, want.Conductor.CleanCallbackTimeout = false, time.Hour, 90*time.Minute
	want.Deploy.EraseDevicesPriority = 0
	if !reflect.DeepEqual(l.Config, want) {
		t.Errorf("got  %+v\nwant %+v", l.Config, want)
	}
	if err := l.Set("api", "port", "6400", "--listen"); err != nil || l.Config.API.Port != 6400 {
		t.Errorf("set: %v, port %d", err, l.Config.API.Port)
	}
	for name, source := range map[[2]string]string{{"api", "port"}: "--listen", {"api", "host_ip"}: file,
		{"DEFAULT", "enabled_hardware_types"}: "INGOT_DEFAULT__ENABLED_HARDWARE_TYPES", {"api", "max_limit"}: FromDefault} {
		if got := l.Source(name[0], name[1]); got != source {
			t.Errorf("%v came from %q, want %q", name, got, source)
		}
	}
}

// Everything that is wrong is told, each with what would be right.
// A line that is none is told by its number: what is in it may be a secret.
func TestLineThatIsNone(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ingot.conf")
	if err := os.WriteFile(file, []byte("[api]\n\n  hunter2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Load(file, nil)
	if err == nil || !strings.Contains(err.Error(), "line 3 is neither [section] nor option = value") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got %v", err)
	}
}

func TestWrong(t *testing.T) {
	for _, tc := range []struct{ text, want string }{
		{"[api]\nprot = 1", "[api] prot: there is no such option; the nearest is [api] port"},
		{"[conductor]\nport = 1", "the nearest is [api] port"},
		{"[DEFAULT]\nautomated_clean = true", "the nearest is [conductor] automated_clean"},
		{"[conductr]\nautomated_clean = true", "[conductr] automated_clean: there is no such option; the nearest is [conductor] automated_clean"},
		{"[api]\nport = http", `[api] port: "http" is not a whole number`},
		{"[api]\nport = 0", "[api] port: 0 is less than 1"},
		{"[api]\nport = 65536", "65536 is more than 65535"},
		{"[api]\nhost_ip = localhost", `"localhost" is no IP address`},
		{"[conductor]\nautomated_clean = maybe", `"maybe" is not true or false`},
		{"[conductor]\ndeploy_callback_timeout = soon", `"soon" is no time: write seconds`},
		{"[deploy]\nerase_devices_priority = -1", "-1 is less than 0"},
		{"[conductor]\npower_state_change_timeout = 0.5", "0.5 is less than 1"},
		{"[deploy]\nhttp_url = 192.0.2.1:6387", "is no URL"},
		{"[deploy]\nhttp_url = http://u:p@h", "must not hold a user name"},
		{"[api]\nport", "line 2 is neither"},
	} {
		_, err := Load(write(t, tc.text), nil)
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%q:\ngot  %v\nwant %s", tc.text, err, tc.want)
		}
	}
	_, err := Load(write(t, "[api]\nprot = 1\nport = 0\n"), []string{"INGOT_APY__PORT=1", "INGOT_API__MAX_LIMIT=0"})
	for _, want := range []string{"[api] prot", "[api] port: 0", "INGOT_APY__PORT: there is no option port in a section apy; the nearest is INGOT_API__PORT", "INGOT_API__MAX_LIMIT: [api] max_limit: 0"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("not told: %s in\n%v", want, err)
		}
	}
	if _, err := Load("/nonexistent/ingot.conf", nil); err == nil {
		t.Error("a missing file was no error")
	}
	l := &Loaded{Config: Defaults(), sources: map[string]string{}}
	if err := l.Set("api", "listen", "x", "--listen"); err == nil || !strings.HasPrefix(err.Error(), "--listen: [api] listen: there is no such option") {
		t.Errorf("set: %v", err)
	}
}

// What show prints is what the file could say: read back it is the same.
func TestSettingsReadBack(t *testing.T) {
	l, err := Load("", []string{"INGOT_DEFAULT__HOST=rack1", "INGOT_CONDUCTOR__CLEAN_CALLBACK_TIMEOUT=90"})
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, s := range l.Settings() {
		fmt.Fprintf(&text, "[%s]\n%s = %s\n", s.Section, s.Option, s.Value)
	}
	again, err := Load(write(t, text.String()), nil)
	if err != nil {
		t.Fatalf("%v\n%s", err, text.String())
	}
	for i, s := range again.Settings() {
		if was := l.Settings()[i]; s.Value != was.Value {
			t.Errorf("%s: %q became %q", s.Option, was.Value, s.Value)
		}
	}
	if got := l.Settings()[0]; got != (Setting{"DEFAULT", "host", "rack1", "INGOT_DEFAULT__HOST"}) {
		t.Errorf("first: %+v", got)
	}
}

func FuzzLoad(f *testing.F) {
	f.Add("[api]\nport = 1\n")
	f.Add("a\n[b\n=c\n\"\"\"")
	f.Fuzz(func(t *testing.T, text string) {
		name := filepath.Join(t.TempDir(), "f")
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if l, err := Load(name, nil); (l == nil) == (err == nil) {
			t.Errorf("%v, %v", l, err)
		}
	})
}

const document = "../../docs/config.md"

// docs/config.md is what the declarations and their comments render; -update rewrites it.
func TestDocumentIsFresh(t *testing.T) {
	want := render(t)
	if *update {
		if err := os.WriteFile(document, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("docs/config.md is not what the declarations say: go generate ./internal/config")
	}
}

func render(t *testing.T) []byte {
	var b bytes.Buffer
	b.WriteString(`# Configuration

<!-- Generated by go generate ./internal/config from the declarations and their comments; do not edit. -->

A server without configuration works. To change an option give ` + "`ingot serve --config FILE`" + ` a file of sections,
` + "`[section]`" + ` and ` + "`option = value`" + `, or set a variable ` + "`INGOT_SECTION__OPTION`" + `, which wins over the file; flags of
` + "`ingot serve`" + ` win over both. An unknown option is an error that names the nearest.
` + "`ingot config show`" + ` prints what is in force and where it came from.

Times are seconds, or a number with a unit such as ` + "`30m`" + `. Lists are divided by commas.
`)
	c := Defaults()
	comments := map[reflect.Type]map[string]string{}
	section := ""
	for _, o := range options(&c) {
		if o.section != section {
			section = o.section
			fmt.Fprintf(&b, "\n## [%s]\n\n| Option | Kind | Default | Meaning |\n|---|---|---|---|\n", section)
		}
		if comments[o.room] == nil {
			comments[o.room] = fieldComments(t, o.room)
		}
		meaning := comments[o.room][o.field.Name]
		if meaning == "" {
			t.Errorf("%s has no comment", o.name())
		}
		meaning = strings.TrimSpace(meaning + " " + o.more)
		value := o.text()
		if value != "" {
			value = "`" + value + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", o.key, o.kind(), value, meaning)
	}
	return b.Bytes()
}

// fieldComments reads the comments of a room's Config from its source, without the Go name they begin with.
func fieldComments(t *testing.T, room reflect.Type) map[string]string {
	t.Helper()
	dir := filepath.Join("../..", strings.TrimPrefix(room.PkgPath(), "ingot/"))
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok || spec.Name.Name != room.Name() {
				return true
			}
			if s, ok := spec.Type.(*ast.StructType); ok {
				for _, f := range s.Fields.List {
					for _, id := range f.Names {
						out[id.Name] = sentence(id.Name, f.Doc.Text())
					}
				}
			}
			return false
		})
	}
	return out
}

// sentence makes "Port is the TCP port." into "The TCP port.": a reader of the document knows no Go names.
func sentence(name, comment string) string {
	s := strings.Join(strings.Fields(comment), " ")
	s = strings.TrimPrefix(s, name+" ")
	for _, verb := range []string{"is ", "are "} {
		s = strings.TrimPrefix(s, verb)
	}
	if s == "" {
		return ""
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// The kinds of value that a room may declare but no option of today has.
func TestOtherKinds(t *testing.T) {
	var v struct {
		Password secret.Secret  `key:"password"`
		Priority map[string]int `key:"priority"`
		Root     string         `key:"root" is:"path"`
		Collect  string         `key:"collect" oneof:"always,never"`
	}
	field := func(i int) *option {
		r := reflect.ValueOf(&v).Elem()
		return &option{section: "s", key: "k", value: r.Field(i), field: r.Type().Field(i)}
	}
	if err := field(0).parse("canary-9"); err != nil || v.Password.Expose() != "canary-9" || field(0).text() != secret.Mask {
		t.Errorf("secret: %v, %q", err, field(0).text())
	}
	if err := field(1).parse("a.b: 5, c:0"); err != nil || field(1).text() != "a.b:5,c:0" {
		t.Errorf("map: %v, %q", err, field(1).text())
	}
	if err := field(1).parse("a"); err == nil {
		t.Error("a name without a number was read")
	}
	for _, x := range []struct {
		field      int
		good, want string
		bad        string
	}{{2, "/srv", "path", "srv"}, {3, "never", "always, never", "sometimes"}} {
		o := field(x.field)
		if err := o.parse(x.good); err != nil || o.text() != x.good || o.kind() != x.want {
			t.Errorf("%s: %v, %q, %q", x.good, err, o.text(), o.kind())
		}
		if err := o.parse(x.bad); err == nil {
			t.Errorf("%s was taken", x.bad)
		}
	}
}

// What the URL of a vendordata target keeps secret is not shown, and is in force.
func TestTargetsAreShownMasked(t *testing.T) {
	l, err := Load("", []string{"INGOT_API__VENDORDATA_DYNAMIC_TARGETS=a@https://user:canary@v.example.org/x?token=canary, b@http://192.0.2.1/, broken:canary"})
	if err != nil {
		t.Fatal(err)
	}
	if got := l.Config.Vendordata.VendordataDynamicTargets; len(got) != 3 || got[0] != "a@https://user:canary@v.example.org/x?token=canary" {
		t.Errorf("in force: %d", len(got))
	}
	for _, s := range l.Settings() {
		if s.Option == "vendordata_dynamic_targets" && s.Value != "a@https://******@v.example.org/x?******,b@http://192.0.2.1/,******" || strings.Contains(s.Value, "canary") {
			t.Errorf("shown: %s", s.Value)
		}
	}
}
