package erase

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestSamplesStayWithinWhatWasErased(t *testing.T) {
	for name, spans := range map[string][]Span{
		"a disk":           {{0, 1 << 30}},
		"a small one":      {{0, 512}},
		"one page":         {{0, samplePage}},
		"odd partitions":   {{512, 700}, {1 << 20, 4097}, {5 << 20, 0}},
		"more than can be": make([]Span, 1000),
		"none":             nil,
	} {
		got := places(spans)
		if len(got) > maxSamples {
			t.Errorf("%s: %d samples", name, len(got))
		}
		for _, p := range got {
			inside := false
			for _, s := range spans {
				inside = inside || p.Start >= s.Start && p.Start+p.Size <= s.Start+s.Size && p.Size > 0
			}
			if !inside {
				t.Errorf("%s: %+v is outside of %+v", name, p, spans)
			}
		}
	}
	if got := places([]Span{{0, 1 << 30}}); len(got) != maxSamples || got[0].Start != 0 || got[len(got)-1].Start != 1<<30-samplePage {
		t.Errorf("both ends of a disk: %+v", got)
	}
}

// TestWhatIsNotZeroIsNotProved: between the erase and the certificate something wrote, or the disk lied.
func TestWhatIsNotZeroIsNotProved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(path, make([]byte, 8<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	f := finding{how: "x", method: ByDiscard, passes: 1}
	if r, err := d.proved(f, time.Now()); err != nil || r.Proof == nil || r.Proof.ReadBack.Zero != r.Proof.ReadBack.Samples || r.Proof.ReadBack.Samples < 32 {
		t.Fatalf("%+v, %v", r.Proof, err)
	}
	if _, err := d.file.WriteAt([]byte("old"), 8<<20-3); err != nil {
		t.Fatal(err)
	}
	if r, err := d.proved(f, time.Now()); err == nil || r.Proof != nil || !strings.Contains(err.Error(), "not zero") {
		t.Errorf("%+v, %v", r, err)
	}
	if r, err := d.proved(finding{how: "x"}, time.Now()); err != nil || r.Proof != nil {
		t.Errorf("nothing was compared: %+v, %v", r, err)
	}
}
