package ramdisk

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"ingot/internal/depot"
	"ingot/internal/fault"
)

const (
	maxAdded     = 10_000    // files of all added folders
	maxAddedSize = 256 << 20 // bytes: they lie in the machine's memory
)

// reserved are the parts of a ramdisk that nothing is added to: the agent mounts over them, or makes them.
var reserved = []string{"init", "proc", "sys", "dev", "run", "tmp", "mnt", "lib/modules", "usr/lib/modules", "etc/ingot/modules", "etc/ingot/release", "etc/ssl/certs/ca-certificates.crt"}

// addFolders puts the files of folders into the archive under the paths that they have there, and identifies
// them. What a file may be is narrow: the result must be the same on every machine, and lead nowhere else.
func addFolders(a *archive, dirs []string) (added []depot.File, err error) {
	size := int64(0)
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(at string, e fs.DirEntry, err error) error {
			if err != nil || at == dir {
				return err
			}
			name, err := filepath.Rel(dir, at)
			if err != nil {
				return err
			}
			id, err := addOne(a, at, a.merged(filepath.ToSlash(name)), e)
			if err != nil || e.IsDir() {
				return err
			}
			added, size = append(added, id), size+id.Size
			if len(added) > maxAdded || size > maxAddedSize {
				return fault.New(fault.TooLarge, "What is added from %s is more than %d files or %d MiB.", dir, maxAdded, maxAddedSize>>20)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return added, nil
}

// addOne adds a file, a folder or a link.
func addOne(a *archive, at, name string, e fs.DirEntry) (depot.File, error) {
	no := func(why string) (depot.File, error) {
		return depot.File{}, fault.New(fault.Invalid, "%q cannot be added to the ramdisk: %s.", at, why)
	}
	if !utf8.ValidString(name) || strings.ContainsFunc(name, func(c rune) bool { return c < ' ' || c == 0x7f }) {
		return no("its name has control characters")
	}
	for _, r := range reserved {
		if name == r && !e.IsDir() || strings.HasPrefix(name, r+"/") {
			return no("/" + r + " is the ramdisk's own")
		}
	}
	for dir := name; dir != "."; dir = path.Dir(dir) {
		if was, ok := a.entries[dir]; ok && (was.mode&modeType != modeDir&modeType || dir == name && !e.IsDir()) {
			return no("/" + dir + " is there already")
		}
	}
	switch info, err := e.Info(); {
	case err != nil:
		return depot.File{}, err
	case info.IsDir():
		if _, ok := a.entries[name]; !ok {
			a.add(entry{name: name, mode: modeDir})
		}
		return depot.File{}, nil
	case info.Mode().Type() == fs.ModeSymlink:
		return addLink(a, at, name)
	case !info.Mode().IsRegular():
		return no("it is neither a file nor a folder nor a link")
	case info.Mode()&(fs.ModeSetuid|fs.ModeSetgid|fs.ModeSticky) != 0:
		return no("it has a set-user-ID, set-group-ID or sticky bit")
	default:
		mode := uint32(modeFile)
		if info.Mode()&0o111 != 0 {
			mode = modeExec
		}
		a.add(entry{name: name, mode: mode, source: at})
		id, err := hashFile(at)
		id.Name = "add/" + name
		return id, err
	}
}

// merged is a name as it is where the top folders are links: lib/x is usr/lib/x in Debian.
func (a *archive) merged(name string) string {
	top, rest, _ := strings.Cut(name, "/")
	if e, ok := a.entries[top]; ok && e.mode == modeLink {
		return path.Join(string(e.data), rest)
	}
	return name
}

// addLink adds a link to another of the added files.
func addLink(a *archive, at, name string) (depot.File, error) {
	target, err := os.Readlink(at)
	if err != nil {
		return depot.File{}, err
	}
	if path.IsAbs(target) || !filepath.IsLocal(path.Join(path.Dir(name), target)) {
		return depot.File{}, fault.New(fault.Invalid, "%q cannot be added to the ramdisk: it is a link that leads out of its folder.", at)
	}
	a.add(entry{name: name, mode: modeLink, data: []byte(target)})
	return depot.File{Name: "add/" + name, Size: int64(len(target))}, nil
}

// checkAdd sees that what is to be added is there.
func (o *Options) checkAdd() error {
	o.Add = slices.Clone(o.Add)
	for i, dir := range o.Add {
		abs, err := filepath.Abs(dir)
		if err != nil {
			return err
		}
		// A link to a folder is followed: it is the operator who names it.
		if o.Add[i], err = filepath.EvalSymlinks(abs); err != nil {
			return fault.Wrap(fault.Invalid, err, "There is no %s, given as --add.", dir)
		}
		if info, err := os.Stat(o.Add[i]); err != nil || !info.IsDir() {
			return fault.New(fault.Invalid, "What is given as --add, %s, is no folder.", dir)
		}
	}
	return nil
}
