package ramdisk

import (
	"os"
	"path/filepath"
	"testing"

	"ingot/internal/depot"
)

// The data folder that a build makes is its owner's alone, as the server makes it; one that is there stays as it is.
func TestDefaultOutIsPrivate(t *testing.T) {
	t.Chdir(t.TempDir())
	out, err := defaultOut(depot.KindDebian)
	if err != nil || out != filepath.Join("ingot-data", "ramdisk-debian") {
		t.Fatalf("%q, %v", out, err)
	}
	info, err := os.Stat("ingot-data")
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o700 {
		t.Errorf("its mode is %#o", info.Mode().Perm())
	}
	if _, err := defaultOut(depot.KindDeploy); err != nil {
		t.Error(err)
	}
}
