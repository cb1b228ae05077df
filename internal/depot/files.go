package depot

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"ingot/internal/fault"
)

// maxPath is the longest path of a local image, so that its address stays an ordinary one.
const maxPath = 1024

// neverServed are folders whose files are the server's own, whatever the configuration allows. Source:
// images reference, section 8.
var neverServed = []string{"/dev", "/sys", "/proc", "/boot", "/etc", "/run"}

// OpenFile opens a local image, as it would be served.
func (d *Depot) OpenFile(path string) (*os.File, error) { return d.openFile(path) }

// openFile opens a local image. What counts is where the path leads: symbolic links are followed first,
// then the result must lie below an allowed folder, and it is opened through that folder, so that a link
// put there in between cannot lead out. Only regular files. Errors: fault.Forbidden, fault.NotFound.
func (d *Depot) openFile(path string) (*os.File, error) {
	if !filepath.IsAbs(path) || len(path) > maxPath || strings.ContainsRune(path, 0) {
		return nil, fault.New(fault.Invalid, "A local image needs an absolute path of at most %d bytes.", maxPath)
	}
	if !allowed(filepath.Clean(path), d.o.AllowedFileRoots) {
		return nil, forbidden(nil)
	}
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, notThere(err)
	}
	for _, root := range d.o.AllowedFileRoots {
		root, err := filepath.EvalSymlinks(root)
		if err != nil || !allowed(real, []string{root}) {
			continue
		}
		rel, err := filepath.Rel(root, real)
		if err != nil {
			return nil, forbidden(err)
		}
		return openBelow(root, rel)
	}
	return nil, forbidden(nil)
}

func openBelow(root, rel string) (*os.File, error) {
	r, err := os.OpenRoot(root)
	if err != nil {
		return nil, notThere(err)
	}
	defer r.Close() // read-only: nothing is lost
	// Without O_NONBLOCK, opening a pipe would wait for its writer.
	f, err := r.OpenFile(rel, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, notThere(err)
	}
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		f.Close() // nothing was written
		return nil, forbidden(&fs.PathError{Op: "serve", Path: rel, Err: fs.ErrInvalid})
	}
	return f, nil
}

// allowed tells whether a clean path lies below one of the roots and in no folder that is never served.
func allowed(path string, roots []string) bool {
	for _, never := range neverServed {
		if path == never || strings.HasPrefix(path, never+"/") {
			return false
		}
	}
	for _, root := range roots {
		root = strings.TrimSuffix(filepath.Clean(root), "/")
		if strings.HasPrefix(path, root+"/") {
			return true
		}
	}
	return false
}

// forbidden says the same for every reason, so that nobody can explore the server's disk with it.
func forbidden(cause error) error {
	return fault.Wrap(fault.Forbidden, cause, "This local file may not be used as an image: it must be a regular file, links followed, below a folder that [conductor] file_url_allowed_paths names.")
}

func notThere(cause error) error {
	return fault.Wrap(fault.NotFound, cause, "There is no such local image file, or the server cannot read it.")
}
