package ingot_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	aTestName = regexp.MustCompile("`((?:Test|Fuzz)[A-Z][A-Za-z0-9_]*)`")
	aTestFunc = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)[A-Z][A-Za-z0-9_]*)\(`)
)

// testsOfTheTree are the names of all tests, with the files they are in.
func testsOfTheTree(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(name, "_test.go") {
			return err
		}
		text, err := os.ReadFile(name)
		for _, m := range aTestFunc.FindAllStringSubmatch(string(text), -1) {
			out[m[1]] = name
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestSecurityNamesTests: every test that docs/security.md names exists, and every guarantee names one.
func TestSecurityNamesTests(t *testing.T) {
	text, err := os.ReadFile("docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	all := testsOfTheTree(t)
	named := aTestName.FindAllStringSubmatch(string(text), -1)
	if len(named) < 100 {
		t.Errorf("%d tests are named: is the document read right?", len(named))
	}
	for _, m := range named {
		if all[m[1]] == "" {
			t.Errorf("docs/security.md names %s, which is nowhere", m[1])
		}
	}
	guarantees, _, _ := strings.Cut(string(text), "## Who verifies an image")
	points := strings.Split(guarantees, "\n- **")[1:]
	for _, point := range points {
		if !aTestName.MatchString(point) {
			t.Errorf("this guarantee names no test: %.80s", point)
		}
	}
	if len(points) < 30 {
		t.Errorf("%d guarantees were found", len(points))
	}
}

// TestTrapsAreShown: every trap of docs/checklists/traps.md names a test that is in the tree.
func TestTrapsAreShown(t *testing.T) {
	text, err := os.ReadFile("docs/checklists/traps.md")
	if err != nil {
		t.Fatal(err)
	}
	all, rows := testsOfTheTree(t), 0
	for line := range strings.SplitSeq(string(text), "\n") {
		cells := strings.Split(line, "|")
		if len(cells) != 5 || strings.HasPrefix(cells[1], " Trap") || strings.HasPrefix(cells[1], "---") {
			continue
		}
		rows++
		tests := aTestName.FindAllStringSubmatch(cells[3], -1)
		if len(tests) == 0 {
			t.Errorf("no test shows the trap:%s", cells[1])
		}
		for _, m := range tests {
			if all[m[1]] == "" {
				t.Errorf("the trap%snames %s, which is nowhere", cells[1], m[1])
			}
		}
	}
	if rows < 22 {
		t.Errorf("%d traps are listed", rows)
	}
}
