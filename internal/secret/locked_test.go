package secret

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
)

// A locked value is lent as it was given, what it was given in is wiped, and after Wipe there is nothing.
func TestLocked(t *testing.T) {
	for _, size := range []int{0, 1, 32, 4095, 4096, 70000} {
		given := bytes.Repeat([]byte{7}, size)
		l := Lock(given)
		if bytes.ContainsAny(given, "\x07") {
			t.Errorf("%d bytes: what was given is not wiped", size)
		}
		l.Use(func(b []byte) {
			if !bytes.Equal(b, bytes.Repeat([]byte{7}, size)) {
				t.Errorf("%d bytes: lent are %d others", size, len(b))
			}
		})
		l.Wipe()
		l.Wipe()
		l.Use(func(b []byte) {
			if len(b) != 0 {
				t.Errorf("%d bytes: %d are left", size, len(b))
			}
		})
	}
	text := Lock([]byte("canary"))
	if out := fmt.Sprintf("%v %+v %#v %s", text, text, text, text); strings.Contains(out, "canary") {
		t.Errorf("a locked value can be printed: %s", out)
	}
	if _, err := text.MarshalText(); err == nil {
		t.Error("a locked value can be marshalled")
	}
	var all sync.WaitGroup
	for range 4 { // whoever uses it holds the pages until the end
		all.Go(func() {
			text.Use(func(b []byte) {
				if len(b) != 0 && string(b) != "canary" {
					t.Errorf("lent is %q", b)
				}
			})
			text.Wipe()
		})
	}
	all.Wait()
}

// The kernel says of the pages that they are locked and not dumped: the flags lo and dd of smaps. Source: Linux,
// Documentation/filesystems/proc.rst.
func TestPagesAreLocked(t *testing.T) {
	const size = 3 << 20
	l := Lock(make([]byte, size))
	defer l.Wipe()
	if err := Unlocked(); err != nil {
		t.Skipf("this system locks no pages: %v", err)
	}
	text, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Skipf("there is no smaps here: %v", err)
	}
	for _, flags := range strings.Split(string(text), "VmFlags:")[1:] {
		line, _, _ := strings.Cut(flags, "\n")
		if words := " " + line + " "; strings.Contains(words, " lo ") && strings.Contains(words, " dd ") {
			return
		}
	}
	t.Error("no pages of this process are locked and kept out of dumps")
}
