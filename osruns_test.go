package ingot_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// starters are the files of the control plane that start programs, with the reason. Scripts of OS definitions are not among what they
// start: they run on the machine that is installed, nowhere else.
var starters = map[string]string{
	"internal/ramdisk/base.go":     "the tools that make ramdisks, of the distribution",
	"internal/ramdisk/depmod.go":   "depmod",
	"internal/ramdisk/packages.go": "the tools that take packages apart",
	"internal/ramdisk/sources.go":  "apt-get",
	"internal/store/keysource.go":  "the operator's command that gives the sealing key",
}

// scriptRooms are the rooms that run scripts of definitions, or help to.
var scriptRooms = []string{"agent/osinstall", "agent/confine", "agent/overlay"}

// TestREQ15NothingHereRunsScripts: no file of the control plane starts a program, but those above, which have nothing to do with definitions; and
// what runs scripts is in no package that the server is made of. So there is no code path to one, for any verb.
func TestREQ15NothingHereRunsScripts(t *testing.T) {
	all := map[string]goPackage{}
	for _, p := range listed(t) {
		all[p.ImportPath] = p
	}
	server := needed(all, module+"/cmd/ingot")
	found := map[string]bool{}
	for at := range server {
		p := all[at]
		if slices.Contains(scriptRooms, p.dir()) {
			t.Errorf("the server is made of %s, too, which runs scripts of OS definitions", p.dir())
		}
		for _, name := range p.GoFiles {
			file := filepath.ToSlash(filepath.Join(p.dir(), name))
			does, knows := startsPrograms(t, file)
			if does && strings.HasPrefix(file, "lab/") { // machines of QEMU, on the host of who rehearses
				continue
			}
			if does && starters[file] == "" {
				t.Errorf("%s starts programs: if it must, and no script of a definition can be one, give it a line here", file)
			}
			if does && knows {
				t.Errorf("%s starts programs and knows what OS definitions are", file)
			}
			if does {
				found[file] = true
			}
		}
	}
	for _, file := range slices.Sorted(maps.Keys(starters)) {
		if !found[file] {
			t.Errorf("%s is said to start programs, and does not", file)
		}
	}
	if agent := needed(all, module+"/cmd/ingot-agent"); !agent[module+"/agent/osinstall"] || !agent[module+"/agent/confine"] {
		t.Error("the agent runs no scripts: what is looked for here is somewhere else")
	}
}

// needed are our packages that a program is made of.
func needed(all map[string]goPackage, from string) map[string]bool {
	out, todo := map[string]bool{}, []string{from}
	for len(todo) > 0 {
		at := todo[0]
		todo = todo[1:]
		if out[at] || !ours(at) {
			continue
		}
		out[at] = true
		todo = append(todo, all[at].Imports...)
	}
	return out
}

// startsPrograms tells whether a file has a way to start a program, and whether it knows of OS definitions.
func startsPrograms(t *testing.T, file string) (does, knows bool) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	f, err := parser.ParseFile(token.NewFileSet(), file, text, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range f.Imports {
		switch at, _ := strconv.Unquote(i.Path.Value); at {
		case "os/exec", "plugin":
			does = true
		case module + "/internal/osdef":
			knows = true
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		call, is := n.(*ast.SelectorExpr)
		if !is {
			return true
		}
		if x, is := call.X.(*ast.Ident); is && slices.Contains([]string{"os.StartProcess", "syscall.Exec", "syscall.ForkExec", "syscall.StartProcess", "unix.Exec"}, x.Name+"."+call.Sel.Name) {
			does = true
		}
		return true
	})
	return does, knows
}
