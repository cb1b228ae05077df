package rescue

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
)

const (
	// user is who logs in to a rescued machine. Source: agent protocol reference §10, step 7.
	user = "rescue"
	// locked is what no password matches; a key is refused with it too, unlike noPassword.
	locked = "!"
	// maxTable bounds passwd(5), group(5) and shadow(5) of the ramdisk.
	maxTable = 1 << 20

	passwdFile = "etc/passwd"
	groupFile  = "etc/group"
	shadowFile = "etc/shadow"
)

// account is what passwd(5) says of the user.
type account struct {
	uid, gid int
	home     string
}

// account finds the user, and makes it if the ramdisk was built without.
func (h Host) account(ctx context.Context) (account, error) {
	a, err := h.findAccount()
	if !errors.Is(err, fs.ErrNotExist) {
		return a, err
	}
	args := []string{"-m", "-s", "/bin/bash"}
	for _, group := range []string{"sudo", "wheel"} {
		if line, err := h.line(groupFile, group); err == nil && line != nil {
			args = append(args, "-G", group)
			break
		}
	}
	if err := h.Run(ctx, "useradd", append(args, user)...); err != nil {
		return account{}, fmt.Errorf("make the user %s: %w", user, err)
	}
	if err := h.maySudo(); err != nil {
		return account{}, err
	}
	a, err = h.findAccount()
	if errors.Is(err, fs.ErrNotExist) {
		return account{}, fmt.Errorf("useradd made no user %s", user)
	}
	return a, err
}

// maySudo lets the user become root without a password: with a key alone there is none.
func (h Host) maySudo() error {
	dir := h.path("etc/sudoers.d")
	if _, err := os.Stat(dir); err != nil {
		return nil // this ramdisk has no sudo
	}
	return replace(filepath.Join(dir, "ingot-rescue"), []byte(user+" ALL=(ALL:ALL) NOPASSWD: ALL\n"), 0o440, nil)
}

// findAccount gives fs.ErrNotExist if there is no such user.
func (h Host) findAccount() (account, error) {
	f, err := h.line(passwdFile, user)
	if err != nil {
		return account{}, err
	}
	if f == nil {
		return account{}, fs.ErrNotExist
	}
	if len(f) != 7 {
		return account{}, fmt.Errorf("%s: the line of %s has %d fields", passwdFile, user, len(f))
	}
	uid, err1 := strconv.Atoi(f[2])
	gid, err2 := strconv.Atoi(f[3])
	if err := errors.Join(err1, err2); err != nil || uid < 0 || gid < 0 || !path.IsAbs(f[5]) {
		return account{}, fmt.Errorf("%s: the line of %s is no user's", passwdFile, user)
	}
	return account{uid, gid, path.Clean(f[5])}, nil
}

// line gives the fields of the line of a table that begins with name; nil if there is none.
func (h Host) line(file, name string) ([]string, error) {
	table, err := h.table(file)
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(table)) {
		if f := strings.Split(strings.TrimRight(line, "\r\n"), ":"); f[0] == name {
			return f, nil
		}
	}
	return nil, nil
}

func (h Host) table(file string) ([]byte, error) {
	f, err := os.Open(h.path(file))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, errors.Unwrap(err))
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxTable+1))
	if err != nil || len(data) > maxTable {
		return nil, fmt.Errorf("%s cannot be read, or is larger than %d bytes", file, maxTable)
	}
	return data, nil
}

// setHash writes the password's hash: the user's line is replaced, or added. The day of the last change is left out: a
// machine whose clock is wrong would ask for another password at once.
func (h Host) setHash(hash string) error {
	table, err := h.table(shadowFile)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	for line := range bytes.Lines(table) {
		if !bytes.HasPrefix(line, []byte(user+":")) {
			out.Write(bytes.TrimRight(line, "\r\n"))
			out.WriteByte('\n')
		}
	}
	fmt.Fprintf(&out, "%s:%s::0:99999:7:::\n", user, hash)
	return replace(h.path(shadowFile), out.Bytes(), 0o600, nil)
}

// setKeys writes the user's authorized_keys; without keys there is none.
func (h Host) setKeys(a account, keys []string) error {
	dir := h.path(path.Join(a.home, ".ssh"))
	file := filepath.Join(dir, "authorized_keys")
	if len(keys) == 0 {
		if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove old keys: %w", err)
		}
		return nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("keys: %w", err)
	}
	// sshd refuses what somebody else could change.
	if err := errors.Join(os.Chmod(dir, 0o700), os.Chown(dir, a.uid, a.gid)); err != nil {
		return fmt.Errorf("keys: %w", err)
	}
	return replace(file, []byte(strings.Join(keys, "\n")+"\n"), 0o600, &a)
}

// replace writes a file whole: it has its old content or its new one, whatever happens. Its errors hold nothing of data.
func replace(name string, data []byte, mode os.FileMode, owner *account) (err error) {
	f, err := os.CreateTemp(filepath.Dir(name), ".ingot-*") // 0600
	if err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(name), err)
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("write %s: %w", filepath.Base(name), errors.Join(err, os.Remove(f.Name())))
		}
	}()
	_, err = f.Write(data)
	if err == nil && owner != nil {
		err = f.Chown(owner.uid, owner.gid)
	}
	if err == nil {
		err = f.Chmod(mode)
	}
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}
