package ingot_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// floors is the tree: every room and how high it lies. A room may import lower floors only, never one beside
// it and never one above. A folder below a room is an inner room, part of its parent. A new room needs a
// line here and a reason no other room can hold it.
var floors = map[string]int{
	"cmd/ingot":       8,
	"cmd/ingot-agent": 8,

	"lab":            7, // machines, networks, their command line
	"lab/bmc":        7, // emulated BMCs: nothing of ours
	"lab/vswitch":    7, // the lab's switch: nothing of ours
	"lab/vendordata": 7, // a vendordata target to copy: nothing of ours
	"lab/simulate":   7, // many machines that are only structs
	"lab/guest":      7, // the operating system image that the lab deploys
	"lab/demo":       7, // the main job, narrated
	"lab/bench":      7, // programs that measure us beside other tools
	"lab/oracle":     7, // the same requests to Debian's Ironic and to us: answers are compared, not speed
	"lab/e2e":        7, // end-to-end tests; nothing but tests

	// Debian's Ironic and ours as programs on loopback. The oracle and the benches share it, and are on one floor.
	"lab/beside": 6,

	"lab/ports":       0, // a port for a program that is about to start; tests of any room use it
	"internal/fault":  0,
	"internal/secret": 0,
	"internal/unpack": 0, // what takes the packing off archives of strangers: osdef and the agent use it, and no room that both may import is about archives

	"internal/metal":    1,
	"internal/policy":   1,
	"internal/wire":     1,
	"internal/agentapi": 1,
	"internal/image":    1,
	"internal/source":   1,
	"internal/seed":     1,
	"internal/courier":  1,
	"internal/watched":  1, // files that are read again when they change: identity's users, keystone's certificates, vendordata's keys
	"internal/osdef":    1, // OS definitions: what their files and parameters are; images, seeds and rules have none of it
	"internal/signing":  1, // of EFI programs: bytes in, bytes out; no room of images has to do with boot loaders

	"internal/channel":  2, // what an installation reads and says by HTTP: the agent and the metadata service serve it, and neither may import the other
	"internal/store":    2,
	"internal/keystone": 2, // this server's log-in to Keystone: four rooms on floor 3 have a user there, and none may import another
	"internal/rules":    2, // inspection rules over metal's types: pure, for ops, which checks them, and conductor, which runs them

	"internal/depot":          3,
	"internal/identity":       3,
	"internal/peer":           3,
	"internal/vendordata":     3,
	"internal/origin":         3, // where an image comes from: registries and Glance are neither drivers nor downloads
	"internal/driver/redfish": 3,
	"internal/driver/ipmi":    3,
	"internal/driver/neutron": 3,
	"internal/driver/vswitch": 3,
	"internal/driver/fake":    3,
	"internal/client":         3,

	"internal/ops":       4,
	"internal/conductor": 4,

	"internal/api":      5,
	"internal/netboot":  5,
	"internal/metadata": 5,

	// What the rooms' hooks count and trace; cmd puts it in. A room of its own keeps the libraries out of all others.
	"internal/telemetry": 6,

	"internal/ramdisk": 6,
	"internal/cli":     6,
	"internal/config":  6,

	"agent": 6, // what runs on the machine; agentMay below is its narrower rule
	"web":   5, // static files

	"examples": 8, // programs as strangers would write them: nothing of ours
}

// agentMay is all of ours that the agent may use: it is in every ramdisk.
var agentMay = []string{"internal/agentapi", "internal/image", "internal/source", "internal/fault", "internal/secret", "internal/osdef", "internal/channel", "internal/unpack"}

// never lists what the floors alone would allow. The reason is printed when the rule is broken.
var never = []struct{ from, to, reason string }{
	{"internal/api", "internal/conductor", "they meet in the store"},
	{"internal/netboot", "internal/conductor", "they meet in the store"},
	{"internal/metadata", "internal/conductor", "they meet in the store"},
}

// wireMay are the rooms below the roof that may use the JSON shapes of the REST API.
var wireMay = []string{"internal/api", "internal/client"}

// impure are the standard packages that mean I/O. The pure rooms are floors 0 and 1.
var impure = []string{"net/http", "net/rpc", "net/smtp", "os", "os/exec", "os/signal", "database/sql", "syscall", "plugin"}

