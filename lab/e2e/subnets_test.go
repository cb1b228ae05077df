package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// TestLabsHaveTheirOwnSubnets: labs stand side by side, those of another package, too, and a lab refuses a subnet that is in use.
func TestLabsHaveTheirOwnSubnets(t *testing.T) {
	files, err := filepath.Glob("../*_test.go")
	here, err2 := filepath.Glob("*_test.go")
	if err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	subnet := regexp.MustCompile(`"198\.18\.\d+\.0/24"`)
	takenBy := map[string]string{}
	for _, name := range append(files, here...) {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range subnet.FindAllString(string(text), -1) {
			if other, taken := takenBy[s]; taken {
				t.Errorf("%s is of %s and of %s", s, other, name)
			}
			takenBy[s] = name
		}
	}
	if len(takenBy) < 10 {
		t.Errorf("%d subnets are found: they are written in another way now", len(takenBy))
	}
}
