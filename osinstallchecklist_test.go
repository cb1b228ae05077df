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

// osInstallRequirements is how many requirements docs/checklists/os-install.md lists.
const osInstallRequirements = 31

// aREQ is the name of a test that shows one requirement of OS installation, or several: TestREQ07And26NothingOfItIsLogged.
var aREQ = regexp.MustCompile(`^TestREQ(\d\d(?:And\d\d)*)[A-Z]`)

// notShown is what stands where no test shows a requirement.
const notShown = "not yet"

// TestRequirementsOfOSInstallAreShown: every requirement of docs/checklists/os-install.md is in it once, in order, and its row names
// exactly the tests that are named after it, and of other tests only such as are in the tree. With -update the rows get their tests.
func TestRequirementsOfOSInstallAreShown(t *testing.T) {
	const file = "docs/checklists/os-install.md"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	all, after := testsOfTheTree(t), map[string][]string{} // numbers, with the tests that are named after them
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if of := aREQ.FindStringSubmatch(name); of != nil {
			for _, number := range aNumber.FindAllString(of[1], -1) {
				after[number] = append(after[number], "`"+name+"`")
			}
		}
	}
	rows, lines := 0, strings.Split(string(text), "\n")
	for i, line := range lines {
		cells := strings.Split(line, "|")
		if len(cells) != 5 || strings.HasPrefix(cells[1], " No.") || strings.HasPrefix(cells[1], "---") {
			continue
		}
		rows++
		if got := strings.TrimSpace(cells[1]); got != fmt.Sprint(rows) {
			t.Errorf("row %d is numbered %s", rows, got)
		}
		want := after[fmt.Sprintf("%02d", rows)]
		delete(after, fmt.Sprintf("%02d", rows))
		for _, m := range aTestName.FindAllStringSubmatch(cells[3], -1) { // what shows it besides
			if !aREQ.MatchString(m[1]) && all[m[1]] != "" {
				want = append(want, "`"+m[1]+"`")
			}
		}
		if len(want) == 0 {
			want = []string{notShown}
		}
		cells[3] = " " + strings.Join(want, ", ") + " "
		lines[i] = strings.Join(cells, "|")
		if lines[i] != line && !*update {
			t.Errorf("the row of REQ-%d is not\n%s\nrun: go test -run %s . -update", rows, lines[i], t.Name())
		}
	}
	if rows != osInstallRequirements {
		t.Errorf("%d requirements are listed, not %d", rows, osInstallRequirements)
	}
	for number, tests := range after {
		t.Errorf("there is no REQ-%s, which %s are named after", number, strings.Join(tests, ", "))
	}
	if *update {
		if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
