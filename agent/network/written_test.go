package network

import (
	"os"
	"path/filepath"
	"testing"
)

// TestWhatWeWriteIsRead: the network data that the server writes for instances is data that a rescued machine can have, too.
func TestWhatWeWriteIsRead(t *testing.T) {
	files, err := filepath.Glob("../../internal/seed/testdata/network/*.json")
	if err != nil || len(files) < 9 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		p, err := Parse(raw)
		if want := filepath.Base(file) != "nothing.json"; err != nil || len(p.Links) > 0 != want {
			t.Errorf("%s: %d links, %v", file, len(p.Links), err)
		}
	}
}
