package confine

import "testing"

func TestGroupPath(t *testing.T) {
	const two = "31 24 0:27 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
	const one = "29 23 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
	for _, row := range []struct{ name, mounts, own, want string }{
		{"a unit", two, "0::/system.slice/ingot-agent.service\n", "/sys/fs/cgroup/system.slice/ingot-agent.service"},
		{"the root", two, "0::/\n", "/sys/fs/cgroup"},
		{"both versions", one + "30 23 0:27 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n", "5:memory:/x\n0::/y\n", "/sys/fs/cgroup/unified/y"},
		{"version 1 alone", one, "5:memory:/x\n", ""},
		{"a mount that shows a part", "31 24 0:27 /part /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n", "0::/x\n", ""},
		{"a group that is out of sight", two, "0::/../x\n", ""},
		{"no line", two, "", ""},
	} {
		got, err := groupPath([]byte(row.mounts), []byte(row.own))
		if got != row.want || (err == nil) != (row.want != "") {
			t.Errorf("%s: %q %v", row.name, got, err)
		}
	}
}

func TestMemAvailable(t *testing.T) {
	if n, err := memAvailable([]byte("MemTotal: 9 kB\nMemAvailable:     1024 kB\n")); n != 1<<20 || err != nil {
		t.Error(n, err)
	}
	for _, bad := range []string{"", "MemAvailable: x kB\n", "MemAvailable: 4\n"} {
		if n, err := memAvailable([]byte(bad)); err == nil {
			t.Error(bad, n)
		}
	}
}

// The limits of nobody who says any are there all the same.
func TestLimitsAreFilled(t *testing.T) {
	l, err := Limits{}.filled()
	if err != nil || l.Memory <= 0 || l.Scratch <= 0 || l.Scratch >= l.Memory || l.Processes != 1024 || l.Weight != 50 {
		t.Errorf("%+v %v", l, err)
	}
	given := Limits{Memory: 1 << 30, Scratch: 1 << 20, Processes: 7, Weight: 100}
	if l, err := given.filled(); l != given || err != nil {
		t.Errorf("%+v %v", l, err)
	}
}
