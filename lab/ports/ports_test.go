package ports

import (
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
)

const asked = "INGOT_PORTS_ASKED"

// TestNobodyElseGetsIt: an address can be listened on, and no test gets it again, in this process or another.
func TestNobodyElseGetsIt(t *testing.T) {
	if os.Getenv(asked) == "1" {
		for range 300 {
			a, err := Free("127.0.0.1")
			if err != nil {
				t.Fatal(err)
			}
			os.Stdout.WriteString("got " + a + "\n")
		}
		return
	}
	a, err := Free("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", a)
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	mine := map[string]bool{a: true}
	for range 300 {
		b, err := Free("127.0.0.1")
		if err != nil {
			t.Fatal(err)
		}
		if mine[b] {
			t.Errorf("%s was given twice", b)
		}
		mine[b] = true
	}
	other := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestNobodyElseGetsIt$")
	other.Env = append(os.Environ(), asked+"=1")
	out, err := other.Output()
	if err != nil {
		t.Fatal(err)
	}
	theirs := 0
	for line := range strings.Lines(string(out)) {
		if b, ok := strings.CutPrefix(strings.TrimSpace(line), "got "); ok {
			theirs++
			if mine[b] {
				t.Errorf("another process got %s, too", b)
			}
		}
	}
	if theirs != 300 {
		t.Errorf("the other process got %d ports", theirs)
	}
}