// maySpeak are the rooms on floor 1 that do I/O all the same.
var maySpeak = []string{"internal/agentapi", "internal/source", "internal/watched"}

// mayAsk are packages that a pure room may use all the same: secret asks the kernel to lock its own memory, and no more.
var mayAsk = map[string]string{"internal/secret": "syscall"}

// formats are the modules that floors 0 and 1 may use: formats, codecs, protocols.
var formats = []string{
	"github.com/diskfs/go-diskfs", "github.com/evanphx/json-patch/v5", "github.com/foxboron/go-uefi", "github.com/google/uuid", "github.com/klauspost/compress",
	"github.com/santhosh-tekuri/jsonschema/v6", "github.com/mikelolasagasti/xz", "golang.org/x/crypto", "golang.org/x/text",
	"gopkg.in/ini.v1", "gopkg.in/yaml.v3",
}

const module = "ingot"

// goPackage is what go list tells of one of our packages.
type goPackage struct {
	ImportPath   string
	Doc          string
	GoFiles      []string
	Imports      []string
	TestImports  []string
	XTestImports []string
}

// dir is the package's folder, relative to the root of the tree; "." for the root.
func (p goPackage) dir() string { return relative(p.ImportPath) }

func relative(importPath string) string {
	if importPath == module {
		return "."
	}
	return strings.TrimPrefix(importPath, module+"/")
}

func ours(importPath string) bool {
	return importPath == module || strings.HasPrefix(importPath, module+"/")
}

// packages runs go list once for all tests of this folder.
var packages = sync.OnceValues(func() ([]goPackage, error) {
	out, err := exec.Command("go", "list", "-json=ImportPath,Doc,GoFiles,Imports,TestImports,XTestImports", "./...").Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = errors.New(string(exit.Stderr))
		}
		return nil, err
	}
	var all []goPackage
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		switch err := d.Decode(&p); err {
		case nil:
			all = append(all, p)
		case io.EOF:
			return all, nil
		default:
			return nil, err
		}
	}
})

func listed(t *testing.T) []goPackage {
	t.Helper()
	all, err := packages()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	if len(all) < 4 {
		t.Fatalf("go list found %d packages only", len(all))
	}
	return all
}

// room finds the room that a folder is, or is inside of.
func room(dir string) (string, bool) {
	for d := dir; d != "." && d != "/"; d = path.Dir(d) {
		if _, found := floors[d]; found {
			return d, true
		}
	}
	return "", false
}

// cupboard tells whether a folder holds helpers for tests ("internal/store/storetest").
func cupboard(dir string) bool { return strings.HasSuffix(path.Base(dir), "test") }

func TestImportsGoDownOnly(t *testing.T) {
	for _, p := range listed(t) {
		dir := p.dir()
		if len(p.GoFiles) == 0 || cupboard(dir) {
			continue
		}
		from, found := room(dir)
		if !found {
			t.Errorf("%s is in no room: give it a line in floors, with a reason no other room can hold it", dir)
			continue
		}
		for _, imported := range p.Imports {
			if !ours(imported) {
				continue
			}
			if reason := forbidden(dir, from, relative(imported)); reason != "" {
				t.Errorf("%s must not import %s: %s", dir, relative(imported), reason)
			}
		}
	}
}

// forbidden says why the package in dir, of room from, may not import the package in to; "" if it may.
func forbidden(dir, from, to string) string {
	if cupboard(to) {
		if from == "lab/bench" {
			return "" // what measures is no part of the product
		}
		return "it is for tests only"
	}
	target, found := room(to)
	if !found {
		return "it is in no room"
	}
	if target == from {
		return ""
	}
	// The agent's parts are put together by its program and measured one by one; every other inner room is its
	// parent's alone.
	if to != target && !(target == "agent" && (from == "cmd/ingot-agent" || from == "lab/bench")) {
		return "it is an inner room of " + target
	}
	if from == "lab/bmc" || from == "lab/vswitch" || from == "lab/vendordata" {
		return "an emulator that shares code with the driver shares its mistakes"
	}
	if from == "examples" {
		return "an example shows what a stranger can write"
	}
	if from == "agent" && !slices.Contains(agentMay, target) {
		return "the agent is in every ramdisk and may use only " + strings.Join(agentMay, ", ")
	}
	for _, n := range never {
		if n.from == from && n.to == target {
			return n.reason
		}
	}
	if target == "internal/wire" && floors[from] < 6 && !slices.Contains(wireMay, from) {
		return "the REST API's JSON is for " + strings.Join(wireMay, ", ") + " and the roof"
	}
	if path.Dir(target) == from {
		return "" // a parent and the rooms in its own folder: lab and lab/bmc
	}
	switch {
	case floors[target] == floors[from]:
		return "that is sideways"
	case floors[target] > floors[from]:
		return "that is up"
	}
	return ""
}

