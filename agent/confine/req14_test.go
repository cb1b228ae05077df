package confine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"ingot/agent/confine/confinetest"

	"golang.org/x/sys/unix"
)

// hostile is a folder with the program that tries everything.
func hostile(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "build", "-trimpath", "-o", filepath.Join(dir, "attacks"), "./testdata/attacks")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the attacks: %v\n%s", err, b)
	}
	return dir
}

// loop is a disk that is a file.
func loop(t *testing.T, partitioned bool) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(file, 64<<20); err != nil {
		t.Fatal(err)
	}
	if partitioned {
		if b, err := exec.Command("sgdisk", "-n", "1:0:+8M", "-n", "2:0:+8M", file).CombinedOutput(); err != nil {
			t.Skipf("partitions a disk: install gdisk: %v %s", err, b)
		}
	}
	b, err := exec.Command("losetup", "-P", "-f", "--show", file).Output()
	if err != nil {
		t.Skipf("confines scripts to disks: no loop device: %v", err)
	}
	at := strings.TrimSpace(string(b))
	t.Cleanup(func() { _ = exec.Command("losetup", "-d", at).Run() })
	return at
}

// linked is a link to a disk by its id, as scripts are told of disks.
func linked(t *testing.T, to string) string {
	t.Helper()
	at := "/dev/disk/by-id/ingot-test-" + strconv.Itoa(os.Getpid())
	if err := errors.Join(os.MkdirAll(filepath.Dir(at), 0o755), os.Symlink("../../"+filepath.Base(to), at)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(at) })
	return at
}

// world is a host with what a script must not reach, as the facts that the attacks look for.
func world(t *testing.T, own, other string) []string {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(other, &st); err != nil {
		t.Fatal(err)
	}
	secrets, err := os.MkdirTemp("/run", "ingot-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(secrets) })
	token := filepath.Join(secrets, "token")
	if err := errors.Join(os.Chmod(secrets, 0o755), os.WriteFile(token, []byte("the token"), 0o644)); err != nil {
		t.Fatal(err)
	}
	abstract := "@ingot-test-" + strconv.Itoa(os.Getpid())
	accept := func(network, at string) string {
		l, err := net.Listen(network, at)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		return l.Addr().String()
	}
	listener := accept("tcp", "127.0.0.1:0")
	accept("unix", abstract)
	accept("unix", filepath.Join(secrets, "socket"))
	key := 0x1900000 + os.Getpid()
	id, err := unix.SysvShmGet(key, 4096, unix.IPC_CREAT|0o666)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = unix.SysvShmCtl(id, unix.IPC_RMID, nil) })
	return []string{"PATH=/sbin:/bin:/usr/sbin:/usr/bin",
		confinetest.OwnDisk + "=" + own,
		confinetest.OtherDisk + "=" + other, confinetest.OtherNumber + "=" + fmt.Sprintf("%d:%d", unix.Major(st.Rdev), unix.Minor(st.Rdev)),
		confinetest.TokenFile + "=" + token, confinetest.Listener + "=" + listener,
		confinetest.Abstract + "=" + abstract, confinetest.SocketFile + "=" + filepath.Join(secrets, "socket"), confinetest.SharedKey + "=" + strconv.Itoa(key),
		confinetest.ProcessID + "=" + strconv.Itoa(os.Getpid())}
}

