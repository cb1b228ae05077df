package confinetest

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

type try = func() (string, error)

// patience is long for a busy machine; nothing waits for it where all is well.
const patience = 20 * time.Second

// env is a fact, looked up when the attack is tried.
type env string

func (e env) String() string { return os.Getenv(string(e)) }

// text is a fact or a string.
func text(v any) string { return fmt.Sprint(v) }

func open(path any, write bool) try {
	return func() (string, error) {
		mode := os.O_RDONLY
		if write {
			mode = os.O_WRONLY
		}
		f, err := os.OpenFile(text(path), mode, 0)
		if err != nil {
			return "", err
		}
		return "", f.Close()
	}
}

// openAny opens what it can of some files.
func openAny(paths ...string) try {
	return func() (string, error) {
		var last error = syscall.ENOENT
		for _, p := range paths {
			f, err := os.Open(p)
			switch {
			case err == nil && !strings.HasPrefix(p, "/proc/"):
				return "", f.Close()
			case err == nil: // something empty may lie over it
				n, _ := f.Read(make([]byte, 1))
				_ = f.Close()
				if n > 0 {
					return "", nil
				}
			case !errors.Is(err, fs.ErrNotExist):
				last = err
			}
		}
		return "", last
	}
}

func create(path string) try {
	return func() (string, error) {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o600)
		if err != nil {
			return "", err
		}
		return "", errors.Join(f.Close(), os.Remove(path))
	}
}

func chown() (string, error) { return "", chownTo(1000) }

// chownFar is a number that the namespace has not.
func chownFar() (string, error) { return "", chownTo(0x70000000) }

func chownTo(id int) error {
	f, err := os.CreateTemp("/tmp", "")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	return errors.Join(f.Close(), os.Chown(f.Name(), id, id))
}

func writeDisk() (string, error) {
	f, err := os.OpenFile(os.Getenv(OwnDisk), os.O_RDWR|os.O_SYNC, 0)
	if err != nil {
		return "", err
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte("written by a script"), 1<<20); err != nil {
		return "", err
	}
	b := make([]byte, 19)
	if _, err := f.ReadAt(b, 1<<20); err != nil || string(b) != "written by a script" {
		return "", fmt.Errorf("read %q: %w", b, err)
	}
	return "", nil
}

func channel() (string, error) {
	want := os.Getenv(ChannelText)
	if want == "" {
		return "", nil
	}
	c := http.Client{Timeout: patience}
	r, err := c.Get("http://169.254.169.254/ganeti/latest/meta_data.json")
	if err != nil {
		return "", err
	}
	defer r.Body.Close()
	b, err := io.ReadAll(io.LimitReader(r.Body, 1<<16))
	if err == nil && !strings.Contains(string(b), want) {
		return string(b), nil
	}
	return "", err
}

// openNumber opens the other disk by a node of its own.
func openNumber() (string, error) {
	var major, minor uint32
	if _, err := fmt.Sscanf(os.Getenv(OtherNumber), "%d:%d", &major, &minor); err != nil {
		return "", err
	}
	return makeNode(unix.S_IFBLK, major, minor, true)
}

func node(major, minor uint32) try {
	return func() (string, error) { return makeNode(unix.S_IFCHR, major, minor, false) }
}

func makeNode(kind, major, minor uint32, opened bool) (string, error) {
	at := "/tmp/node"
	if err := unix.Mknod(at, kind|0o600, int(unix.Mkdev(major, minor))); err != nil {
		return "", err
	}
	defer os.Remove(at)
	if !opened {
		return "", nil
	}
	return open(at, false)()
}

// devices are the names of nodes anywhere, but for those of processes.
func devices(mode fs.FileMode) (out []string) {
	root := "/"
	if _, err := os.Stat("/sys"); err == nil {
		root = "/dev" // it is not confined, and the rest is large
	}
	_ = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if path == "/proc" || path == "/sys" || path == "/usr" {
			return fs.SkipDir
		}
		// A folder's entry has the type of what something is mounted on.
		if st, failed := os.Lstat(path); err == nil && failed == nil && st.Mode()&(fs.ModeDevice|fs.ModeCharDevice) == mode {
			out = append(out, path)
		}
		return nil
	})
	return out
}

func blockDevices() (string, error) {
	own, err := filepath.EvalSymlinks(os.Getenv(OwnDisk))
	if err != nil {
		return "", err
	}
	var out []string
	for _, d := range devices(fs.ModeDevice) {
		if strings.HasPrefix(d, own) {
			d = "own"
		} else {
			d = "other"
		}
		out = append(out, d)
	}
	return strings.Join(out, " "), nil
}

func characterDevices() (string, error) {
	var out []string
	for _, d := range devices(fs.ModeDevice | fs.ModeCharDevice) {
		out = append(out, filepath.Base(d))
	}
	slices.Sort(out)
	return strings.Join(slices.Compact(out), " "), nil
}