// TestTheRuleItself breaks the rule in every way that it knows.
func TestTheRuleItself(t *testing.T) {
	for _, c := range []struct {
		from, to string
		allowed  bool
	}{
		{"internal/ops", "internal/store", true},
		{"internal/ops", "internal/conductor", false},        // sideways
		{"internal/store", "internal/ops", false},            // up
		{"internal/api", "internal/conductor", false},        // by name
		{"internal/api", "internal/ops", true},               //
		{"internal/api", "internal/netboot", false},          // doors
		{"internal/netboot", "internal/netboot/dhcp", true},  // own inner room
		{"internal/api", "internal/store/migrations", false}, // another's inner room
		{"internal/conductor", "internal/wire", false},       //
		{"internal/client", "internal/wire", true},           //
		{"internal/cli", "internal/wire", true},              // the roof
		{"agent/disk", "agent/server", true},                 //
		{"agent/disk", "internal/image", true},               //
		{"agent/disk", "internal/metal", false},              //
		{"cmd/ingot-agent", "agent/server", true},            //
		{"lab/bench/imagebench", "agent/disk", true},         //
		{"lab/bench/imagebench", "internal/image/imagetest", true},
		{"internal/cli", "agent/disk", false},                    // another's inner room
		{"lab", "lab/bmc", true},                                 //
		{"lab/bmc", "internal/fault", false},                     //
		{"lab/vswitch", "internal/driver/vswitch", false},        //
		{"lab/vendordata", "internal/vendordata", false},         //
		{"examples/firmware-check", "internal/fault", false},     //
		{"lab/demo", "lab/guest", false},                         // sideways
		{"cmd/ingot", "internal/store/storetest", false},         // a test's cupboard
		{"internal/driver/redfish", "internal/conductor", false}, // by shape, not by import
	} {
		from, _ := room(c.from)
		if got := forbidden(c.from, from, c.to); (got == "") != c.allowed {
			t.Errorf("%s importing %s: %q", c.from, c.to, got)
		}
	}
}

func TestGroundFloorsArePure(t *testing.T) {
	for _, p := range listed(t) {
		r, found := room(p.dir())
		if !found || floors[r] > 1 || cupboard(p.dir()) {
			continue
		}
		for _, imported := range p.Imports {
			first, _, _ := strings.Cut(imported, "/")
			switch {
			case ours(imported):
			case !strings.Contains(first, "."): // the standard library
				if slices.Contains(impure, imported) && !slices.Contains(maySpeak, r) && mayAsk[r] != imported {
					t.Errorf("%s imports %s: floors 0 and 1 do no I/O", p.dir(), imported)
				}
			case !slices.ContainsFunc(formats, func(m string) bool { return imported == m || strings.HasPrefix(imported, m+"/") }):
				t.Errorf("%s imports %s, which is not among the formats that floors 0 and 1 may use", p.dir(), imported)
			}
		}
	}
}

func TestEveryPackageSaysWhatItIsFor(t *testing.T) {
	for _, p := range listed(t) {
		if len(p.GoFiles) > 0 && p.Doc == "" {
			t.Errorf("%s has no package comment: say what it is for, what not, who calls it", p.dir())
		}
	}
}

const maxLines = 1000

func TestNoFileIsTheProduct(t *testing.T) {
	files := 0
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "bin"):
			return fs.SkipDir
		case d.IsDir() || filepath.Ext(name) != ".go" || strings.HasSuffix(name, "_gen.go"):
			return nil
		}
		files++
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		n := 0
		s := bufio.NewScanner(f)
		s.Buffer(nil, 1<<20)
		for s.Scan() {
			n++
		}
		if n > maxLines {
			t.Errorf("%s has %d lines, more than %d: what is the second idea in it?", name, n, maxLines)
		}
		return s.Err()
	})
	if err != nil || files == 0 {
		t.Fatalf("%d files: %v", files, err)
	}
}
