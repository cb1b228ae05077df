package ramdisk

import (
	"net/netip"
	"strings"
	"testing"
)

// Scripts of OS definitions copy the ramdisk's hosts into the system that they install: nothing of any network may be in it.
func TestTheRamdisksHostsAreLoopbackAlone(t *testing.T) {
	text, err := debianTree.ReadFile("debian/etc/hosts")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			t.Errorf("the line %q is none of hosts(5)", line)
			continue
		}
		if at, err := netip.ParseAddr(fields[0]); err != nil || !at.IsLoopback() {
			t.Errorf("hosts names %s: %v", fields[0], err)
		}
		for _, name := range fields[1:] {
			if strings.Contains(name, ".") {
				t.Errorf("hosts has %s, which is a name of some network", name)
			}
		}
	}
}
