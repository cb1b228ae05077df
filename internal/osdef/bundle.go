package osdef

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"ingot/internal/fault"
)

// Limits bound what is read of a stranger's tree.
type Limits struct {
	Packed int64 // bytes of the stream as it comes
	Bytes  int64 // bytes of the canonical form
	Files  int   // files, folders and links together
	Depth  int   // folders above a file
}

// Usual are the limits of a server: a definition is scripts and lists, and images are fetched by other means.
var Usual = Limits{Packed: 8 << 20, Bytes: 8 << 20, Files: 1000, Depth: 8}

// A path must fit into the plain header of a tar file, so that there is one way to write it.
const (
	maxPath    = 155
	maxElement = 100
)

// File is one file of a bundle. Of its mode only counts whether its owner may run it.
type File struct {
	Name       string // with slashes, below the bundle's root
	Executable bool
	Content    []byte
}

// Bundle is a tree of files in canonical form. It is not changed once it is made.
type Bundle struct {
	files  []File // by name
	packed []byte
	digest string
}

// newBundle checks what can be wrong between files, and packs them.
func newBundle(files []File, l Limits) (*Bundle, error) {
	slices.SortFunc(files, func(a, b File) int { return strings.Compare(a.Name, b.Name) })
	packed, err := pack(files)
	if err != nil {
		return nil, err
	}
	if int64(len(packed)) > l.Bytes {
		return nil, tooMany(l)
	}
	sum := sha256.Sum256(packed)
	return &Bundle{files: files, packed: packed, digest: "sha256:" + hex.EncodeToString(sum[:])}, nil
}

// Digest names the content: "sha256:" and the hash of Tar.
func (b *Bundle) Digest() string { return b.digest }

// Tar is the canonical form: a ustar file of regular files in the order of their names, that belong to nobody and have no time.
// The caller does not change it.
func (b *Bundle) Tar() []byte { return b.packed }

// Files are the files in the order of their names. The caller does not change them.
func (b *Bundle) Files() []File { return b.files }

// File finds a file by its whole name.
func (b *Bundle) File(name string) (File, bool) {
	i, found := slices.BinarySearchFunc(b.files, name, func(f File, name string) int { return strings.Compare(f.Name, name) })
	if !found {
		return File{}, false
	}
	return b.files[i], true
}

// pack writes files that are sorted.
func pack(files []File) ([]byte, error) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, f := range files {
		h := tar.Header{Typeflag: tar.TypeReg, Format: tar.FormatUSTAR, Name: f.Name, Mode: 0o644, Size: int64(len(f.Content)), ModTime: time.Unix(0, 0)}
		if f.Executable {
			h.Mode = 0o755
		}
		if err := w.WriteHeader(&h); err != nil {
			return nil, fmt.Errorf("pack %s: %w", f.Name, err)
		}
		if _, err := w.Write(f.Content); err != nil {
			return nil, fmt.Errorf("pack %s: %w", f.Name, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("pack: %w", err)
	}
	return out.Bytes(), nil
}

// checkPath judges a cleaned path of a file in a bundle.
func checkPath(name string, l Limits) error {
	for i := range len(name) {
		if c := name[i]; c < ' ' || c > '~' || c == '\\' {
			return fault.New(fault.Invalid, "The OS definition has a file with the name %.200q: names are of printable ASCII characters without backslashes.", name)
		}
	}
	if len(name) > maxPath {
		return fault.New(fault.Invalid, "The OS definition has a file with a path of %d characters, %.40s…: at most %d can be.", len(name), name, maxPath)
	}
	parts := strings.Split(name, "/")
	if len(parts)-1 > l.Depth {
		return fault.New(fault.Invalid, "The file %s of the OS definition is %d folders deep: at most %d can be.", name, len(parts)-1, l.Depth)
	}
	for _, p := range parts {
		if len(p) > maxElement {
			return fault.New(fault.Invalid, "The OS definition has a name of %d characters, %.40s…: at most %d can be.", len(p), p, maxElement)
		}
	}
	return nil
}

func tooMany(l Limits) error {
	return fault.New(fault.TooLarge, "The OS definition is too large: %d files and %d bytes can be, packed or not. What is larger belongs into an image, or is fetched by the scripts.", l.Files, l.Bytes)
}
