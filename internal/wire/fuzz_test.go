package wire

import (
	"testing"

	"ingot/internal/fault"
)

// FuzzNegotiate: whatever the headers say, the version is one this server speaks, or the request is not acceptable.
func FuzzNegotiate(f *testing.F) {
	for _, s := range []string{"", "1.1", "latest", "1.115", "1.116", "2.1", "1.+5", "baremetal 1.3, compute 2.1", "baremetal\tlatest", "1.٣"} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, standard, legacy string) {
		minor, err := Negotiate([]string{standard}, legacy)
		if err != nil {
			if fault.KindOf(err) != fault.NotAcceptable || len(err.Error()) > 1000 {
				t.Errorf("%q, %q: %v", standard, legacy, err)
			}
			return
		}
		if minor < MinMinor || minor > MaxMinor {
			t.Errorf("%q, %q: %d", standard, legacy, minor)
		}
	})
}
