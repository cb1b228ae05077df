package confine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"syscall"

	"ingot/agent/child"

	"golang.org/x/sys/unix"
)

const (
	complaints = 4 << 10 // bytes of what bubblewrap may say
	maxStatus  = 4 << 10
)

// confined runs a script on a stage, from the thread that is in the stage's namespaces and to the end: bubblewrap dies with the thread.
func (c *Confiner) confined(ctx context.Context, bwrap string, s Script, st stage, in *group) (code int, err error) {
	programs, err := filters()
	if err != nil {
		return -1, err
	}
	status, statusTo, err := os.Pipe()
	if err != nil {
		return -1, err
	}
	defer status.Close()
	defer statusTo.Close()
	// The script's own come first, for it knows their numbers. Bubblewrap closes the others before it starts the script.
	extra, own := append(slices.Clone(s.ExtraFiles), statusTo), 3+len(s.ExtraFiles)
	for _, p := range programs {
		f, err := inMemory(p)
		if err != nil {
			return -1, err
		}
		defer f.Close()
		extra = append(extra, f)
	}
	cmd := exec.Command(bwrap, st.arguments(s, own, len(programs))...)
	cmd.Dir, cmd.Env, cmd.ExtraFiles, cmd.SysProcAttr = "/", s.environ(), extra, in.attributes()
	// Bubblewrap itself begins in the user namespace: nobody on the machine, and root there. It could map one id only.
	cmd.SysProcAttr.Cloneflags = unix.CLONE_NEWUSER
	cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: firstID, Size: ids}}
	cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: firstID, Size: ids}}
	cmd.SysProcAttr.GidMappingsEnableSetgroups = true
	cmd.SysProcAttr.Credential = &syscall.Credential{}
	said := &child.Tail{Limit: complaints}
	s.Stderr = tee(s.Stderr, said)
	code, err = run(ctx, cmd, s, in)
	if err != nil {
		if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EUSERS) {
			err = refuse("the kernel gives no more user namespaces: %v", err)
		}
		return -1, err
	}
	_ = statusTo.Close()
	b, err := io.ReadAll(io.LimitReader(status, maxStatus))
	if err != nil {
		return -1, err
	}
	if !ranToEnd(b) && cmd.ProcessState.Exited() {
		return -1, refuse("bubblewrap says %s", last(said.String()))
	}
	return code, nil
}

// ranToEnd tells whether bubblewrap started the script and saw it end: with its own failures it reports no exit code.
func ranToEnd(status []byte) bool {
	for d := json.NewDecoder(bytes.NewReader(status)); ; {
		var line struct {
			Code *int `json:"exit-code"`
		}
		if err := d.Decode(&line); err != nil {
			return false
		}
		if line.Code != nil {
			return true
		}
	}
}

// tee writes to a writer that may be nil, and to another.
func tee(to, also io.Writer) io.Writer {
	if to == nil {
		return also
	}
	return io.MultiWriter(to, also)
}

// inMemory is a file that has no name.
func inMemory(b []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate("filter", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make a file in memory: %w", err)
	}
	f := os.NewFile(uintptr(fd), "filter")
	if _, err := f.WriteAt(b, 0); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}
