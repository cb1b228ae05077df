package depot

import (
	"cmp"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"ingot/internal/agentapi"
	"ingot/internal/fault"
	"ingot/internal/metal"
)

// maxOlder is how many replaced templates stay open for the boots that began with them.
const maxOlder = 4

// folder is a ramdisk folder, and the boot ISO templates that were opened from it.
type folder struct {
	dir  string
	kind string // of ramdisk that must be in it; "": the one of New, where any is taken

	mu      sync.Mutex
	current *BootISO    // the newest template
	seen    os.FileInfo // its manifest when it was opened
	older   []*BootISO  // replaced by a newer build, newest first; addresses may still mean them
}

// folders are the ramdisk folder of every role, and those of roles that have one of their own: a Debian ramdisk. Roles with the
// same folder share it.
func folders(dir string, own map[agentapi.Role]string) map[agentapi.Role]*folder {
	out := map[agentapi.Role]*folder{agentapi.RoleDeploy: {dir: dir}}
	shared := map[string]*folder{}
	for role, dir := range own {
		if shared[dir] == nil {
			shared[dir] = &folder{dir: dir, kind: KindDebian}
		}
		out[role] = shared[dir]
	}
	return out
}

// folder is where the ramdisk of a role lies.
func (d *Depot) folder(role agentapi.Role) *folder {
	if f := d.folders[role]; f != nil {
		return f
	}
	return d.folders[agentapi.RoleDeploy]
}

// BootISO gives the newest template of a role's ramdisk: the error of OpenBootISO if there is none that can be used.
func (d *Depot) BootISO(role agentapi.Role) (*BootISO, error) { return d.folder(role).bootISO() }

// Ramdisk is the kernel and the initramfs of a role's ramdisk folder.
func (d *Depot) Ramdisk(role agentapi.Role) (kernel, initramfs metal.BootFile, err error) {
	f := d.folder(role)
	m, err := ReadManifest(f.dir)
	if err != nil {
		return kernel, initramfs, f.explained(err)
	}
	if err := f.fits(m); err != nil {
		return kernel, initramfs, err
	}
	for _, part := range []struct {
		name string
		to   *metal.BootFile
	}{{KernelName, &kernel}, {InitramfsName, &initramfs}} {
		file, ok := m.File(part.name)
		if !ok {
			return kernel, initramfs, f.explained(stale(nil, "its manifest has no "+part.name))
		}
		*part.to = metal.BootFile(file)
	}
	return kernel, initramfs, nil
}

// fits refuses a ramdisk of another kind than the folder's roles need: the deploy ramdisk lets nobody log in, and has nothing
// that scripts could run with.
func (f *folder) fits(m *Manifest) error {
	if f.kind != "" && m.Kind != f.kind {
		return fault.New(fault.Conflict, "The ramdisk to rescue machines with, and to install by OS definitions, is of the kind %s: run \"ingot ramdisk build --kind debian\".", cmp.Or(m.Kind, KindDeploy))
	}
	return nil
}

// explained says of which ramdisk an error speaks, and how that is built, where it is not the one of every role.
func (f *folder) explained(err error) error {
	if f.kind == "" {
		return err
	}
	if errors.Is(err, os.ErrNotExist) && fault.KindOf(err) == fault.Unavailable {
		return fault.Wrap(fault.Unavailable, err, "There is no ramdisk to rescue machines with, and to install by OS definitions: run \"ingot ramdisk build --kind debian\".")
	}
	if said, ok := fault.PublicOf(err); ok {
		return fault.Wrap(fault.KindOf(err), err, "The Debian ramdisk: %s With --kind debian.", said)
	}
	return err
}

func (f *folder) bootISO() (*BootISO, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now, err := os.Stat(filepath.Join(f.dir, ManifestName))
	if err == nil && f.current != nil && os.SameFile(now, f.seen) && now.ModTime().Equal(f.seen.ModTime()) {
		return f.current, nil
	}
	t, openErr := OpenBootISO(f.dir)
	if openErr != nil {
		return nil, f.explained(openErr)
	}
	if err := f.fits(t.manifest); err != nil {
		return nil, errors.Join(err, t.Close())
	}
	if f.current != nil && f.current.id == t.id {
		f.seen = now
		return f.current, t.Close()
	}
	if f.current != nil {
		// Who falls off the end may still be read: the file closes when the last reader lets go of it.
		f.older = append([]*BootISO{f.current}, f.older[:min(len(f.older), maxOlder-1)]...)
	}
	f.current, f.seen = t, now
	return t, nil
}

// templates gives every template an address may have been made for, the newest first. One that is open
// stays good when its folder is damaged or taken away.
func (f *folder) templates(log *slog.Logger) []*BootISO {
	_, err := f.bootISO()
	if err != nil && !(f.kind != "" && fault.KindOf(err) == fault.Unavailable) { // not everybody rescues
		log.Warn("boot ISO not usable", "error", err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []*BootISO
	if f.current != nil {
		all = append(all, f.current)
	}
	return append(all, f.older...)
}

func (f *folder) close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	var errs []error
	for _, t := range f.older {
		errs = append(errs, t.Close())
	}
	if f.current != nil {
		errs = append(errs, f.current.Close())
	}
	f.current, f.older = nil, nil
	return errors.Join(errs...)
}
