package ingot_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	inBackticks = regexp.MustCompile("`([^`\n]+)`")
	aPath       = regexp.MustCompile(`^\.?[A-Za-z0-9_-][A-Za-z0-9_.*-]*(/[A-Za-z0-9_.*-]+)+/?$`)
	aTarget     = regexp.MustCompile(`^make ([a-z-]+)$`)
	aMarkdown   = regexp.MustCompile(`\]\(([^)#:\s]+)(#[^)]*)?\)`)
)

// treeTops are the folders whose names make a word in backticks a path of this tree.
var treeTops = []string{".ci", "agent", "cmd", "docs", "examples", "internal", "lab", "scripts", "web"}

// documents lists the README and everything under docs.
func documents(t *testing.T) []string {
	t.Helper()
	names, err := filepath.Glob("*.md")
	if err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir("docs", func(name string, d fs.DirEntry, err error) error {
		if err == nil && filepath.Ext(name) == ".md" {
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestPathsInDocsExist(t *testing.T) {
	checked := 0
	for _, doc := range documents(t) {
		text, err := os.ReadFile(doc)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range inBackticks.FindAllStringSubmatch(string(text), -1) {
			word, _, _ := strings.Cut(m[1], ":") // a line number may follow
			top, _, _ := strings.Cut(word, "/")
			if !aPath.MatchString(word) || !slices.Contains(treeTops, top) {
				continue
			}
			checked++
			if found, err := filepath.Glob(word); err != nil || len(found) == 0 {
				t.Errorf("%s names %s, which does not exist", doc, word)
			}
		}
		for _, m := range aMarkdown.FindAllStringSubmatch(string(text), -1) {
			checked++
			if _, err := os.Stat(filepath.Join(filepath.Dir(doc), m[1])); err != nil {
				t.Errorf("%s links to %s: %v", doc, m[1], err)
			}
		}
	}
	if checked == 0 {
		t.Error("no path was found in any document: the pattern is broken")
	}
}

func TestMakeTargetsInDocsExist(t *testing.T) {
	makefile, err := os.ReadFile("Makefile")
	if err != nil {
		t.Fatal(err)
	}
	for _, doc := range documents(t) {
		text, err := os.ReadFile(doc)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range inBackticks.FindAllStringSubmatch(string(text), -1) {
			target := aTarget.FindStringSubmatch(m[1])
			if target != nil && !strings.Contains("\n"+string(makefile), "\n"+target[1]+":") {
				t.Errorf("%s names make %s, which the Makefile does not have", doc, target[1])
			}
		}
	}
}

// houseTargets are what every developer may count on.
var houseTargets = []string{"help", "build", "test", "demo", "lab-full", "race", "lint", "fuzz", "gen", "bench", "check", "clean"}

func TestMakeHelpTellsEveryTarget(t *testing.T) {
	makefile, err := os.ReadFile("Makefile")
	if err != nil {
		t.Fatal(err)
	}
	for _, target := range houseTargets {
		if !regexp.MustCompile(`(?m)^` + target + `:.*## \S`).Match(makefile) {
			t.Errorf("the Makefile has no target %s with a line for make help", target)
		}
	}
}
