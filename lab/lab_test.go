package lab

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ingot/internal/fault"
	"ingot/lab/bmc"
)

// TestMain lets this test binary be the lab's daemon: Start calls it again as `lab daemon`.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "lab" {
		c := Command()
		c.SetArgs(os.Args[2:])
		if c.Execute() != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// startLab starts a lab with a name and subnet that nobody else uses.
func startLab(t *testing.T, dir string) *Lab {
	t.Helper()
	if os.Getenv("INGOT_LAB") != "1" {
		t.Skip("starts QEMU machines: set INGOT_LAB=1 and run as root")
	}
	if os.Geteuid() != 0 {
		t.Skip("the lab needs root, for a network namespace and taps")
	}
	c := testConfig(dir)
	l, err := Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if n := inhabitants(c.namespace()); len(n) > 0 {
			t.Errorf("processes %v are left in the namespace", n)
		}
		if _, err := os.Stat(filepath.Join(namespaceDir, c.namespace())); err == nil {
			t.Error("the namespace is left")
		}
		if _, err := net.InterfaceByName(c.hostLink()); err == nil {
			t.Error("the veth is left")
		}
	})
	return l
}

func reset(t *testing.T, m *Machine, kind string) {
	t.Helper()
	err := m.ask(t.Context(), http.MethodPost, bmc.SystemPath+"/Actions/ComputerSystem.Reset", map[string]any{"ResetType": kind}, nil)
	if err != nil {
		t.Fatal(err)
	}
}

func TestMachineRunsAndEverythingEnds(t *testing.T) {
	l := startLab(t, t.TempDir())
	m := l.Machines[0]
	st, err := os.Stat(m.PasswordFile)
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("password file: %v, %v", st, err)
	}
	if err := os.WriteFile(filepath.Join(l.ImagesDir, "x"), []byte("0123456789"), 0o644); err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, l.ImagesURL+"x", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Range", "bytes=3-5")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusPartialContent || resp.ContentLength != 3 {
		t.Errorf("a range of an image: %s, %d bytes", resp.Status, resp.ContentLength)
	}

	reset(t, m, "On")
	if p, err := m.Power(t.Context()); err != nil || p != "On" {
		t.Fatalf("power %q, %v after On", p, err)
	}
	awaitConsole(t, m, "BdsDxe")
	reset(t, m, "ForceOff")
	if p, err := m.Power(t.Context()); err != nil || p != "Off" {
		t.Errorf("power %q, %v after ForceOff", p, err)
	}
	n, err := m.Counters(t.Context())
	if err != nil || n["Reset.On"] != 1 || n["Reset.ForceOff"] != 1 {
		t.Errorf("counters %v, %v", n, err)
	}
	if err := m.SetFaults(t.Context(), bmc.Fault{Name: bmc.WrongPassword}); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Power(t.Context()); err == nil {
		t.Error("the BMC takes the password although it was told not to")
	}
	if err := m.SetFaults(t.Context()); err != nil {
		t.Fatal(err)
	}
	reset(t, m, "On") // Close must end a running machine too
}

// awaitConsole waits until a machine has printed a text, by inotify on its log.
func awaitConsole(t *testing.T, m *Machine, text string) {
	t.Helper()
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if _, err := unix.InotifyAddWatch(fd, m.ConsolePath, unix.IN_MODIFY); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(2 * time.Minute)
	for buf := make([]byte, 4096); ; {
		log, err := m.Console(1 << 20)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(log, []byte(text)) {
			return
		}
		left := time.Until(deadline)
		if left <= 0 {
			t.Fatalf("%q is not on the console: %s", text, log)
		}
		if _, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(left.Milliseconds())); err != nil && err != unix.EINTR {
			t.Fatal(err)
		}
		_, _ = unix.Read(fd, buf) // empties the queue; EAGAIN is an empty one
	}
}

func TestLabAfterItsDaemonWasKilled(t *testing.T) {
	dir := t.TempDir()
	l := startLab(t, dir)
	if _, err := Start(t.Context(), testConfig(dir)); fault.KindOf(err) != fault.Conflict {
		t.Errorf("a second lab in the same folder: %v", err)
	}
	if _, err := Start(t.Context(), testConfig(t.TempDir())); fault.KindOf(err) != fault.Conflict {
		t.Errorf("a second lab with the same name: %v", err)
	}
	reset(t, l.Machines[0], "On")
	before := inhabitants(l.Namespace)
	if len(before) != 2 {
		t.Fatalf("processes %v in the namespace, want the daemon and a QEMU", before)
	}
	var watched []unix.PollFd
	for _, pid := range before {
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		watched = append(watched, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
	}
	if err := unix.Kill(l.DaemonPID, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for _, w := range watched {
		if gone, err := awaitEnd(int(w.Fd), 20*time.Second); !gone || err != nil {
			t.Fatalf("a process outlives the daemon: %v", err)
		}
	}
	if _, err := Open(dir); fault.KindOf(err) != fault.NotFound {
		t.Errorf("a dead lab opens: %v", err)
	}
	again := startLab(t, dir) // what is left is cleaned up first
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if p, err := again.Machines[0].Power(ctx); err != nil || p != "Off" {
		t.Errorf("power %q, %v of the new lab", p, err)
	}
}

func testConfig(dir string) Config {
	c := Defaults()
	c.Name, c.Dir = "selftest", dir
	c.Subnet = netip.MustParsePrefix("198.18.79.0/24")
	return c
}
