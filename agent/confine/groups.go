package confine

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// self is the group that the agent itself moves to: a group that has others with bounds can have no processes. Source: Linux,
	// Documentation/admin-guide/cgroup-v2.rst, "No Internal Process Constraint".
	self = "self"
	// killLimit is how long the kernel may take to end what was killed: 12 s were measured for 1024 processes of an emulated machine.
	// It is longer only if a disk holds one.
	killLimit = 2 * time.Minute
)

// needed are the controllers without which a script has no bounds; wished are those that only divide.
var needed, wished = []string{"memory", "pids"}, []string{"cpu", "io"}

// parent is the group that scripts' groups are made in. It is found once in the life of the process: looking moves the process.
var parent struct {
	sync.Mutex
	at          string
	controllers []string
}

// groups finds where the groups of scripts are made, and prepares it.
func (c *Confiner) groups() (at string, err error) {
	parent.Lock()
	defer parent.Unlock()
	if parent.at == "" {
		at, controllers, err := ownGroup()
		if err != nil {
			return "", refuse("its processes cannot be held together: %v", err)
		}
		parent.at, parent.controllers = at, controllers
	}
	for _, want := range needed {
		if !slices.Contains(parent.controllers, want) && !c.unbounded {
			return "", refuse("it cannot be given bounds: the kernel's control groups (version 2) do not control %s here", want)
		}
	}
	return parent.at, nil
}

// ownGroup is the control group of this process, with what its groups can control.
func ownGroup() (at string, controllers []string, err error) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", nil, err
	}
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return "", nil, err
	}
	if at, err = groupPath(mounts, own); err != nil {
		return "", nil, err
	}
	if filepath.Base(at) == self {
		at = filepath.Dir(at)
	}
	there, err := os.ReadFile(filepath.Join(at, "cgroup.controllers"))
	if err != nil {
		return "", nil, err
	}
	// The root has no kind, and may have processes and bounds at once.
	if _, err := os.Stat(filepath.Join(at, "cgroup.type")); err == nil {
		if err := moveAway(at); err != nil {
			return "", nil, err
		}
	}
	for _, name := range slices.Concat(needed, wished) {
		if !slices.Contains(strings.Fields(string(there)), name) {
			continue
		}
		if err := os.WriteFile(filepath.Join(at, "cgroup.subtree_control"), []byte("+"+name), 0); err != nil {
			return "", nil, err
		}
		controllers = append(controllers, name)
	}
	return at, controllers, nil
}

// groupPath joins where version 2 is mounted with which group is ours.
func groupPath(mountinfo, own []byte) (string, error) {
	at := ""
	for s := bufio.NewScanner(bytes.NewReader(mountinfo)); s.Scan(); {
		before, after, _ := strings.Cut(s.Text(), " - ")
		if f := strings.Fields(before); strings.HasPrefix(after, "cgroup2 ") && len(f) > 4 && f[3] == "/" {
			at = f[4]
		}
	}
	if at == "" {
		return "", errors.New("control groups of version 2 are not mounted")
	}
	for line := range strings.Lines(string(own)) {
		if group, is := strings.CutPrefix(strings.TrimSpace(line), "0::/"); is && !strings.HasPrefix(group, "..") {
			return filepath.Join(at, group), nil
		}
	}
	return "", errors.New("this process is in no control group of version 2")
}

