package ramdisk

import (
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
)

// raidWanted are the modules that the agent loads when it has to do with software RAID, and not before: raid6_pq
// measures the processor for a second when it is loaded.
var raidWanted = []want{
	{"raid0", "arrays of level 0"},
	{"raid1", "arrays of level 1"},
	{"raid10", "arrays of level 1+0"},
	{"raid456", "arrays of levels 5 and 6"},
}

// The program that makes arrays, and where its libraries are.
const (
	mdadmPackage = "mdadm"
	mdadmFile    = "sbin/mdadm"
)

// libraryPackages are those that hold what mdadm is linked with.
var libraryPackages = []string{"libc6", "libudev1"}

// libraryFolders are where the dynamic linker looks; source: ld.so(8) and Debian's multiarch paths.
var libraryFolders = []string{"lib64", "lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu"}

// placed is a file to copy, and where to.
type placed struct{ name, source string }

// mdadm gives mdadm, its libraries and the dynamic linker.
func (d *debian) mdadm(ctx context.Context) ([]placed, error) {
	dir, err := d.unpacked(ctx, mdadmPackage)
	if err != nil {
		return nil, err
	}
	var folders []string
	for _, name := range libraryPackages {
		lib, err := d.unpacked(ctx, name)
		if err != nil {
			return nil, err
		}
		for _, f := range libraryFolders {
			folders = append(folders, filepath.Join(lib, f))
		}
	}
	program := filepath.Join(dir, mdadmFile)
	if _, err := os.Stat(program); err != nil {
		program = filepath.Join(dir, "usr", mdadmFile)
	}
	return linked(mdadmFile, program, folders)
}

// linked gives a program with everything that it is linked with, found in folders.
func linked(name, program string, folders []string) ([]placed, error) {
	files := []placed{{name, program}}
	for todo := []string{program}; len(todo) > 0; todo = todo[1:] {
		needs, interpreter, err := needsOf(todo[0])
		if err != nil {
			return nil, err
		}
		if interpreter != "" {
			needs = append(needs, interpreter)
		}
		for _, n := range needs {
			at := path.Join("lib/x86_64-linux-gnu", path.Base(n))
			if path.IsAbs(n) {
				at = n[1:] // the kernel starts the linker by this name
			}
			if slices.ContainsFunc(files, func(p placed) bool { return path.Base(p.name) == path.Base(at) }) {
				continue
			}
			source, err := library(path.Base(n), folders)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", filepath.Base(program), err)
			}
			files, todo = append(files, placed{at, source}), append(todo, source)
		}
	}
	return files, nil
}

// needsOf reads what a program or library is linked with.
func needsOf(file string) (libraries []string, interpreter string, err error) {
	f, err := elf.Open(file)
	if err != nil {
		return nil, "", err
	}
	defer f.Close() // read-only: nothing is lost
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP && p.Filesz < 4096 {
			b := make([]byte, p.Filesz)
			if _, err := p.ReadAt(b, 0); err != nil {
				return nil, "", err
			}
			interpreter = string(bytes.TrimRight(b, "\x00"))
		}
	}
	libraries, err = f.ImportedLibraries()
	return libraries, interpreter, err
}

// library finds a library's file. A link is followed within its folder only: absolute ones are meant for a whole
// system.
func library(name string, folders []string) (string, error) {
	for _, dir := range folders {
		at := filepath.Join(dir, name)
		info, err := os.Lstat(at)
		if err != nil {
			continue
		}
		if info.Mode()&os.ModeSymlink == 0 {
			return at, nil
		}
		if target, err := os.Readlink(at); err == nil {
			if found, err := library(filepath.Base(target), slices.DeleteFunc(slices.Clone(folders), func(f string) bool {
				_, err := os.Lstat(filepath.Join(f, filepath.Base(target)))
				return err != nil || filepath.Join(f, filepath.Base(target)) == at
			})); err == nil {
				return found, nil
			}
		}
	}
	return "", fmt.Errorf("%s is in none of the packages: %w", name, errors.ErrUnsupported)
}

// fillRAID puts the modules for arrays and mdadm into the archive. It gives the modules' names.
func fillRAID(a *archive, tree *moduleTree, s selection, files []placed) ([]string, error) {
	if len(files) == 0 {
		return nil, nil
	}
	both, err := tree.pick(slices.Concat(wanted, raidWanted))
	if err != nil {
		return nil, err
	}
	// What is wanted comes first either way, and in the same order.
	extra := both.load[len(s.load):]
	var list bytes.Buffer
	for _, name := range extra {
		file := path.Join("lib/modules", tree.release, tree.files[name])
		a.add(entry{name: file, mode: modeFile, source: path.Join(tree.dir, tree.files[name])})
		fmt.Fprintln(&list, "/"+file)
	}
	a.add(entry{name: "etc/ingot/modules.raid", mode: modeFile, data: list.Bytes()})
	for _, f := range files {
		a.add(entry{name: f.name, mode: modeExec, source: f.source})
	}
	return extra, nil
}
