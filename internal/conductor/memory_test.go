package conductor

import (
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/secret"
)

// TestMemoryOf: what the kernel's files say, of hosts and of containers with either version of control groups.
func TestMemoryOf(t *testing.T) {
	const meminfo = "MemTotal:       8000000 kB\nMemFree:         100000 kB\nMemAvailable:   4194304 kB\n"
	for name, c := range map[string]struct {
		files map[string]string
		mib   int64
		known bool
	}{
		"a host":                 {map[string]string{"proc/meminfo": meminfo, "proc/self/cgroup": "0::/user.slice\n", "sys/fs/cgroup/user.slice/memory.max": "max\n"}, 4096, true},
		"nothing":                {nil, 0, false},
		"another system":         {map[string]string{"proc/meminfo": "hello\nMemAvailable: lots\n"}, 0, false},
		"a group":                {map[string]string{"proc/meminfo": meminfo, "proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/memory.max": "536870912\n", "sys/fs/cgroup/a/b/memory.current": "268435456\n"}, 256, true},
		"its cache can go":       {map[string]string{"proc/meminfo": meminfo, "proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/memory.max": "536870912", "sys/fs/cgroup/a/memory.current": "268435456", "sys/fs/cgroup/a/memory.stat": "anon 1\ninactive_file 134217728\n"}, 384, true},
		"the group above it":     {map[string]string{"proc/meminfo": meminfo, "proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/memory.high": "104857600", "sys/fs/cgroup/a/memory.current": "94371840", "sys/fs/cgroup/a/b/memory.max": "max"}, 10, true},
		"a container":            {map[string]string{"proc/meminfo": meminfo, "proc/self/cgroup": "0::/docker/1\n", "sys/fs/cgroup/memory.max": "1073741824", "sys/fs/cgroup/memory.current": "1048576"}, 1023, true},
		"over its limit":         {map[string]string{"proc/meminfo": meminfo, "proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/memory.high": "1000", "sys/fs/cgroup/a/memory.current": "2000"}, 0, true},
		"a group without a host": {map[string]string{"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/memory.max": "2097152", "sys/fs/cgroup/a/memory.current": "1048576"}, 1, true},
		"version 1": {map[string]string{"proc/meminfo": meminfo, "proc/self/cgroup": "4:memory:/c/d\n3:cpu:/x\n", "sys/fs/cgroup/memory/c/d/memory.limit_in_bytes": "9223372036854771712",
			"sys/fs/cgroup/memory/c/memory.limit_in_bytes": "209715200", "sys/fs/cgroup/memory/c/memory.usage_in_bytes": "104857600", "sys/fs/cgroup/memory/c/memory.stat": "inactive_file 1\ntotal_inactive_file 52428800\n"}, 150, true},
		"nonsense": {map[string]string{"proc/meminfo": "MemAvailable: 99999999999999999999 kB", "proc/self/cgroup": "::\n0:\n0::../../..\nx", "sys/fs/cgroup/memory.max": "-5"}, 0, false},
	} {
		files := fstest.MapFS{}
		for path, text := range c.files {
			files[path] = &fstest.MapFile{Data: []byte(text)}
		}
		got, known := memoryOf(files)
		if known != c.known || known && got>>20 != c.mib {
			t.Errorf("%s: %d MiB, %v", name, got>>20, known)
		}
	}
	if n, known := availableMemory(); known && n <= 0 {
		t.Errorf("this host has %d bytes", n)
	}
}

// TestMemoryIsNotPromisedTwice: what work that has begun may still take is not there for others.
func TestMemoryIsNotPromisedTwice(t *testing.T) {
	m := spareMemory{read: func() (int64, bool) { return 100, true }}
	var all sync.WaitGroup
	var mu sync.Mutex
	var frees []func()
	for range 16 {
		all.Go(func() {
			if _, free, ok := m.take(30); ok {
				mu.Lock()
				defer mu.Unlock()
				frees = append(frees, free)
			}
		})
	}
	all.Wait()
	if have, _, ok := m.take(11); len(frees) != 3 || ok || have != 10 {
		t.Errorf("%d took 30 of 100, %d are left: %v", len(frees), have, ok)
	}
	for _, free := range frees {
		free()
		free() // once more changes nothing
	}
	if _, _, ok := m.take(100); !ok {
		t.Error("not all came back")
	}
	unknown := spareMemory{read: func() (int64, bool) { return 0, false }}
	if _, _, ok := unknown.take(1 << 40); !ok {
		t.Error("a system that does not say has none")
	}
}