// Each row of confinetest.Attacks is tried by a confined script, and by one that is not, which shows that the attack is one. The lab
// tries the same in the Debian ramdisk.
func TestREQ14AnUntrustedScriptReachesNothingButItsDisk(t *testing.T) {
	c := confiner(t)
	own, other := linked(t, loop(t, true)), loop(t, false)
	facts := world(t, own, other)
	n, err := NewNetwork()
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	l, err := n.Listen("tcp", Address.String()+":80")
	if err != nil {
		t.Fatal(err)
	}
	channel := http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "this is the channel") })}
	go channel.Serve(l)
	defer channel.Close()
	s := Script{Folder: hostile(t), Path: "attacks", Devices: []string{own}, Network: n}
	var said bytes.Buffer
	s.Stdout, s.Stderr = &said, &said
	s.Env = variables(append(slices.Clone(facts), confinetest.ChannelText+"=this is the channel")...)
	code, err := c.Run(t.Context(), s)
	if code != 0 || err != nil {
		t.Errorf("%d %v", code, err)
	}
	t.Logf("confined:\n%s", said.String())
	for _, wrong := range confinetest.Judge(said.String(), false) {
		t.Error("confined: ", wrong)
	}
	// A trusted script sees its folder as it is, and may be the same program.
	said.Reset()
	s.Args, s.Env = []string{"free"}, variables(facts...)
	code, err = c.RunTrusted(t.Context(), s)
	if code != 0 || err != nil {
		t.Errorf("%d %v", code, err)
	}
	t.Logf("trusted:\n%s", said.String())
	for _, wrong := range confinetest.Judge(said.String(), true) {
		t.Error("trusted: ", wrong)
	}
	b := make([]byte, 19)
	if f, err := os.Open(own); err != nil {
		t.Error(err)
	} else if _, err := f.ReadAt(b, 1<<20); err != nil || string(b) != "written by a script" {
		t.Errorf("what it wrote to its disk: %q %v", b, err)
	}
}

// The environment is the vector, byte by byte, and on no command line while the script runs.
func TestREQ14And03TheEnvironmentIsTheVector(t *testing.T) {
	c := confiner(t)
	dir := hostile(t)
	if err := os.WriteFile(filepath.Join(dir, "create"), []byte("#!/bin/sh\necho ready\nexec cat /proc/self/environ -\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	given := []string{"PATH=/sbin:/bin:/usr/sbin:/usr/bin", "OSP_LINES=a\nb\n", "OSP_QUOTES=\"'`$x\\", "OSP_EQUALS==a=b=", "OSP_BYTES=\xff\xc3\xa9 é", "OSP_EMPTY=", "OSP_SECRET=SECR-canary"}
	t.Setenv("INHERITED", "SECR-inherited")
	for name, run := range both(c) {
		t.Run(name, func(t *testing.T) {
			in, feed := io.Pipe()
			var said bytes.Buffer
			var lines []string
			s := Script{Folder: dir, Path: "create", Env: variables(given...), Stdin: in, Stdout: onWrite(func(p []byte) {
				if said.Len() == 0 { // it runs, until its input ends
					lines = commandLines()
					feed.Close()
				}
				said.Write(p)
			})}
			code, err := run(t.Context(), s)
			if code != 0 || err != nil {
				t.Fatal(code, err)
			}
			environ := strings.TrimPrefix(said.String(), "ready\n")
			got := strings.Split(strings.TrimSuffix(environ, "\x00"), "\x00")
			// The shell adds its own where it is the shell that runs.
			got = slices.DeleteFunc(got, func(e string) bool { return strings.HasPrefix(e, "PWD=") || strings.HasPrefix(e, "_=") })
			slices.Sort(got)
			want := slices.Sorted(slices.Values(given))
			if !slices.Equal(got, want) {
				t.Errorf("got  %q\nwant %q", got, want)
			}
			if len(lines) == 0 || slices.ContainsFunc(lines, func(l string) bool { return strings.Contains(l, "SECR-") }) {
				t.Errorf("command lines: %q", lines)
			}
		})
	}
}

// commandLines are those of all processes of the host.
func commandLines() (out []string) {
	all, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, p := range all {
		if b, err := os.ReadFile(p); err == nil && len(b) > 0 {
			out = append(out, string(b))
		}
	}
	return out
}

// Without a shell between, the environment has nothing that was not given.
func TestREQ14And03NothingIsAdded(t *testing.T) {
	c := confiner(t)
	dir := bundle(t, "")
	program, err := os.ReadFile("/usr/bin/env")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "environment"), program, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, run := range both(c) {
		var said bytes.Buffer
		code, err := run(t.Context(), Script{Folder: dir, Path: "environment", Args: []string{"-0"}, Env: variables("A=1", "B=2"), Stdout: &said})
		if code != 0 || err != nil || said.String() != "A=1\x00B=2\x00" {
			t.Errorf("%s: %d %v %q", name, code, err, said.String())
		}
	}
}

