package depot

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"ingot/internal/fault"
)

func putOne(t *testing.T, s *Shelf, name string, content []byte) Pushed {
	t.Helper()
	sum := sha256.Sum256(content)
	f := Pushed{Name: name, Size: int64(len(content)), SHA256: hex.EncodeToString(sum[:]), Expires: s.now().Add(time.Hour), Holder: "one"}
	if err := s.Put(t.Context(), f, bytes.NewReader(content)); err != nil {
		t.Fatal(err)
	}
	return f
}

// TestTrapCacheHitsAreVerifiedAgain: what lies on the shelf is read again before it is given to another machine, and one byte that is
// another makes it be nothing.
func TestTrapCacheHitsAreVerifiedAgain(t *testing.T) {
	s, err := OpenShelf(t.TempDir(), ShelfOptions{})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	s.now = func() time.Time { return now }
	name := strings.Repeat("n", 32)
	putOne(t, s, name, bytes.Repeat([]byte("image"), 1000))
	hold := func(who string) bool {
		t.Helper()
		there, err := s.Hold(name, who, now.Add(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		return there
	}
	if !hold("two") || !hold("three") {
		t.Fatal("a good file is not there")
	}
	at := s.path(name, shelfData)
	b, err := os.ReadFile(at)
	if err != nil {
		t.Fatal(err)
	}
	b[2500] ^= 1
	if err := os.WriteFile(at, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if hold("four") {
		t.Error("a file that was written to is held within the minute that it is believed")
	}
	if _, err := os.Stat(at); !os.IsNotExist(err) {
		t.Errorf("it is still on the disk: %v", err)
	}
	putOne(t, s, name, bytes.Repeat([]byte("image"), 1000))
	if !hold("five") {
		t.Error("what was brought anew is not there")
	}
	if s.verified[name].at != now {
		t.Error("it was not read")
	}
	now = now.Add(2 * verifiedFor)
	if !hold("six") || s.verified[name].at != now {
		t.Error("it was not read again")
	}
}

// TestRoomIsTakenBeforeTheFirstByte: a download whose size is known is refused before anything of it is fetched.
func TestRoomIsTakenBeforeTheFirstByte(t *testing.T) {
	s, err := OpenShelf(t.TempDir(), ShelfOptions{Quota: 1000})
	if err != nil {
		t.Fatal(err)
	}
	read := false
	body := readerFunc(func(p []byte) (int, error) { read = true; return 0, context.Canceled })
	f := Pushed{Name: strings.Repeat("n", 32), Size: 2000, Expires: time.Now().Add(time.Hour)}
	if _, err := s.Fetch(t.Context(), f, body, func() error { return nil }); fault.KindOf(err) != fault.TooLarge || read {
		t.Errorf("beyond the quota: %v, read: %v", err, read)
	}
	f.Size = 0
	endless := readerFunc(func(p []byte) (int, error) { return len(p), nil })
	if _, err := s.Fetch(t.Context(), f, endless, func() error { return nil }); fault.KindOf(err) != fault.TooLarge {
		t.Errorf("without an end: %v", err)
	}
	left, err := os.ReadDir(s.dir)
	if err != nil || len(left) != 0 {
		t.Errorf("there is left: %v, %v", left, err)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// TestManyWhoAskAreOneReading: a hundred machines that are deployed at once with one image do not have it read a hundred times.
func TestManyWhoAskAreOneReading(t *testing.T) {
	s, err := OpenShelf(t.TempDir(), ShelfOptions{})
	if err != nil {
		t.Fatal(err)
	}
	name := strings.Repeat("n", 32)
	putOne(t, s, name, bytes.Repeat([]byte("0123456789abcdef"), 1<<20))
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			if there, err := s.Verify(t.Context(), name); !there || err != nil {
				t.Errorf("%v, %v", there, err)
			}
		})
	}
	all.Wait()
	if s.readings != 1 || len(s.reading) != 0 {
		t.Errorf("it was read %d times; being read: %v", s.readings, s.reading)
	}
}
