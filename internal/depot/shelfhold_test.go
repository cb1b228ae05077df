package depot

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"ingot/internal/fault"
)

func TestShelfFilesGoWithTheirLastHolder(t *testing.T) {
	dir := t.TempDir()
	s := newShelf(t, dir, ShelfOptions{})
	f := shelfFile(0, "an image")
	f.Holder = "one"
	s.put(t, f, "an image")
	if there, err := s.Hold(f.Name, "two", f.Expires.Add(time.Hour)); err != nil || !there {
		t.Fatalf("held: %v, %v", there, err)
	}
	if there, err := s.Hold(strings.Repeat("z", 40), "two", f.Expires); err != nil || there {
		t.Errorf("what is not there: %v, %v", there, err)
	}
	f.Holder = "three"
	s.put(t, f, "") // it is there: nothing is read
	s = newShelf(t, dir, ShelfOptions{})
	for _, who := range []string{"three", "one", "nobody"} {
		if err := s.Release(who); err != nil {
			t.Fatal(err)
		}
		if code, body := shelfGet(t, s, PushedPath(f.Name, "image"), ""); code != 200 || body != "an image" {
			t.Errorf("without %s: %d %q", who, code, body)
		}
	}
	s.now = func() time.Time { return f.Expires } // of those that are gone
	if all, err := s.List(); err != nil || len(all) != 1 {
		t.Errorf("the last holder's time is not over: %+v, %v", all, err)
	}
	if err := s.Release("two"); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	for _, who := range []string{"../x", strings.Repeat("x", 65)} {
		if _, err := s.Hold(f.Name, who, f.Expires.Add(time.Hour)); fault.KindOf(err) != fault.Invalid {
			t.Errorf("holder %q: %v", who, err)
		}
	}
}

func TestShelfFetchesWhatIsGood(t *testing.T) {
	dir := t.TempDir()
	s := newShelf(t, dir, ShelfOptions{MaxFile: 30, Quota: 40})
	name := strings.Repeat("i", 43)
	want := Pushed{Name: name, Holder: "n1", Expires: time.Now().Add(time.Hour)}
	bad := fault.New(fault.Invalid, "another checksum")
	for what, c := range map[string]struct {
		body string
		good error
		kind fault.Kind
	}{
		"a wrong checksum":  {"content", bad, fault.Invalid},
		"one that is large": {strings.Repeat("x", 31), nil, fault.TooLarge},
	} {
		if _, err := s.Fetch(t.Context(), want, strings.NewReader(c.body), func() error { return c.good }); fault.KindOf(err) != c.kind || c.good != nil && !errors.Is(err, c.good) {
			t.Errorf("%s: %v", what, err)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) != 0 || len(s.promise) != 0 {
			t.Errorf("%s left %v, %v, %v", what, left, s.promise, err)
		}
	}
	f, err := s.Fetch(t.Context(), want, strings.NewReader(strings.Repeat("y", 30)), func() error { return nil })
	if err != nil || f.Size != 30 {
		t.Fatalf("fetched %+v, %v", f, err)
	}
	if code, body := shelfGet(t, s, PushedPath(name, "image"), ""); code != 200 || len(body) != 30 {
		t.Errorf("%d %q", code, body)
	}
	want.Name = strings.Repeat("j", 43)
	if _, err := s.Fetch(t.Context(), want, strings.NewReader(strings.Repeat("y", 11)), func() error { return nil }); fault.KindOf(err) != fault.TooLarge {
		t.Errorf("beyond the quota: %v", err)
	}
	file, g, err := s.Open(name)
	if err != nil || g.SHA256 != f.SHA256 {
		t.Fatalf("%+v, %v", g, err)
	}
	if err := errors.Join(file.Close(), s.Release("n1")); err != nil {
		t.Error(err)
	}
}

// TestFetchedTwiceIsHeldByBoth: two machines whose downloads of one image overlap both hold it, whichever ends last.
func TestFetchedTwiceIsHeldByBoth(t *testing.T) {
	dir := t.TempDir()
	s := newShelf(t, dir, ShelfOptions{})
	f := Pushed{Name: strings.Repeat("i", 43), Expires: time.Now().Add(time.Hour)}
	for _, who := range []string{"n1", "n2"} {
		f.Holder = who
		if _, err := s.Fetch(t.Context(), f, strings.NewReader("an image"), func() error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Release("n2"); err != nil {
		t.Fatal(err)
	}
	if code, body := shelfGet(t, s, PushedPath(f.Name, "image"), ""); code != 200 || body != "an image" {
		t.Errorf("the first has %d %q when the second is done", code, body)
	}
	if err := s.Release("n1"); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}
