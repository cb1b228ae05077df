package osdef

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"ingot/internal/fault"
)

// left are folders of version control: they are no part of a definition, and differ between copies of the same files.
var left = []string{".git", ".hg", ".svn"}

// Outside reads the file that a link leads to which leads out of the folder. Whoever gives one decides which may; its errors
// come back as they are.
type Outside func(link, target string) (content io.ReadCloser, executable bool, err error)

// FromFS makes a bundle of a folder. Links are followed inside of it; those that lead out are outside's to judge, and refused if
// it is nil. Folders of version control are left out.
func FromFS(folder fs.FS, l Limits, outside Outside) (*Bundle, error) {
	t := newTree(l)
	err := fs.WalkDir(folder, ".", func(at string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case at == ".":
			return nil
		case d.IsDir() && slices.Contains(left, d.Name()):
			return fs.SkipDir
		}
		return t.found(folder, at, d.Type(), outside)
	})
	if err != nil {
		var theirs *refusedOutside
		if errors.As(err, &theirs) {
			return nil, theirs.error
		}
		if _, ours := fault.PublicOf(err); ours {
			return nil, err
		}
		return nil, fault.Wrap(fault.Invalid, err, "The folder of the OS definition cannot be read: %v.", err)
	}
	return t.bundle()
}

// refusedOutside is an error of an Outside.
type refusedOutside struct{ error }

// found takes what lies in a folder into the tree.
func (t *tree) found(folder fs.FS, at string, kind fs.FileMode, outside Outside) error {
	if err := t.count(); err != nil {
		return err
	}
	name, err := t.name(at)
	if err != nil {
		return err
	}
	switch kind {
	case fs.ModeDir:
		return t.dir(name)
	case fs.ModeSymlink:
		target, err := fs.ReadLink(folder, at)
		if err != nil {
			return fmt.Errorf("read link %s: %w", at, err)
		}
		if _, inside := within(name, target); inside || outside == nil {
			return t.link(name, target)
		}
		content, executable, err := outside(at, target)
		if err != nil {
			return &refusedOutside{err}
		}
		defer content.Close()
		return t.file(name, executable, content)
	case 0:
		f, err := folder.Open(at)
		if err != nil {
			return err
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() { // it was a file a moment ago
			return notAFile(name)
		}
		return t.file(name, info.Mode()&0o100 != 0, f)
	}
	return notAFile(name)
}

// lines are the lines of a list that say something: not blank, not a comment.
func lines(content []byte) (out []string) {
	for l := range strings.SplitSeq(string(content), "\n") {
		if l = strings.TrimSpace(l); l != "" && !strings.HasPrefix(l, "#") {
			out = append(out, l)
		}
	}
	return out
}
