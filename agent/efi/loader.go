package efi

import (
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"path"
	"runtime"
	"slices"
	"strings"
	"unicode/utf16"
)

const (
	// maxCSV bounds a boot CSV file; real ones have one line.
	maxCSV = 16 << 10
	// maxLabel keeps boot entries readable in a firmware's menu.
	maxLabel = 40
)

// archNames are what UEFI calls processors in file names. Source: UEFI specification 2.10, §3.5.1.1.
var archNames = map[string]string{"amd64": "x64", "arm64": "aa64", "riscv64": "riscv64"}

// Loader is a program on the EFI system partition. Path is with backslashes, from its root.
type Loader struct{ Path, Label string }

// FindLoader looks for the loader of this machine's architecture. A vendor's boot CSV wins (it names what
// the vendor wants to be started, shim as a rule); the removable-media path is next.
func FindLoader(files fs.FS) (Loader, error) { return findLoader(files, archNames[runtime.GOARCH]) }

func findLoader(files fs.FS, arch string) (Loader, error) {
	efi, err := child(files, ".", "efi")
	if err != nil {
		return Loader{}, errors.New("it has no directory EFI")
	}
	vendors, err := fs.ReadDir(files, efi)
	if err != nil {
		return Loader{}, err
	}
	for _, v := range vendors {
		for _, name := range []string{"boot" + arch + ".csv", "boot.csv"} {
			dir := path.Join(efi, v.Name())
			if csv, err := child(files, dir, name); err == nil {
				if l, ok := fromCSV(files, dir, csv); ok {
					return l, nil
				}
			}
		}
	}
	if dir, err := child(files, efi, "boot"); err == nil {
		if p, err := child(files, dir, "boot"+arch+".efi"); err == nil {
			return Loader{firmwarePath(p), "disk"}, nil
		}
	}
	return Loader{}, errors.New("it has no boot loader for this machine's processor")
}

// child finds a name in a directory; FAT does not tell case apart.
func child(files fs.FS, dir, name string) (string, error) {
	entries, err := fs.ReadDir(files, dir)
	if err != nil {
		return "", err
	}
	i := slices.IndexFunc(entries, func(e fs.DirEntry) bool { return strings.EqualFold(e.Name(), name) })
	if i < 0 {
		return "", fs.ErrNotExist
	}
	return path.Join(dir, entries[i].Name()), nil
}

// fromCSV reads the first line of a boot CSV: loader,label,options,description in UTF-16. The loader must
// be a file beside it: the image is a stranger's.
func fromCSV(files fs.FS, dir, csv string) (Loader, bool) {
	f, err := files.Open(csv)
	if err != nil {
		return Loader{}, false
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxCSV))
	if err != nil {
		return Loader{}, false
	}
	line, _, _ := strings.Cut(strings.TrimLeft(fromUTF16(data), "\ufeff"), "\n")
	fields := strings.Split(line, ",")
	if len(fields) < 2 || strings.ContainsAny(fields[0], `/\`) {
		return Loader{}, false
	}
	program, err := child(files, dir, strings.TrimSpace(fields[0]))
	if err != nil {
		return Loader{}, false
	}
	label := plainLabel(fields[1])
	if label == "" {
		label = "disk"
	}
	return Loader{firmwarePath(program), label}, true
}

func firmwarePath(p string) string { return `\` + strings.ReplaceAll(p, "/", `\`) }

// plainLabel keeps what every firmware can show.
func plainLabel(s string) string {
	s = strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, s))
	return s[:min(len(s), maxLabel)]
}

// fromUTF16 reads little-endian text, which is what firmware and its files have.
func fromUTF16(b []byte) string {
	units := make([]uint16, len(b)/2)
	for i := range units {
		units[i] = binary.LittleEndian.Uint16(b[2*i:])
	}
	return string(utf16.Decode(units))
}

// toUTF16 ends the text with a zero unit.
func toUTF16(s string) (b []byte) {
	for _, u := range append(utf16.Encode([]rune(s)), 0) {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return b
}
