package osinstall

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"

	"ingot/internal/fault"
	"ingot/internal/osdef"
)

// layFolder is the folder of a bundle whose files are laid over the ramdisk: what a definition reads from its host, as Debian's
// does from /etc/default and /etc/ganeti. Upstream has it on every node of a cluster.
const layFolder = "ramdisk/"

// kernels are folders of the ramdisk in which files are not files.
var kernels = []string{"dev", "proc", "sys"}

// LayOver puts the files of a bundle's folder ramdisk at their places below root, readable by everybody and executable where
// they are so in the bundle; those that are there are replaced. It is for trusted definitions only, whose scripts could do it
// themselves. Nothing needs to take them away: the ramdisk ends with the installation.
func LayOver(root string, files []osdef.File) error {
	to, err := os.OpenRoot(root)
	if err != nil {
		return err
	}
	defer to.Close() // a folder: nothing is lost
	for _, f := range files {
		name, ok := strings.CutPrefix(f.Name, layFolder)
		if !ok {
			continue
		}
		if err := layOne(to, name, f); err != nil {
			return err
		}
	}
	return nil
}

// layOne writes one file beside its place and moves it there: what is there may be a link to elsewhere, or run.
func layOne(root *os.Root, name string, f osdef.File) error {
	for _, k := range kernels {
		if strings.HasPrefix(name, k+"/") {
			return fault.New(fault.Invalid, "The file %s of the OS definition cannot be laid over the ramdisk: /%s is the kernel's.", f.Name, k)
		}
	}
	mode := os.FileMode(0o644)
	if f.Executable {
		mode = 0o755
	}
	if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return fmt.Errorf("lay %s over the ramdisk: %w", f.Name, err)
	}
	part := filepath.Join(path.Dir(name), ".laid-over")
	err := root.WriteFile(part, f.Content, mode)
	if err == nil {
		err = root.Chmod(part, mode) // whatever the umask is
	}
	if err == nil {
		err = root.Rename(part, name)
	}
	if err != nil {
		_ = root.Remove(part) // it may not be there
		return fmt.Errorf("lay %s over the ramdisk: %w", f.Name, err)
	}
	return nil
}
