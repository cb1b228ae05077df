package main

import (
	"os"
	"os/exec"
	"strings"
)

// target is what images are written to: a loop device on a file, or the file alone.
type target struct {
	path, what string
	file       string
	size       int64
}

// openTarget makes one of size bytes. detach frees the loop device.
func openTarget(file string, size int64) (t target, detach func(), err error) {
	t = target{path: file, what: "a file", file: file, size: size}
	if err := t.empty(); err != nil {
		return t, nil, err
	}
	out, err := exec.Command("losetup", "--find", "--show", file).Output()
	if err != nil {
		return t, func() {}, nil // not root, or there are no loop devices
	}
	t.path, t.what = strings.TrimSpace(string(out)), "a loop device"
	return t, func() { exec.Command("losetup", "--detach", t.path).Run() }, nil
}

// empty takes all data away.
func (t target) empty() error {
	if t.path != t.file {
		return exec.Command("blkdiscard", t.path).Run()
	}
	os.Remove(t.file)
	if err := os.WriteFile(t.file, nil, 0o600); err != nil {
		return err
	}
	return os.Truncate(t.file, t.size)
}
