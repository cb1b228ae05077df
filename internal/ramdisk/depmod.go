package ramdisk

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"

	"github.com/klauspost/compress/zstd"

	"ingot/internal/fault"
)

// fillModules adds the kernel's modules, each packed by itself, and the indexes that modprobe reads. They lie in the
// machine's memory as they are here: packed, a quarter of their size. modprobe unpacks what it loads, and the kernel
// verifies the signature of what was unpacked.
func fillModules(a *archive, tree *moduleTree, scratch string) ([]string, error) {
	names, err := tree.rescued()
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "The kernel modules cannot be used.")
	}
	// One goroutine, because the blocks of several depend on the machine.
	z, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	defer z.Close()
	top := path.Join("usr/lib/modules", tree.release)
	at := filepath.Join(scratch, "depmod", "lib/modules", tree.release)
	for _, name := range names {
		data, err := os.ReadFile(filepath.Join(tree.dir, tree.files[name]))
		if err != nil {
			return nil, err
		}
		file := filepath.Join(at, tree.files[name]+".zst")
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return nil, err
		}
		if err := os.WriteFile(file, z.EncodeAll(data, nil), 0o644); err != nil {
			return nil, err
		}
		a.add(entry{name: path.Join(top, tree.files[name]+".zst"), mode: modeFile, source: file})
	}
	for _, name := range []string{"modules.order", "modules.builtin", "modules.builtin.modinfo"} {
		if err := copyFile(filepath.Join(at, name), filepath.Join(tree.dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	if err := depmod(filepath.Join(scratch, "depmod"), tree.release); err != nil {
		return nil, err
	}
	indexes, err := filepath.Glob(filepath.Join(at, "modules.*"))
	if err != nil {
		return nil, err
	}
	for _, file := range indexes {
		a.add(entry{name: path.Join(top, filepath.Base(file)), mode: modeFile, source: file})
	}
	return names, nil
}

func depmod(root, release string) error {
	program, err := exec.LookPath("depmod")
	if err != nil {
		program = "/usr/sbin/depmod" // not in the path of an ordinary user
	}
	if out, err := exec.Command(program, "-b", root, release).CombinedOutput(); err != nil {
		return fmt.Errorf("depmod: %w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}
