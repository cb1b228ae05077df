package overlay

import (
	"archive/tar"
	"context"
	"io"
	"math"
	"path"
	"slices"
	"strings"
)

const (
	maxName   = 255      // bytes of a folder's or file's name. Source: NAME_MAX of limits.h
	maxPath   = 2048     // bytes of a path; Linux takes 4095, of which the mounted root has some
	maxDepth  = 64       // folders of a path
	maxTarget = 2048     // bytes of a link's target
	maxNames  = 32 << 20 // bytes of all paths together: they are kept while the package is judged
	maxXattrs = 64       // of one entry
	maxXattr  = 64 << 10 // bytes of a value. Source: XATTR_SIZE_MAX of Linux
)

// kept are the extended attributes that are kept, beside all that begin with "user.". Others are bound to the machine or the file
// that they were on (security.evm), or to what a system does with them (trusted.overlay).
var kept = []string{"security.capability", selinux, "system.posix_acl_access", "system.posix_acl_default"}

const (
	selinux     = "security.selinux"
	xattrRecord = "SCHILY.xattr." // of PAX headers: tar and bsdtar write attributes so
	aclRecord   = "SCHILY.acl."   // as text
)

// verdict is what the judged package is.
type verdict struct {
	entries int
	bytes   int64 // of all files
}

// judge reads all of the package. Entries are judged by themselves (newEntry) and against each other: a package says each thing once,
// and puts nothing behind a link or below a file of its own, in whatever order.
func (a archive) judge(ctx context.Context) (verdict, error) {
	var v verdict
	kinds := map[string]byte{} // what entries are
	above := map[string]bool{} // folders that entries are in
	names := 0
	err := a.each(ctx, func(e entry, content io.Reader) error {
		if v.entries++; v.entries > a.limits.Entries {
			return refuse("it has more than %d entries", a.limits.Entries)
		}
		if names += len(e.name); names > maxNames {
			return refuse("its names have more than %d bytes in all", maxNames)
		}
		if err := claim(e, kinds, above); err != nil {
			return err
		}
		if e.Typeflag == tar.TypeLink && kinds[e.link()] != tar.TypeReg {
			return refuse("%q is a hard link to %q, which is no file that came before it", e.name, e.Linkname)
		}
		if e.Typeflag != tar.TypeReg {
			return nil
		}
		// The size is looked at before the content is: of a sparse file it is a word only.
		if e.Size > a.limits.Bytes-v.bytes {
			return a.tooMuch()
		}
		v.bytes += e.Size
		_, err := io.Copy(io.Discard, interruptible{ctx, content})
		return readable(err)
	})
	return v, err
}

// claim notes what an entry is, and refuses one that contradicts another.
func claim(e entry, kinds map[string]byte, above map[string]bool) error {
	if was, twice := kinds[e.name]; twice && (was != tar.TypeDir || e.Typeflag != tar.TypeDir) {
		return refuse("%q is in it twice", e.name)
	}
	if above[e.name] && e.Typeflag != tar.TypeDir {
		return refuse("%q is no folder, and something is in it", e.name)
	}
	kinds[e.name] = e.Typeflag
	for dir := path.Dir(e.name); dir != "."; dir = path.Dir(dir) {
		if kind, there := kinds[dir]; there && kind != tar.TypeDir {
			return refuse("%q is below %q, which is no folder", e.name, dir)
		}
		if above[dir] {
			break // and so are those above it
		}
		above[dir] = true
	}
	return nil
}

