package erase

import (
	"bytes"
	"os"
	"strings"
	"sync"
	"testing"

	"ingot/internal/agentapi"
)

func TestOverwriting(t *testing.T) {
	for _, c := range []struct {
		name string
		o    Options
		how  string
		zero bool
	}{
		{"a discard is enough", Options{Iterations: 1, Zeroize: true}, Discarded, true},
		{"and samples are", Options{Iterations: 1, Zeroize: true, Sample: true}, Sampled, true},
		{"unless somebody insists", Options{Iterations: 2, Zeroize: true}, "overwritten with random bytes (2 times) and zeros, and verified", true},
		{"random bytes are left if wanted", Options{Iterations: 2}, "overwritten with random bytes (2 times), and verified", false},
	} {
		path := disk(t, 3<<20+512)
		before := read(t, path)
		how, err := Everything(t.Context(), []Disk{{Path: path}}, c.o)
		after := read(t, path)
		if err != nil || how[path].How != c.how || allZero(after) != c.zero || len(after) != len(before) {
			t.Errorf("%s: %v %v", c.name, how, err)
		}
		for at := 0; at+4096 <= len(after); at += 4096 {
			if bytes.Equal(before[at:at+4096], after[at:at+4096]) {
				t.Errorf("%s: the data at %d is still there", c.name, at)
			}
		}
	}
}

func TestOnlyWhatIsNotZeroIsOverwritten(t *testing.T) {
	path := disk(t, 1<<20)
	if err := os.Truncate(path, 2<<20); err != nil {
		t.Fatal(err)
	}
	d, err := open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	o := Options{Iterations: 1, Zeroize: true}
	for _, c := range []struct {
		s    Span
		want bool
	}{{Span{1 << 20, 1 << 20}, false}, {Span{0, 1 << 20}, true}, {Span{0, 1 << 20}, false}} {
		if did, err := o.empty(t.Context(), d, c.s); did != c.want || err != nil {
			t.Errorf("%+v: overwritten %v, %v", c.s, did, err)
		}
	}
	if o.words() != "overwritten with random bytes and zeros, and verified" || (Options{}).words() != "overwritten with zeros, and verified" {
		t.Error(o.words(), Options{}.words())
	}
	if err := d.scribble(t.Context(), Span{0, 1 << 20}, [32]byte{1}); err != nil {
		t.Fatal(err)
	}
	if err := d.scribbled(t.Context(), Span{0, 1 << 20}, [32]byte{2}); err == nil || !strings.Contains(err.Error(), "are not what they were overwritten with") {
		t.Error(err)
	}
}

func TestProgressOfEachDisk(t *testing.T) {
	a, b := disk(t, 1<<20), disk(t, 2<<20)
	if err := os.Rename(b, b+"b"); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var last agentapi.Progress
	_, err := Everything(t.Context(), []Disk{{Path: a}, {Path: b + "b"}}, Options{Parallel: 2, Progress: func(p agentapi.Progress) {
		mu.Lock()
		defer mu.Unlock()
		if p.Done >= last.Done {
			last = p
		}
	}})
	if err != nil || last.Done != 3<<20 || len(last.Parts) != 2 || last.Parts[0] != (agentapi.Part{Name: "disk", Done: 1 << 20, Total: 1 << 20}) ||
		last.Parts[1] != (agentapi.Part{Name: "diskb", Done: 2 << 20, Total: 2 << 20}) {
		t.Errorf("%+v %v", last, err)
	}
}
