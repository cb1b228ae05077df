package confine

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// stages is where the surroundings of scripts are put together. Each is seen by its own script's bubblewrap only.
const stages = "/run/ingot-confine"

// Root of a script's user namespace is nobody on the machine: no file and no process has one of these numbers. They are above those
// that systemd gives to containers (https://systemd.io/UIDS-GIDS/).
const (
	firstID = 0x70000000
	ids     = 1 << 16
)

// stage is a folder with what a script's root is made of, in a mount namespace of its own.
type stage struct {
	at    string
	disks []device
}

// scratchFolders are the writable ones. They share one file system with one bound.
var scratchFolders = []struct {
	name string
	mode os.FileMode
}{
	{"tmp", 0o777 | os.ModeSticky}, {"run", 0o755}, {"var", 0o755}, {"var/tmp", 0o777 | os.ModeSticky}, {"var/cache", 0o755}, {"var/lib", 0o755},
	{"var/log", 0o755}, {"root", 0o700}, {"mnt", 0o755}, {"shm", 0o777 | os.ModeSticky},
}

// files are made for scripts: those of the ramdisk have its users.
var files = map[string]string{ //nolint:gosec // G101: users without passwords
	"passwd":  "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
	"group":   "root:x:0:\ndisk:x:6:\nnogroup:x:65534:\n",
	"hosts":   "127.0.0.1 localhost\n::1 localhost\n",
	"nothing": "",
}

// setStage builds a stage. The calling thread gets a mount namespace, in which it stays: with the thread and its children it all goes.
func setStage(folder string, disks []device, l Limits) (stage, error) {
	if err := os.MkdirAll(stages, 0o711); err != nil {
		return stage{}, err
	}
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return stage{}, fmt.Errorf("make a mount namespace: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return stage{}, fmt.Errorf("keep mounts apart: %w", err)
	}
	unix.Umask(0o022) // of this thread, and the script's
	st := stage{at: stages, disks: disks}
	// Not nodev: the nodes of the disks are here.
	if err := unix.Mount("stage", st.at, "tmpfs", unix.MS_NOSUID|unix.MS_NOEXEC, "mode=0755,size=1m"); err != nil {
		return stage{}, fmt.Errorf("mount a stage: %w", err)
	}
	for _, build := range []func() error{
		func() error { return st.bundle(folder) }, func() error { return st.scratch(l.Scratch) }, st.nodes, st.files,
	} {
		if err := build(); err != nil {
			return stage{}, err
		}
	}
	return st, nil
}

func (st stage) path(name string) string { return filepath.Join(st.at, name) }

// bundle shows the script's folder: the folders above it may be closed to others.
func (st stage) bundle(folder string) error {
	at := st.path("bundle")
	if err := os.Mkdir(at, 0o755); err != nil {
		return err
	}
	if err := unix.Mount(folder, at, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("show %s: %w", folder, err)
	}
	if err := unix.Mount("", at, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV, ""); err != nil {
		return fmt.Errorf("show %s read-only: %w", folder, err)
	}
	return nil
}

// scratch is what a script may fill.
func (st stage) scratch(bytes int64) error {
	at := st.path("scratch")
	if err := os.Mkdir(at, 0o755); err != nil {
		return err
	}
	// A file with nothing in it takes 1 KiB of the kernel's own memory, about.
	options := "mode=0755,size=" + strconv.FormatInt(bytes, 10) + ",nr_inodes=" + strconv.FormatInt(bytes/4096+64, 10)
	if err := unix.Mount("scratch", at, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, options); err != nil {
		return fmt.Errorf("mount scratch space: %w", err)
	}
	for _, f := range scratchFolders {
		dir := filepath.Join(at, f.name)
		if err := os.Mkdir(dir, 0o700); err != nil {
			return err
		}
		if err := os.Chmod(dir, f.mode); err != nil { // whatever the umask
			return err
		}
		if err := os.Chown(dir, firstID, firstID); err != nil {
			return err
		}
	}
	if err := os.Symlink("/run", filepath.Join(at, "var/run")); err != nil {
		return err
	}
	return os.Symlink("/run/lock", filepath.Join(at, "var/lock"))
}

// nodes are the disks, as the script's own files: those of the ramdisk stay root's.
func (st stage) nodes() error {
	for _, d := range st.disks {
		at := st.node(d)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			return err
		}
		if err := unix.Mknod(at, unix.S_IFBLK|0o600, int(d.number)); err != nil {
			return fmt.Errorf("make the node of %s: %w", d.name, err)
		}
		if err := os.Chown(at, firstID, firstID); err != nil {
			return err
		}
	}
	return nil
}

func (st stage) node(d device) string { return filepath.Join(st.at, "dev", d.name) }

func (st stage) files() error {
	for name, content := range files {
		if err := os.WriteFile(st.path(name), []byte(content), 0o644); err != nil {
			return err
		}
	}
	return os.Mkdir(st.path("empty"), 0o755)
}