// newEntry judges an entry by itself.
func newEntry(h *tar.Header) (entry, error) {
	e := entry{Header: h}
	var err error
	if e.name, err = cleanName(h.Name); err != nil {
		return e, err
	}
	switch h.Typeflag {
	case tar.TypeGNUSparse, '\x00': // files, too; package tar calls most of them so already
		h.Typeflag = tar.TypeReg
	case tar.TypeReg, tar.TypeDir:
	case tar.TypeSymlink:
		err = leadsIn(e.name, h.Linkname)
	case tar.TypeLink:
		_, err = cleanName(h.Linkname)
	default:
		err = refuse("%q is neither a file, a folder nor a link: devices, pipes and the like are not laid down", e.name)
	}
	switch {
	case err != nil:
	case e.name == "." && h.Typeflag != tar.TypeDir:
		err = refuse("%q is no name of a file", h.Name)
	case h.Size < 0:
		err = refuse("the size of %q is no size", e.name)
	case !isID(h.Uid) || !isID(h.Gid):
		err = refuse("the owner of %q, %d:%d, cannot be one", e.name, h.Uid, h.Gid)
	default:
		e.xattrs, err = xattrsOf(e.name, h.PAXRecords)
	}
	if err == nil && h.Typeflag == tar.TypeSymlink && len(e.xattrs) > 0 && (len(e.xattrs) > 1 || e.xattrs[selinux] == "") {
		err = refuse("the link %q has extended attributes that a link cannot have", e.name)
	}
	return e, err
}

// isID: the highest number means "leave it" to chown(2).
func isID(n int) bool { return n >= 0 && n < math.MaxUint32 }

// link is where a hard link leads, which newEntry has judged.
func (e entry) link() string { return path.Clean(e.Linkname) }

// cleanName judges the name of an entry.
func cleanName(name string) (string, error) {
	parts := strings.Split(name, "/")
	switch {
	case name == "":
		return "", refuse("an entry has no name")
	case name[0] == '/':
		return "", refuse("%.200q has an absolute path", name)
	case len(name) > maxPath || len(parts) > maxDepth:
		return "", refuse("the path %.200q... is too long", name)
	case strings.IndexByte(name, 0) >= 0:
		return "", refuse("%.200q has a zero byte in its name", name)
	}
	for _, p := range parts {
		if p == ".." {
			return "", refuse("%.200q leads out by \"..\"", name)
		}
		if len(p) > maxName {
			return "", refuse("the name %.200q... is too long", p)
		}
	}
	return path.Clean(name), nil
}

// leadsIn judges the target of a symbolic link. An absolute one is meant for the system that boots from the disk, and so is one of
// many "..": but that leads above its root.
func leadsIn(name, target string) error {
	if target == "" || len(target) > maxTarget || strings.IndexByte(target, 0) >= 0 {
		return refuse("the link %q has no target that a link can have", name)
	}
	depth := 0
	if target[0] != '/' {
		depth = strings.Count(name, "/")
	}
	for p := range strings.SplitSeq(target, "/") {
		switch p {
		case "", ".":
		case "..":
			if depth--; depth < 0 {
				return refuse("the link %q leads out, to %.200q", name, target)
			}
		default:
			depth++
		}
	}
	return nil
}

// xattrsOf are the extended attributes of an entry.
func xattrsOf(name string, records map[string]string) (map[string]string, error) {
	var out map[string]string
	for key, value := range records {
		if strings.HasPrefix(key, aclRecord) {
			return nil, refuse("%q has an access control list in a form that is not kept here: have tar write extended attributes (--xattrs) instead of lists (--acls)", name)
		}
		attribute, ok := strings.CutPrefix(key, xattrRecord)
		if !ok {
			continue
		}
		user := strings.HasPrefix(attribute, "user.") && len(attribute) > len("user.")
		switch {
		case !user && !slices.Contains(kept, attribute) || len(attribute) > maxName || strings.IndexByte(attribute, 0) >= 0:
			return nil, refuse("%q has the extended attribute %.100q, which is not kept: user.* and %s are", name, attribute, strings.Join(kept, ", "))
		case len(value) > maxXattr:
			return nil, refuse("the extended attribute %.100q of %q is too long", attribute, name)
		}
		if out == nil {
			out = map[string]string{}
		}
		if out[attribute] = value; len(out) > maxXattrs {
			return nil, refuse("%q has more than %d extended attributes", name, maxXattrs)
		}
	}
	return out, nil
}
