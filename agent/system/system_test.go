package system

import (
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestListOfModules(t *testing.T) {
	got, err := parseModules(strings.NewReader("# storage\n/lib/a.ko\n\n  lib/b.ko.xz  x=1 y=2 # why\n"))
	want := []module{{"/lib/a.ko", ""}, {"lib/b.ko.xz", "x=1 y=2"}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%+v %v", got, err)
	}
}

func TestAModuleThatDoesNotLoadIsLeftOut(t *testing.T) {
	var log strings.Builder
	logger := slog.New(slog.NewTextHandler(&log, nil))
	dir := t.TempDir()
	list := filepath.Join(dir, "modules")
	if n, err := LoadModules(logger, dir, list); n != 0 || err != nil {
		t.Error("no list:", n, err)
	}
	if err := os.WriteFile(list, []byte("gone.ko\n/also/gone.ko\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	n, err := LoadModules(logger, dir, list)
	if n != 0 || err != nil || strings.Count(log.String(), "module not loaded") != 2 {
		t.Error(n, err, log.String())
	}
}