// moveAway moves all of a group into one below it. Some may end or begin meanwhile.
func moveAway(at string) error {
	to := filepath.Join(at, self)
	if err := os.Mkdir(to, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	for range 10 {
		b, err := os.ReadFile(filepath.Join(at, "cgroup.procs"))
		if err != nil {
			return err
		}
		all := strings.Fields(string(b))
		if len(all) == 0 {
			return nil
		}
		for _, pid := range all {
			if err := os.WriteFile(filepath.Join(to, "cgroup.procs"), []byte(pid), 0); err != nil && !errors.Is(err, syscall.ESRCH) {
				return err
			}
		}
	}
	return fmt.Errorf("%s does not become empty", at)
}

// filled is limits without zeros.
func (l Limits) filled() (Limits, error) {
	if l.Memory == 0 {
		b, err := os.ReadFile("/proc/meminfo")
		if err != nil {
			return l, err
		}
		available, err := memAvailable(b)
		if err != nil {
			return l, err
		}
		l.Memory = available / 4 * 3
	}
	l.Scratch = cmp.Or(l.Scratch, l.Memory/3*2)
	l.Processes = cmp.Or(l.Processes, 1024)
	l.Weight = cmp.Or(l.Weight, 50)
	return l, nil
}

// memAvailable is what can be used without swapping, bytes.
func memAvailable(meminfo []byte) (int64, error) {
	for line := range strings.Lines(string(meminfo)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "MemAvailable:" {
			n, err := strconv.ParseInt(f[1], 10, 64)
			return n << 10, err
		}
	}
	return 0, errors.New("the kernel does not say how much memory is available")
}

// group holds all processes of one script.
type group struct {
	at  string
	dir *os.File
}

// group makes a group, with bounds or, for nil, without.
func (c *Confiner) group(limits *Limits) (g *group, err error) {
	at, err := c.groups()
	if limits == nil && at == "" { // a trusted script needs no bounds
		unbounded := Confiner{unbounded: true}
		at, err = unbounded.groups()
	}
	if err != nil {
		return nil, err
	}
	g = &group{}
	if g.at, err = os.MkdirTemp(at, "script-"); err != nil {
		return nil, fmt.Errorf("make a control group: %w", err)
	}
	if _, err := os.Stat(filepath.Join(g.at, "cgroup.kill")); err != nil {
		return nil, errors.Join(refuse("the kernel cannot kill a control group: it is older than 5.14"), os.Remove(g.at))
	}
	if limits != nil && !c.unbounded {
		if err := g.bound(*limits); err != nil {
			return nil, errors.Join(refuse("it cannot be given bounds: %v", err), os.Remove(g.at))
		}
	}
	if g.dir, err = os.Open(g.at); err != nil {
		return nil, errors.Join(err, os.Remove(g.at))
	}
	return g, nil
}

func (g *group) bound(l Limits) error {
	must := []struct{ file, value string }{
		{"memory.max", strconv.FormatInt(l.Memory, 10)},
		{"memory.oom.group", "1"}, // all of it goes, and not some process in the middle
		{"pids.max", strconv.Itoa(l.Processes)},
	}
	for _, m := range must {
		if err := os.WriteFile(filepath.Join(g.at, m.file), []byte(m.value), 0); err != nil {
			return err
		}
	}
	may := []struct{ file, value string }{ // not there without swap, or without its controller
		{"memory.swap.max", "0"},
		{"cpu.weight", strconv.Itoa(l.Weight)},
		{"io.weight", strconv.Itoa(l.Weight)},
	}
	for _, m := range may {
		if err := os.WriteFile(filepath.Join(g.at, m.file), []byte(m.value), 0); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// attributes make a child that begins in the group: nothing of it is ever outside.
func (g *group) attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setsid: true, UseCgroupFD: true, CgroupFD: int(g.dir.Fd())}
}

// kill ends all of the group, and returns when all are dead.
func (g *group) kill() error {
	if err := os.WriteFile(filepath.Join(g.at, "cgroup.kill"), []byte("1"), 0); err != nil {
		return fmt.Errorf("kill a script: %w", err)
	}
	f, err := os.Open(filepath.Join(g.at, "cgroup.events"))
	if err != nil {
		return fmt.Errorf("kill a script: %w", err)
	}
	defer f.Close()
	for deadline := time.Now().Add(killLimit); ; {
		b := make([]byte, 512)
		n, err := f.ReadAt(b, 0)
		if n == 0 {
			return fmt.Errorf("kill a script: %w", err)
		}
		if strings.Contains(string(b[:n]), "populated 0") {
			return nil
		}
		left := time.Until(deadline)
		if left <= 0 {
			return fmt.Errorf("processes of a script are not dead %s after they were killed: a disk may hold them", killLimit)
		}
		// The file says by POLLPRI that it changed.
		_, _ = unix.Poll([]unix.PollFd{{Fd: int32(f.Fd()), Events: unix.POLLPRI}}, int(left.Milliseconds())+1)
	}
}

// overMemory tells whether the kernel killed something of the group for its memory.
func (g *group) overMemory() bool {
	b, err := os.ReadFile(filepath.Join(g.at, "memory.events"))
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) == 2 && f[0] == "oom_kill" && f[1] != "0" {
			return true
		}
	}
	return false
}

// remove takes the group away, with all that is left in it.
func (g *group) remove() error {
	err := g.kill()
	_ = g.dir.Close()
	return errors.Join(err, removeGroups(g.at))
}

// removeGroups removes a group and those that a trusted script made in it.
func removeGroups(at string) error {
	below, err := os.ReadDir(at)
	if err != nil {
		return err
	}
	for _, b := range below {
		if b.IsDir() {
			if err := removeGroups(filepath.Join(at, b.Name())); err != nil {
				return err
			}
		}
	}
	return os.Remove(at)
}
