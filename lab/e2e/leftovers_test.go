package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// spaceName and linkName are what namespaces and links of these tests are called, with the process that made them.
var (
	spaceName = regexp.MustCompile(`^e2e-(\d+)-\d+-[a-z]+$`)
	linkName  = regexp.MustCompile(`^e(\d+)-\d+[ab]$`)
)

// maker is the process that a name tells; 0 for a name that is not of these tests.
func maker(form *regexp.Regexp, name string) int {
	m := form.FindStringSubmatch(name)
	if m == nil {
		return 0
	}
	pid, err := strconv.Atoi(m[1])
	if err != nil {
		return 0
	}
	return pid
}

// testRuns tells whether a process is a test that runs: another that has its number by now is none.
func testRuns(pid int) bool {
	exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	return err == nil && strings.HasSuffix(strings.TrimSuffix(exe, " (deleted)"), ".test")
}

// clearLeftovers removes the namespaces and links of runs that were killed, with the programs that still run there: their addresses are
// those of the next run.
var clearLeftovers = sync.OnceFunc(func() {
	names, err := filepath.Glob("/run/netns/e2e-*")
	if err != nil {
		return
	}
	for _, path := range names {
		name := filepath.Base(path)
		if pid := maker(spaceName, name); pid != 0 && !testRuns(pid) {
			clearSpace(name)
		}
	}
	links, err := net.Interfaces()
	if err != nil {
		return
	}
	for _, l := range links {
		// A link's name has the last digits of the process's number alone: it is left as long as any test could be its maker.
		if pid := maker(linkName, l.Name); pid != 0 && !anyTestRuns(pid) {
			_ = exec.Command("ip", "link", "del", l.Name).Run() // another run may have been quicker
		}
	}
})

// clearSpace ends what runs in a namespace and removes it; another run may be doing the same.
func clearSpace(name string) {
	pids, err := exec.Command("ip", "netns", "pids", name).Output()
	if err == nil {
		for _, word := range strings.Fields(string(pids)) {
			if pid, err := strconv.Atoi(word); err == nil {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
	}
	_ = exec.Command("ip", "netns", "del", name).Run()
}

// anyTestRuns tells whether a test runs whose number ends so.
func anyTestRuns(last int) bool {
	all, err := os.ReadDir("/proc")
	if err != nil {
		return true
	}
	for _, e := range all {
		if pid, err := strconv.Atoi(e.Name()); err == nil && pid%100000 == last && testRuns(pid) {
			return true
		}
	}
	return false
}

// TestLeftoversGo: what a killed run left is removed with what runs there, and a living run's is not.
func TestLeftoversGo(t *testing.T) {
	mine := namespace(t, "mine")
	ended := exec.Command("true")
	if err := ended.Run(); err != nil {
		t.Fatal(err)
	}
	dead := fmt.Sprintf("e2e-%d-1-left", ended.Process.Pid)
	if out, err := exec.Command("ip", "netns", "add", dead).CombinedOutput(); err != nil {
		t.Skipf("this host makes no network namespaces: %s", out)
	}
	t.Cleanup(func() { clearSpace(dead) })
	runs := exec.Command("ip", "netns", "exec", dead, "sleep", "600")
	if err := runs.Start(); err != nil {
		t.Fatal(err)
	}
	gone := make(chan error, 1)
	go func() { gone <- runs.Wait() }()
	await(t, soon, "a program in the namespace", func() (bool, error) {
		out, err := exec.Command("ip", "netns", "pids", dead).Output()
		return len(strings.TrimSpace(string(out))) > 0, err
	})
	if !testRuns(os.Getpid()) || testRuns(ended.Process.Pid) || maker(spaceName, string(mine)) != os.Getpid() || maker(linkName, "e123-4b") != 123 || maker(linkName, "eth0") != 0 {
		t.Fatal("a name or a process is taken for something else")
	}
	clearSpace(dead)
	<-gone
	if _, err := os.Stat("/run/netns/" + dead); !os.IsNotExist(err) {
		t.Errorf("the leftover is still there: %v", err)
	}
	if _, err := os.Stat("/run/netns/" + string(mine)); err != nil {
		t.Errorf("a living run's is gone: %v", err)
	}
}
