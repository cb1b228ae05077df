package ramdisk

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// moduleTree is a kernel's modules on disk: <dir>/kernel/**.ko and <dir>/modules.builtin, the layout of
// lib/modules/<release> in a kernel package. modules.dep is not needed, and a package has none: depmod
// makes it at installation. Each module says itself what it depends on.
type moduleTree struct {
	dir     string
	release string            // the kernel's, from a module's vermagic
	files   map[string]string // by name, paths relative to dir
	builtin map[string]bool
}

// selection is what of a tree goes into a ramdisk.
type selection struct {
	load    []string // names in load order, dependencies before what needs them
	builtin []string // wanted, and in the kernel itself
	missing []string // wanted, and not in this kernel
}

// openModules indexes a tree.
func openModules(dir string) (*moduleTree, error) {
	t := &moduleTree{dir: dir, files: map[string]string{}, builtin: map[string]bool{}}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		name, compressed, _ := strings.Cut(e.Name(), ".ko")
		if name == e.Name() {
			return nil
		}
		if compressed != "" {
			return fmt.Errorf("module %s is compressed; the agent loads plain .ko files only", path)
		}
		rel, err := filepath.Rel(dir, path)
		t.files[moduleName(name)] = rel
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read kernel modules: %w", err)
	}
	if len(t.files) == 0 {
		return nil, fmt.Errorf("read kernel modules: no .ko file below %s", dir)
	}
	if err := t.readBuiltin(); err != nil {
		return nil, err
	}
	return t, t.findRelease()
}

// moduleName is the kernel's name of a module: file names have dashes where names have underscores.
func moduleName(s string) string { return strings.ReplaceAll(s, "-", "_") }

func (t *moduleTree) readBuiltin() error {
	b, err := os.ReadFile(filepath.Join(t.dir, "modules.builtin"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read kernel modules: %w", err)
	}
	for line := range strings.Lines(string(b)) {
		base := strings.TrimSuffix(filepath.Base(strings.TrimSpace(line)), ".ko")
		t.builtin[moduleName(base)] = true
	}
	return nil
}

// findRelease takes the release from the first module's vermagic: "6.1.0-56-amd64 SMP preempt …".
func (t *moduleTree) findRelease() error {
	names := make([]string, 0, len(t.files))
	for name := range t.files {
		names = append(names, name)
	}
	info, err := t.info(slices.Min(names))
	if err != nil {
		return err
	}
	release, _, _ := strings.Cut(info.vermagic, " ")
	if release == "" || strings.ContainsAny(release, "/\n") {
		return fmt.Errorf("module %s has no version: not a Linux module", slices.Min(names))
	}
	t.release = release
	return nil
}

// moduleInfo is the part of a module's .modinfo section that matters here.
type moduleInfo struct {
	depends  []string // modules whose symbols it uses
	pre      []string // modules it asks to have before it ("softdep: pre"); not all exist
	vermagic string
}

func (t *moduleTree) info(name string) (moduleInfo, error) {
	f, err := elf.Open(filepath.Join(t.dir, t.files[name]))
	if err != nil {
		return moduleInfo{}, fmt.Errorf("read module %s: %w", name, err)
	}
	defer f.Close() // read-only: nothing is lost
	section := f.Section(".modinfo")
	if section == nil {
		return moduleInfo{}, fmt.Errorf("read module %s: no .modinfo section", name)
	}
	b, err := io.ReadAll(io.LimitReader(section.Open(), 1<<20))
	if err != nil {
		return moduleInfo{}, fmt.Errorf("read module %s: %w", name, err)
	}
	return parseModinfo(b), nil
}

// parseModinfo reads key=value strings, each ended by a zero byte (source: kernel, include/linux/moduleparam.h).
func parseModinfo(b []byte) moduleInfo {
	var info moduleInfo
	for field := range bytes.SplitSeq(b, []byte{0}) {
		key, value, _ := strings.Cut(string(field), "=")
		switch key {
		case "vermagic":
			info.vermagic = value
		case "depends":
			for _, d := range strings.FieldsFunc(value, func(r rune) bool { return r == ',' }) {
				info.depends = append(info.depends, moduleName(d))
			}
		case "softdep":
			words := strings.Fields(value)
			before := false
			for _, w := range words {
				if strings.HasSuffix(w, ":") {
					before = w == "pre:"
				} else if before {
					info.pre = append(info.pre, moduleName(w))
				}
			}
		}
	}
	return info
}

// pick resolves what is wanted to modules in load order.
func (t *moduleTree) pick(wants []want) (selection, error) {
	s := selection{builtin: []string{}, missing: []string{}} // lists in the manifest, not null
	p := picker{tree: t, done: map[string]bool{}}
	for _, w := range wants {
		switch {
		case t.files[w.name] != "":
			if err := p.add(w.name, nil); err != nil {
				return selection{}, err
			}
		case t.builtin[w.name]:
			s.builtin = append(s.builtin, w.name)
		default:
			s.missing = append(s.missing, w.name)
		}
	}
	s.load = p.order
	return s, nil
}

type picker struct {
	tree  *moduleTree
	done  map[string]bool
	order []string
}

// add puts a module after everything it depends on. path is the chain that led here.
func (p *picker) add(name string, path []string) error {
	if p.done[name] {
		return nil
	}
	path = append(path, name)
	if slices.Contains(path[:len(path)-1], name) {
		return fmt.Errorf("kernel modules depend on each other in a circle: %s", strings.Join(path, " → "))
	}
	info, err := p.tree.info(name)
	if err != nil {
		return err
	}
	for _, d := range info.pre {
		// A wish, and often an alias that only modprobe could resolve: taken where it is a module's
		// name, and not at the price of a circle.
		if p.tree.files[d] != "" && !slices.Contains(path, d) {
			if err := p.add(d, path); err != nil {
				return err
			}
		}
	}
	for _, d := range info.depends {
		if p.tree.files[d] == "" {
			if p.tree.builtin[d] {
				continue
			}
			return fmt.Errorf("kernel module %s needs %s, which this kernel does not have", name, d)
		}
		if err := p.add(d, path); err != nil {
			return err
		}
	}
	p.done[name] = true
	p.order = append(p.order, name)
	return nil
}
