package ingot_test

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	aRequirement = regexp.MustCompile(`^TestRequirement(\d\d(?:And\d\d)*)[A-Z]`)
	aNumber      = regexp.MustCompile(`\d\d`)
)

// requirementsOf are the numbers that a test is named after.
func requirementsOf(test string) []string {
	if of := aRequirement.FindStringSubmatch(test); of != nil {
		return aNumber.FindAllString(of[1], -1)
	}
	return nil
}

// metadataRequirements is how many requirements docs/checklists/metadata.md lists.
const metadataRequirements = 17

// TestRequirementsOfMetadataAreShown: every requirement of docs/checklists/metadata.md is in it once, in order, and names tests that
// are named after it and are in the tree; and every test that is named after a requirement is in its row.
func TestRequirementsOfMetadataAreShown(t *testing.T) {
	text, err := os.ReadFile("docs/checklists/metadata.md")
	if err != nil {
		t.Fatal(err)
	}
	all, rows := testsOfTheTree(t), 0
	listed := map[string][]string{} // tests, with the rows that they are in
	for line := range strings.SplitSeq(string(text), "\n") {
		cells := strings.Split(line, "|")
		if len(cells) != 5 || strings.HasPrefix(cells[1], " No.") || strings.HasPrefix(cells[1], "---") {
			continue
		}
		rows++
		number := fmt.Sprintf("%02d", rows)
		if got := strings.TrimSpace(cells[1]); got != fmt.Sprint(rows) {
			t.Errorf("row %d is numbered %s", rows, got)
		}
		named := 0
		for _, m := range aTestName.FindAllStringSubmatch(cells[3], -1) {
			if all[m[1]] == "" {
				t.Errorf("requirement %d names %s, which is nowhere", rows, m[1])
			}
			of := requirementsOf(m[1])
			if len(of) > 0 && !slices.Contains(of, number) {
				t.Errorf("requirement %d names %s, which is named after another", rows, m[1])
			}
			if len(of) > 0 {
				named++
				listed[m[1]] = append(listed[m[1]], number)
			}
		}
		if named == 0 {
			t.Errorf("no test is named after requirement %d:%s", rows, cells[2])
		}
	}
	if rows != metadataRequirements {
		t.Errorf("%d requirements are listed, not %d", rows, metadataRequirements)
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		for _, number := range requirementsOf(name) {
			if !slices.Contains(listed[name], number) {
				t.Errorf("%s (%s) is not in the row of requirement %s", name, all[name], number)
			}
		}
	}
}
