package source_test

import (
	"strings"
	"testing"

	"ingot/internal/fault"
	"ingot/internal/source"
)

// TestAnAddressThatIsAllPassword: an image is called by the last part of its address, which must not be the one with the password.
func TestAnAddressThatIsAllPassword(t *testing.T) {
	for _, image := range []string{"https://user:hunter2@h", "https://user:hunter2@h/", "https://user:hunter2@h//?x=1"} {
		_, err := source.KindOf(image)
		if public, _ := fault.PublicOf(err); fault.KindOf(err) != fault.Invalid || strings.Contains(public, "hunter2") {
			t.Errorf("%s: %v", image, err)
		}
	}
	for _, image := range []string{"https://h", "https://h/?image=7", "https://user:hunter2@h/disk.raw"} {
		if kind, err := source.KindOf(image); kind != source.HTTP || err != nil {
			t.Errorf("%s: %q, %v", image, kind, err)
		}
	}
}
