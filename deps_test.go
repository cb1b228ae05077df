package ingot_test

import (
	"flag"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite docs/deps")

// programs maps each program to the file that lists what it is made of.
var programs = map[string]string{
	"./cmd/ingot":       "docs/deps/server.txt",
	"./cmd/ingot-agent": "docs/deps/agent.txt",
}

// TestDepsAreCommitted keeps docs/deps equal to what the programs import, so that a new dependency is a line
// that somebody reviews. -update rewrites the files.
func TestDepsAreCommitted(t *testing.T) {
	for program, file := range programs {
		t.Run(program, func(t *testing.T) {
			if _, err := os.Stat(program); err != nil {
				t.Skipf("skipped: there is no %s in this tree", program)
			}
			want := "# Packages in " + strings.TrimPrefix(program, "./") + " beyond the standard library. Written by make gen.\n" + deps(t, program)
			if *update {
				if err := os.MkdirAll("docs/deps", 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			got, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != want {
				t.Errorf("%s is not what %s imports; run make gen and review the difference", file, program)
			}
		})
	}
}

// deps lists the packages that are linked into a program, sorted: ours and those of others.
func deps(t *testing.T, program string) string {
	t.Helper()
	cmd := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", program)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list -deps %s: %v", program, err)
	}
	lines := strings.Fields(string(out))
	slices.Sort(lines)
	return strings.Join(lines, "\n") + "\n"
}

// TestDependenciesAreExplained wants a row in docs/dependencies.md for every module that our code, tests
// included, imports itself.
func TestDependenciesAreExplained(t *testing.T) {
	doc, err := os.ReadFile("docs/dependencies.md")
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("go", "list", "-m", "all").Output()
	if err != nil {
		t.Fatalf("go list -m all: %v", err)
	}
	var modules []string
	for _, line := range strings.Split(string(out), "\n") {
		if f := strings.Fields(line); len(f) > 1 {
			modules = append(modules, f[0])
		}
	}
	// The longest path first: a module may lie inside another's path.
	slices.SortFunc(modules, func(a, b string) int { return len(b) - len(a) })
	for _, row := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllSubmatch(doc, -1) {
		if !slices.Contains(modules, string(row[1])) {
			t.Errorf("docs/dependencies.md explains %s, which go.mod does not have", row[1])
		}
	}
	said := map[string]bool{}
	for _, p := range listed(t) {
		for _, imported := range slices.Concat(p.Imports, p.TestImports, p.XTestImports) {
			i := slices.IndexFunc(modules, func(m string) bool { return imported == m || strings.HasPrefix(imported, m+"/") })
			if i < 0 || said[modules[i]] {
				continue
			}
			said[modules[i]] = true
			if !strings.Contains(string(doc), "| `"+modules[i]+"` |") {
				t.Errorf("%s imports %s: give it a row in docs/dependencies.md", p.dir(), modules[i])
			}
		}
	}
}