// Scratch space has a bound, in bytes and in files, that all writable folders share.
func TestREQ14AFullDiskIsTheScriptsOwn(t *testing.T) {
	c := confiner(t)
	var said bytes.Buffer
	s := Script{Folder: bundle(t, `
for dir in /tmp /run /var/tmp /var/lib /root /mnt /dev/shm; do
	head -c 3000000 /dev/zero >$dir/big 2>/dev/null || echo "$dir is full"
done
rm /tmp/big /run/big
i=0; while true >/tmp/$i; do i=$((i+1)); [ $i -lt 20000 ] || break; done 2>/dev/null
[ $i -lt 20000 ] && echo "no more files" || echo "$i files"
`), Path: "create", Env: variables("PATH=/usr/bin:/bin"), Stdout: &said, Stderr: &said, Limits: Limits{Scratch: 8 << 20}}
	code, err := c.Run(t.Context(), s)
	if err != nil || !strings.Contains(said.String(), "/var/tmp is full\n") || !strings.Contains(said.String(), "/dev/shm is full") || strings.Contains(said.String(), "/tmp is full\n/run") || !strings.Contains(said.String(), "no more files") {
		t.Errorf("%d %v %s", code, err, said.String())
	}
	if mounts, err := os.ReadFile("/proc/self/mountinfo"); err != nil || strings.Contains(string(mounts), stages) {
		t.Errorf("mounts are left: %v\n%s", err, mounts)
	}
}

// At the end of its time all of it is dead: daemons, children of children, what ignores signals, and what forks without an end.
func TestREQ14NothingOutlivesItsTime(t *testing.T) {
	c := confiner(t)
	for name, run := range both(c) {
		for what, script := range map[string]string{
			"that never ends": `trap '' TERM INT HUP QUIT; (setsid sh -c 'trap "" TERM; sleep 98761 & wait' &) ; setsid sleep 98761 & echo ready; while :; do sleep 98761; done`,
			"that is stopped": `sleep 98761 & echo ready; kill -STOP $$`,
			"that forks":      `f() { sleep 98761 & [ $1 -gt 0 ] && { f $(($1-1)) & f $(($1-1)) & }; wait; }; f 4 & echo ready; wait`,
		} {
			ctx, cancel := context.WithCancelCause(t.Context())
			late := errors.New("too late")
			s := Script{Folder: bundle(t, script), Path: "create", Env: variables("PATH=/usr/bin:/bin"), Stdout: onWrite(func([]byte) { cancel(late) })}
			if code, err := run(ctx, s); code != -1 || !errors.Is(err, late) {
				t.Errorf("%s, one %s: %d %v", name, what, code, err)
			}
			for _, l := range commandLines() {
				if strings.Contains(l, "98761") {
					t.Errorf("%s, one %s: %q goes on", name, what, l)
				}
			}
		}
		// One that ends by itself leaves nothing either, and is not waited for longer than it lasts.
		begin := time.Now()
		code, err := run(t.Context(), Script{Folder: bundle(t, "setsid sleep 98761 & exit 4"), Path: "create", Env: variables("PATH=/usr/bin:/bin"), Stdout: io.Discard})
		if code != 4 || err != nil || time.Since(begin) > time.Hour {
			t.Errorf("%s: %d %v", name, code, err)
		}
		for _, l := range commandLines() {
			if strings.Contains(l, "98761") {
				t.Errorf("%s: %q goes on", name, l)
			}
		}
	}
}

// What a trusted script mounts is gone with it.
func TestATrustedScriptLeavesNoMount(t *testing.T) {
	c := confiner(t)
	dir := t.TempDir()
	var said bytes.Buffer
	code, err := c.RunTrusted(t.Context(), Script{Folder: bundle(t, `mount -t tmpfs mine "$1" && touch "$1/x" && echo mounted`), Path: "create", Args: []string{dir},
		Env: variables("PATH=/usr/bin:/bin"), Stdout: &said, Stderr: &said})
	if code != 0 || err != nil || said.String() != "mounted\n" {
		t.Errorf("%d %v %s", code, err, said.String())
	}
	if mounts, err := os.ReadFile("/proc/self/mountinfo"); err != nil || strings.Contains(string(mounts), dir) {
		t.Errorf("%v\n%s", err, mounts)
	}
}