func diskControl(command uintptr) try {
	return func() (string, error) {
		f, err := os.OpenFile(os.Getenv(OwnDisk), os.O_RDWR, 0)
		if err != nil {
			return "", errors.New("own disk: " + err.Error())
		}
		defer f.Close()
		var nothing [256]byte
		return call(unix.SYS_IOCTL, f.Fd(), command, addressOf(&nothing))()
	}
}

func read(path any) try {
	return func() (string, error) {
		b, err := os.ReadFile(text(path))
		if err == nil && len(b) == 0 {
			return "empty", nil
		}
		return fmt.Sprintf("%.60s", strings.ReplaceAll(string(b), "\x00", " ")), err
	}
}

// tokenPlace stands for the path of the token.
const tokenPlace = "TOKEN"

func readOf(before, fact, after string) try {
	return func() (string, error) {
		return read(before + os.Getenv(fact) + strings.ReplaceAll(after, tokenPlace, os.Getenv(TokenFile)))()
	}
}

func list(path string) try {
	return func() (string, error) {
		entries, err := os.ReadDir(path)
		if err == nil && len(entries) == 0 {
			return "empty", nil
		}
		return fmt.Sprint(len(entries)), err
	}
}

// descriptors are those that were open when the program began: the runtime's own are made later, and are of kinds of their own.
func descriptors() (string, error) {
	entries, err := os.ReadDir("/proc/self/fd")
	var out []string
	for _, e := range entries {
		to, err := os.Readlink("/proc/self/fd/" + e.Name())
		if err != nil || strings.HasPrefix(to, "anon_inode:[event") || strings.HasPrefix(to, "/proc/") {
			continue
		}
		out = append(out, e.Name())
	}
	slices.Sort(out)
	return strings.Join(out, " "), err
}

func processes() (string, error) {
	entries, err := os.ReadDir("/proc")
	var out []string
	for _, e := range entries {
		if _, err := strconv.Atoi(e.Name()); err != nil {
			continue
		}
		comm, _ := os.ReadFile("/proc/" + e.Name() + "/comm")
		out = append(out, e.Name()+"="+strings.TrimSpace(string(comm)))
	}
	return strings.Join(out, " "), err
}

func signal(pid any) try {
	return func() (string, error) {
		n, err := strconv.Atoi(text(pid))
		if err != nil {
			return "", err
		}
		return "", unix.Kill(n, 0)
	}
}

func trace() (string, error) { return "", unix.PtraceAttach(1) }

func sharedMemory() (string, error) {
	key, err := strconv.Atoi(os.Getenv(SharedKey))
	if err != nil {
		return "", err
	}
	_, err = unix.SysvShmGet(key, 0, 0)
	return "", err
}

func interfaces() (string, error) {
	all, err := net.Interfaces()
	var out []string
	for _, i := range all {
		out = append(out, i.Name)
	}
	return strings.Join(out, " "), err
}

func dial(network string, to any) try {
	return func() (string, error) {
		c, err := net.DialTimeout(network, text(to), patience)
		if err != nil {
			return "", err
		}
		return "", c.Close()
	}
}

func listen(at string) try {
	return func() (string, error) {
		l, err := net.Listen("tcp", at)
		if err != nil {
			return "", err
		}
		return "", l.Close()
	}
}

func socket(family, kind, protocol uintptr) try {
	return func() (string, error) {
		fd, _, no := syscall.RawSyscall(unix.SYS_SOCKET, family, kind, protocol)
		if no != 0 {
			return "", no
		}
		return "", unix.Close(int(fd))
	}
}

// join enters the network of its init, on a thread that is thrown away.
func join() (string, error) {
	end := make(chan error)
	go func() {
		runtime.LockOSThread()
		f, err := os.Open("/proc/1/ns/net")
		if err == nil {
			err = unix.Setns(int(f.Fd()), unix.CLONE_NEWNET)
			_ = f.Close()
		}
		end <- err
	}()
	return "", <-end
}

func newNamespace(flag uintptr) try {
	return func() (string, error) {
		cmd := exec.Command("/bin/true")
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flag}
		return "", cmd.Run()
	}
}

func mount(kind, at string) try {
	return func() (string, error) {
		if err := unix.Mount(kind, at, kind, 0, ""); err != nil {
			return "", err
		}
		return "", unix.Unmount(at, unix.MNT_DETACH)
	}
}

func rights(of string) try {
	return func() (string, error) { return rightsOf(of) }
}

func rightsOf(process string) (string, error) {
	b, err := os.ReadFile("/proc/" + process + "/status")
	var out []string
	for line := range strings.Lines(string(b)) {
		name, value, _ := strings.Cut(line, ":")
		if name == "CapEff" || name == "NoNewPrivs" || strings.HasPrefix(name, "Seccomp") {
			out = append(out, name+"="+strings.TrimSpace(value))
		}
	}
	return strings.Join(out, " "), err
}

// killAll kills all that it may, which is all that it sees but its init and itself.
func killAll() (string, error) {
	if os.Getenv(Spare) != "" {
		return "", nil
	}
	if err := unix.Kill(-1, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
		return "", err
	}
	return "", nil
}
