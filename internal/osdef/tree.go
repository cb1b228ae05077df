package osdef

import (
	"io"
	"path"
	"strings"

	"ingot/internal/fault"
)

// maxHops bounds how many links a link may lead through.
const maxHops = 8

// tree gathers entries, from wherever they come, within limits.
type tree struct {
	limits Limits
	used   int64
	seen   int
	files  map[string]File
	links  map[string]string // to a path in the tree, cleaned
	dirs   map[string]bool
}

func newTree(l Limits) *tree {
	return &tree{limits: l, files: map[string]File{}, links: map[string]string{}, dirs: map[string]bool{}}
}

// count is called for every entry, whatever it is.
func (t *tree) count() error {
	if t.seen++; t.seen > t.limits.Files {
		return tooMany(t.limits)
	}
	return nil
}

// name judges a path as it was given, and cleans it; "" is the root itself. It never leads out of the tree.
func (t *tree) name(given string) (string, error) {
	if strings.HasPrefix(given, "/") {
		return "", fault.New(fault.Invalid, "The OS definition has a file with the path %.200q: paths are relative.", given)
	}
	for p := range strings.SplitSeq(given, "/") {
		if p == ".." {
			return "", fault.New(fault.Invalid, "The OS definition has a file with the path %.200q: a path has no '..'.", given)
		}
	}
	clean := path.Clean(given)
	if clean == "." {
		return "", nil
	}
	return clean, checkPath(clean, t.limits)
}

// claim sees that a path is new, and that what is above it are folders.
func (t *tree) claim(name string) error {
	_, file := t.files[name]
	_, link := t.links[name]
	if file || link || t.dirs[name] {
		return fault.New(fault.Invalid, "The OS definition has %s twice.", name)
	}
	for up := path.Dir(name); up != "."; up = path.Dir(up) {
		_, file := t.files[up]
		_, link := t.links[up]
		if file || link {
			return fault.New(fault.Invalid, "The OS definition has %s below %s, which is no folder.", name, up)
		}
		t.dirs[up] = true
	}
	return nil
}

func (t *tree) dir(name string) error {
	if name == "" || t.dirs[name] {
		return nil
	}
	if err := t.claim(name); err != nil {
		return err
	}
	t.dirs[name] = true
	return nil
}

// file keeps a file whose content r gives.
func (t *tree) file(name string, executable bool, r io.Reader) error {
	if name == "" {
		return fault.New(fault.Invalid, "The OS definition has a file without a name.")
	}
	if err := t.claim(name); err != nil {
		return err
	}
	content, err := io.ReadAll(io.LimitReader(r, t.limits.Bytes-t.used+1))
	if err != nil {
		return err
	}
	if t.used += int64(len(content)); t.used > t.limits.Bytes {
		return tooMany(t.limits)
	}
	t.files[name] = File{Name: name, Executable: executable, Content: content}
	return nil
}

// link keeps a link to a target that is relative to the link's folder.
func (t *tree) link(name, target string) error {
	if name == "" {
		return fault.New(fault.Invalid, "The OS definition has a link without a name.")
	}
	to, inside := within(name, target)
	if !inside {
		return leadsOut(name, target)
	}
	if err := t.claim(name); err != nil {
		return err
	}
	t.links[name] = to
	return nil
}

// within is where in the tree a link leads, and whether it stays inside on its whole way.
func within(name, target string) (string, bool) {
	if target == "" || strings.HasPrefix(target, "/") {
		return "", false
	}
	at := strings.Split(path.Dir(name), "/")
	if at[0] == "." {
		at = nil
	}
	for p := range strings.SplitSeq(target, "/") {
		switch {
		case p == "" || p == ".":
		case p != "..":
			at = append(at, p)
		case len(at) == 0:
			return "", false
		default:
			at = at[:len(at)-1]
		}
	}
	return strings.Join(at, "/"), true
}

func leadsOut(name, target string) error {
	return fault.New(fault.Invalid, "The file %s of the OS definition is a link to %.200q, which leads out of the definition: put the file itself there.", name, target)
}

// bundle puts files in the place of links. A packed tree may lie in one folder (as "tar -c NAME" writes it): that is taken away.
func (t *tree) bundle() (*Bundle, error) {
	if len(t.files)+len(t.links) == 0 {
		return nil, fault.New(fault.Invalid, "The OS definition has no files: pack the folder with its files, as 'tar -cz -C FOLDER .' does.")
	}
	files := make([]File, 0, len(t.files)+len(t.links))
	for _, f := range t.files {
		files = append(files, f)
	}
	for name := range t.links {
		f, err := t.resolve(name)
		if err != nil {
			return nil, err
		}
		if t.used += int64(len(f.Content)); t.used > t.limits.Bytes {
			return nil, tooMany(t.limits)
		}
		files = append(files, f)
	}
	if top := topFolder(files); top != "" {
		for i := range files {
			files[i].Name = strings.TrimPrefix(files[i].Name, top)
		}
	}
	return newBundle(files, t.limits)
}

// resolve follows a link to its file.
func (t *tree) resolve(name string) (File, error) {
	at := name
	for range maxHops {
		to, link := t.links[at]
		if !link {
			break
		}
		at = to
	}
	f, found := t.files[at]
	switch _, still := t.links[at]; {
	case found:
		return File{Name: name, Executable: f.Executable, Content: f.Content}, nil
	case still:
		return File{}, fault.New(fault.Invalid, "The file %s of the OS definition is a link that leads through more than %d others.", name, maxHops)
	case t.dirs[at] || at == "":
		return File{}, fault.New(fault.Invalid, "The file %s of the OS definition is a link to a folder: a definition has links to files only.", name)
	}
	return File{}, fault.New(fault.Invalid, "The file %s of the OS definition is a link to %.200s, which is not there.", name, at)
}

// topFolder is the one folder that all files lie in, with its slash, if the definition is in it and not around it.
func topFolder(files []File) string {
	if len(files) == 0 {
		return ""
	}
	first, _, below := strings.Cut(files[0].Name, "/")
	if !below {
		return ""
	}
	first += "/"
	has := false
	for _, f := range files {
		rest, below := strings.CutPrefix(f.Name, first)
		if !below {
			return ""
		}
		has = has || rest == versionFile
	}
	if !has {
		return ""
	}
	return first
}