// TestShortOfMemory: the step waits as often as it is told and then fails with what there is and what it needs, or begins with a warning.
func TestShortOfMemory(t *testing.T) {
	config := Defaults()
	config.Host, config.Memory.Retries = "c1", 2
	c := New(nil, config, nil, nil, slog.New(slog.DiscardHandler))
	c.memory.read = func() (int64, bool) { return 10 << 20, true }
	r, op, did := &runner{c: c}, &Op{}, 0
	try := func(need int64) (Outcome, error) {
		return r.withMemory(op, "the work", need, func() (Outcome, error) { did++; return done, nil })
	}
	if o, err := try(10 << 20); err != nil || o.kind != done.kind || did != 1 {
		t.Errorf("there is as much as it needs: %+v %v", o, err)
	}
	for range 2 {
		o, err := try(64<<20 + 1)
		if err != nil || o.kind != "again" || o.after != 15*time.Second || o.why != "memory: the work needs 65 MiB, and server c1 has 10 MiB available" {
			t.Errorf("%+v %v", o, err)
		}
	}
	if _, err := try(64 << 20); fault.KindOf(err) != fault.Full || transient(err) || !strings.Contains(err.Error(), "the work needs 64 MiB, and server c1 has 10 MiB available, after 30s") {
		t.Errorf("it goes on waiting: %v", err)
	}
	c.config.Memory.Required = 8 << 20
	if _, err := try(64 << 20); err != nil || did != 2 {
		t.Errorf("no work waits for more than is set: %v", err)
	}
	c.config.Memory.Required, c.config.Memory.WarnOnly = 1<<30, true
	if _, err := try(64 << 20); err != nil || did != 3 || c.memory.taken != 0 {
		t.Errorf("a warning is enough: %v, %d bytes are held", err, c.memory.taken)
	}
	if _, err := r.awaitMemory(op, errors.New("else")); err == nil || err.Error() != "else" {
		t.Errorf("another error: %v", err)
	}
}

// TestConfigDriveWaitsForMemory: a deployment whose config drive is too large for the memory there is waits, goes on when there is
// more, and fails when that takes too long.
func TestConfigDriveWaitsForMemory(t *testing.T) {
	for _, comes := range []bool{true, false} {
		w := newWorld(t)
		w.node.ProvisionState = metal.Available
		info := w.node.InstanceInfo.Expose()
		info["configdrive"] = map[string]any{"user_data": strings.Repeat("x", 1<<20)}
		w.node.InstanceInfo = secret.NewMap(info)
		w.save()
		w.tune = func(c *Config) { c.Memory.Wait, c.Memory.Retries = 1, 3 }
		c := w.conductor("c1", nil)
		looks, waited := 0, ""
		c.memory.read = func() (int64, bool) {
			if o := w.live(); o != nil && strings.HasPrefix(o.WaitingWhy, "memory: ") {
				waited = o.WaitingWhy
			}
			if looks++; comes && looks > 4 { // each look reads twice
				return 1 << 30, true
			}
			return 1 << 20, true
		}
		w.ask(metal.PlanDeploy, metal.EventDeploy, "{}")
		w.run(c)
		n, _ := w.state()
		if !strings.Contains(waited, "preparing the instance's metadata needs 7 MiB, and server c1 has 1 MiB available") {
			t.Errorf("it waited for %q", waited)
		}
		switch {
		case comes && n.ProvisionState != metal.Active:
			t.Errorf("%s: %s", n.ProvisionState, n.LastError)
		case !comes && (n.ProvisionState != metal.DeployFailed || !strings.Contains(n.LastError, "memory is short")):
			t.Errorf("%s: %s", n.ProvisionState, n.LastError)
		}
	}
}
