package inventory

import (
	"context"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"ingot/internal/agentapi"
)

// appear makes a disk come up later, in the test's own time.
func appear(t *testing.T, m Machine, name string, after time.Duration) {
	time.AfterFunc(after, func() {
		dir := m.path("sys/block/" + name)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Error(err)
		}
		if err := os.WriteFile(dir+"/size", []byte("16384\n"), 0o644); err != nil {
			t.Error(err)
		}
	})
}

func TestDisksThatAppearOneAfterAnother(t *testing.T) {
	for _, c := range []struct {
		name   string
		at     []time.Duration // when vda, vdb … appear
		enough func([]agentapi.Disk) bool
		disks  int
		took   time.Duration
	}{
		{"at once", []time.Duration{0}, Any, 1, 5500 * time.Millisecond},
		{"a controller that needs 2 s more", []time.Duration{0, 2 * time.Second}, Any, 2, 7 * time.Second},
		{"spin-up, every 4 s", []time.Duration{0, 4 * time.Second, 8 * time.Second, 12 * time.Second}, Any, 4, 17 * time.Second},
		{"only late ones", []time.Duration{30 * time.Second, 33 * time.Second}, Any, 2, 38 * time.Second},
		{"none", nil, Any, 0, time.Minute},
		{"never enough", []time.Duration{0}, func(d []agentapi.Disk) bool { return len(d) > 1 }, 1, time.Minute},
		{"enough, and then quiet", []time.Duration{0, 20 * time.Second}, func(d []agentapi.Disk) bool { return len(d) > 1 }, 2, 25 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			m := plant(t, map[string]string{"sys/kernel/x": ""})
			for i, at := range c.at {
				appear(t, m, "vd"+string(rune('a'+i)), at+time.Millisecond)
			}
			start := time.Now()
			disks, err := m.Settle(t.Context(), Patience{}, c.enough)
			if took := time.Since(start); err != nil || len(disks) != c.disks || (took-c.took).Abs() > 500*time.Millisecond {
				t.Errorf("%s: %d disks after %s, %v; want %d after %s", c.name, len(disks), took, err, c.disks, c.took)
			}
		})
	}
}

func TestSettlingEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := machine(t).Settle(ctx, Patience{Every: time.Hour}, Any); err == nil {
		t.Error("waiting did not end with its context")
	}
	synctest.Test(t, func(t *testing.T) {
		if _, err := (Machine{Root: t.TempDir()}).Settle(t.Context(), Patience{}, Any); err == nil {
			t.Error("no sysfs is no error")
		}
	})
}
