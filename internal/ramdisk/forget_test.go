package ramdisk

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// TestForgetTakesWhatNobodyUses: the oldest systems, and what builds that were killed have left; what another build is writing stays.
func TestForgetTakesWhatNobodyUses(t *testing.T) {
	dir := t.TempDir()
	file := func(name string, age time.Duration) {
		path, at := filepath.Join(dir, name), time.Now().Add(-age)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{"writing.part"}
	for i := range basesKept {
		name := string(rune('a'+i)) + ".tar"
		file(name, time.Duration(i)*time.Hour)
		want = append(want, name)
	}
	file("oldest.tar", 1000*time.Hour)
	file("killed.part", 3*baseLimit)
	file("writing.part", 0)
	if err := forget(dir); err != nil {
		t.Fatal(err)
	}
	var got []string
	left, err := os.ReadDir(dir)
	for _, e := range left {
		got = append(got, e.Name())
	}
	slices.Sort(want)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("left: %v, want %v; %v", got, want, err)
	}
}
