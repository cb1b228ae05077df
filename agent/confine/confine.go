package confine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"strings"

	"ingot/internal/fault"
	"ingot/internal/osdef"

	"golang.org/x/sys/unix"
)

// Script is one start of a script.
type Script struct {
	// Folder is where the script's files are, by its absolute path. The script finds them there, read-only, and begins in it. They
	// must be readable by everybody; the folders above need not be.
	Folder string
	Path   string // of the script in Folder
	Args   []string
	// Env is all of its environment. PWD cannot be given.
	Env []osdef.Variable
	// Devices are block devices, or links to such. A confined script has them, their partitions and no others.
	Devices []string
	Stdin   io.Reader // nil: the null device
	// Stdout and Stderr take what it says; an error of theirs ends it. Nil: it is thrown away.
	Stdout, Stderr io.Writer
	ExtraFiles     []*os.File // from descriptor 3 on
	// Network is what a confined script can reach. Nil: nothing.
	Network *Network
	Limits  Limits
}

// Limits bound a confined script. Zero means what is said.
type Limits struct {
	Memory    int64 // bytes, with what it writes to scratch space; 0: three quarters of what is available
	Scratch   int64 // bytes of all its writable folders together; 0: two thirds of Memory
	Processes int   // with threads; 0: 1024
	Weight    int   // of its share of CPU and disks when others want some, 1 to 10000; 0: 50, half of what others have
}

// Confiner runs scripts. It is safe for concurrent use.
type Confiner struct {
	// Bubblewrap is the program; empty: bwrap of the search path.
	Bubblewrap string
	// unbounded leaves out the bounds, for tests on a host whose control groups cannot set them.
	unbounded bool
}

// ErrTooMuch: a script was ended because its output could not be taken.
var ErrTooMuch = errors.New("its output could not be taken")

// Check says why scripts cannot be confined on this machine, in a sentence.
func (c *Confiner) Check() error {
	_, err := c.ready()
	return err
}

// ready gives the path of bubblewrap where everything is there.
func (c *Confiner) ready() (bwrap string, err error) {
	if bwrap, err = exec.LookPath(cmp.Or(c.Bubblewrap, "bwrap")); err != nil {
		return "", refuse("bubblewrap is not in this ramdisk, which has to be built again with it (%v)", err)
	}
	if os.Geteuid() != 0 {
		return "", refuse("the agent is not root")
	}
	if n, err := os.ReadFile("/proc/sys/user/max_user_namespaces"); err != nil || strings.TrimSpace(string(n)) == "0" {
		return "", refuse("the kernel gives no user namespaces: set user.max_user_namespaces")
	}
	if _, err := filters(); err != nil {
		return "", refuse("the filter of system calls cannot be made: %v", err)
	}
	if _, err := c.groups(); err != nil {
		return "", err
	}
	return bwrap, nil
}

// refuse is the error of a machine that cannot confine.
func refuse(format string, args ...any) error {
	return fault.New(fault.NotSupported, "An untrusted script cannot be confined on this machine, and does not run: "+format+".", args...)
}

// check judges a script by itself.
func (s Script) check() error {
	if !path.IsAbs(s.Folder) || path.Clean(s.Folder) != s.Folder || s.Folder == "/" {
		return fault.New(fault.Invalid, "%q is no folder that a script can be run in.", s.Folder)
	}
	if s.Path == "" || path.IsAbs(s.Path) || path.Clean(s.Path) != s.Path || strings.HasPrefix(s.Path, "..") {
		return fault.New(fault.Invalid, "%q is no path of a script in its folder.", s.Path)
	}
	for _, v := range s.Env {
		// The first would be lost, and the others steer the loader of bubblewrap itself, which is outside.
		if v.Name == "" || v.Name == "PWD" || v.Name == "GLIBC_TUNABLES" || strings.HasPrefix(v.Name, "LD_") || strings.ContainsAny(v.Name, "=\x00") {
			return fault.New(fault.Invalid, "A script cannot be given %q in its environment.", v.Name)
		}
	}
	return nil
}

// environ is the environment as the kernel takes it.
func (s Script) environ() []string {
	out := make([]string, 0, len(s.Env))
	for _, v := range s.Env {
		out = append(out, v.Name+"="+v.Value.Expose())
	}
	return out
}

// Run runs a script confined, to its end, and gives its exit code; one that a signal ended has 128 and the signal's number. When ctx
// ends all of it is killed; then, and when it could not be confined, the code is -1 and there is an error.
func (c *Confiner) Run(ctx context.Context, s Script) (code int, err error) {
	bwrap, err := c.ready()
	if err != nil {
		return -1, err
	}
	if err := s.check(); err != nil {
		return -1, err
	}
	disks, err := findDevices("/", s.Devices)
	if err != nil {
		return -1, err
	}
	limits, err := s.Limits.filled()
	if err != nil {
		return -1, err
	}
	if s.Network == nil {
		if s.Network, err = NewNetwork(); err != nil {
			return -1, err
		}
		defer s.Network.Close()
	}
	in, err := c.group(&limits)
	if err != nil {
		return -1, err
	}
	defer func() { err = errors.Join(err, in.remove()) }()
	onThread(func() {
		if err = s.Network.enter(); err != nil {
			return
		}
		var st stage
		if st, err = setStage(s.Folder, disks, limits); err != nil {
			err = refuse("its surroundings cannot be made: %v", err)
			return
		}
		code, err = c.confined(ctx, bwrap, s, st, in)
	})
	if err != nil {
		return -1, err
	}
	if code != 0 && in.overMemory() {
		return -1, fault.New(fault.TooLarge, "The script was killed: it used more than the %d MiB of memory that it may, with what it wrote to /tmp and the like.", limits.Memory>>20)
	}
	return code, nil
}

// RunTrusted runs a script with the rights of the ramdisk, in its network and with its devices, to its end, and gives its exit code.
// When ctx ends all of it is killed, as with Run. Limits, Devices and Network count for nothing.
func (c *Confiner) RunTrusted(ctx context.Context, s Script) (code int, err error) {
	if err := s.check(); err != nil {
		return -1, err
	}
	in, err := c.group(nil)
	if err != nil {
		return -1, err
	}
	defer func() { err = errors.Join(err, in.remove()) }()
	cmd := exec.Command(path.Join(s.Folder, s.Path), s.Args...)
	cmd.Dir, cmd.Env, cmd.ExtraFiles = s.Folder, s.environ(), s.ExtraFiles
	attributes := in.attributes()
	attributes.Unshareflags = unix.CLONE_NEWNS // what it mounts is gone with it
	cmd.SysProcAttr = attributes
	return run(ctx, cmd, s, in)
}

// last is the last line of what bubblewrap itself said.
func last(said string) string {
	out := "it did not say why"
	for l := range strings.Lines(said) {
		if text, is := strings.CutPrefix(l, "bwrap: "); is {
			out = strings.TrimSpace(text)
		}
	}
	return fmt.Sprintf("%.300q", out)
}
