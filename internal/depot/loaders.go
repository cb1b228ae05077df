package depot

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"ingot/internal/fault"
	"ingot/internal/metal"
)

// LoaderFolder is where a ramdisk folder has the boot loaders for the network.
const LoaderFolder = "loaders"

// The boot loaders of a ramdisk folder, by the names that machines ask for.
const (
	LoaderShim     = "bootx64.efi"   // shim, which starts grubx64.efi
	LoaderGrub     = "grubx64.efi"   // GRUB that finds its configuration by TFTP, signed for shim
	LoaderIPXE     = "snponly.efi"   // iPXE for UEFI; signed by nobody
	LoaderIPXEBIOS = "undionly.kpxe" // iPXE for BIOS
)

// maxLoader is the largest boot loader there may be: they are of one or two MB.
const maxLoader = 32 << 20

// LoaderConfig is what the operator says of boot loaders. Names are those of upstream's options.
type LoaderConfig struct {
	TFTPRoot string   // folder with the operator's own loaders; "": those of the ramdisk folder
	Paths    []string // loader_file_paths: dest:source
	FileMode os.FileMode
	DirMode  os.FileMode // 0: as it comes

	UEFIPXE, PXE, UEFIIPXE, IPXE string   // bootfile names
	PXEByArch, IPXEByArch        []string // arch:name or arch-mode:name
}

// Loaders knows which boot loader a firmware is given, and the files of them. It is safe for many goroutines.
type Loaders struct {
	c            LoaderConfig
	byArch, ipxe map[string]string
	folder       string // of the ramdisk
	copied       []string
	manifest     func() (*Manifest, error)
	hashes       hashes
}

// loaderName is what a file beside a loader may be called: at most three plain parts.
var loaderName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,63}(/[A-Za-z0-9_][A-Za-z0-9._-]{0,63}){0,2}$`)

// OpenLoaders checks what is configured and copies the loaders that loader_file_paths names into tftp_root. A source that
// is missing is an error that names it. folder is the ramdisk's; it may be empty still.
func OpenLoaders(folder string, c LoaderConfig) (*Loaders, error) {
	l := &Loaders{c: c, folder: folder, manifest: func() (*Manifest, error) { return ReadManifest(folder) }}
	for _, n := range []struct{ option, name string }{{"uefi_pxe_bootfile_name", c.UEFIPXE}, {"pxe_bootfile_name", c.PXE}, {"uefi_ipxe_bootfile_name", c.UEFIIPXE}, {"ipxe_bootfile_name", c.IPXE}} {
		if !loaderName.MatchString(n.name) {
			return nil, fault.New(fault.Invalid, "[pxe] %s: %q is no name of a file below tftp_root.", n.option, n.name)
		}
	}
	var err error
	if l.byArch, err = archMap("pxe_bootfile_name_by_arch", c.PXEByArch); err != nil {
		return nil, err
	}
	if l.ipxe, err = archMap("ipxe_bootfile_name_by_arch", c.IPXEByArch); err != nil {
		return nil, err
	}
	if c.TFTPRoot == "" && len(c.Paths) > 0 {
		return nil, fault.New(fault.Invalid, "[pxe] loader_file_paths copies into tftp_root, and no tftp_root is given.")
	}
	for _, p := range c.Paths {
		if err := l.copyIn(p); err != nil {
			return nil, err
		}
	}
	return l, nil
}

func archMap(option string, pairs []string) (map[string]string, error) {
	out := map[string]string{}
	for _, pair := range pairs {
		arch, name, ok := strings.Cut(pair, ":")
		if !ok || arch == "" || !loaderName.MatchString(name) {
			return nil, fault.New(fault.Invalid, "[pxe] %s: %q is not like aarch64:grubaa64.efi.", option, pair)
		}
		out[arch] = name
	}
	return out, nil
}

// copyIn puts one loader into tftp_root, whole or not at all; one that is there as it is stays.
func (l *Loaders) copyIn(pair string) error {
	dest, source, ok := strings.Cut(pair, ":")
	if !ok || !loaderName.MatchString(dest) || !filepath.IsAbs(source) {
		return fault.New(fault.Invalid, "[pxe] loader_file_paths: %q is not like bootx64.efi:/usr/lib/shim/shimx64.efi.signed.", pair)
	}
	data, err := readLoader(source)
	if err != nil {
		return fault.Wrap(fault.Invalid, err, "[pxe] loader_file_paths: the boot loader %s, for %s, cannot be copied: %v", source, dest, err)
	}
	to := filepath.Join(l.c.TFTPRoot, dest)
	if is, err := readLoader(to); err == nil && string(is) == string(data) {
		l.copied = append(l.copied, dest)
		return os.Chmod(to, l.c.FileMode)
	}
	if err := l.makeFolder(filepath.Dir(to)); err != nil {
		return fmt.Errorf("[pxe] tftp_root: %w", err)
	}
	f, err := os.CreateTemp(filepath.Dir(to), ".new-*")
	if err != nil {
		return fmt.Errorf("[pxe] tftp_root: %w", err)
	}
	defer os.Remove(f.Name()) // renamed, if all went well
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(l.c.FileMode), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), to)
	}
	if err != nil {
		return fmt.Errorf("[pxe] loader_file_paths: copy %s: %w", source, err)
	}
	l.copied = append(l.copied, dest)
	return nil
}

func (l *Loaders) makeFolder(dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	mode := l.c.DirMode
	if mode == 0 {
		mode = 0o755
	}
	if err := os.MkdirAll(dir, mode); err != nil {
		return err
	}
	return os.Chmod(dir, mode)
}

func readLoader(name string) ([]byte, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close() // read-only: nothing is lost
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular() || info.Size() == 0 || info.Size() > maxLoader:
		return nil, fault.New(fault.Invalid, "it is no file of 1 byte to %d MB", maxLoader>>20)
	}
	return io.ReadAll(io.LimitReader(f, maxLoader))
}

// Of is what a firmware boots first, as a name below the boot's key. The error says why there is nothing for it, or what is
// missing.
func (l *Loaders) Of(iface, arch, firmware string) (string, error) {
	name, err := l.choose(iface, arch, firmware)
	if err != nil || name == NetISO {
		return name, err
	}
	f, err := l.Open(name)
	if err != nil {
		return "", err
	}
	return name, f.Close()
}

func (l *Loaders) choose(iface, arch, firmware string) (string, error) {
	overHTTP := iface == metal.BootHTTP || iface == metal.BootHTTPIPXE
	mapped := l.byArch
	if iface == metal.BootIPXE || iface == metal.BootHTTPIPXE {
		mapped = l.ipxe
	}
	for _, key := range []string{arch + "-" + firmware, arch} {
		if name, ok := mapped[key]; ok {
			return name, nil
		}
	}
	switch {
	case overHTTP && firmware == metal.BIOS:
		return "", fault.New(fault.Invalid, "The boot interface %s needs UEFI: firmware in BIOS mode does not boot over HTTP.", iface)
	case arch != "x86_64":
		return "", fault.New(fault.Invalid, "There is no boot loader for %s: name one in [pxe] pxe_bootfile_name_by_arch or ipxe_bootfile_name_by_arch.", arch)
	case iface == metal.BootHTTP:
		return NetISO, nil
	case iface == metal.BootPXE && firmware == metal.BIOS:
		return "", fault.New(fault.Invalid, "The boot interface pxe needs UEFI, because its GRUB is signed for that alone: use the boot interface ipxe for machines in BIOS mode.")
	case iface == metal.BootPXE:
		return l.c.UEFIPXE, nil
	case firmware == metal.BIOS:
		return l.c.IPXE, nil
	}
	return l.c.UEFIIPXE, nil
}

// Open opens a loader, or what a loader fetches beside itself, by name. fault.NotFound if there is none.
func (l *Loaders) Open(name string) (*os.File, error) {
	if !loaderName.MatchString(name) {
		return nil, fault.New(fault.NotFound, "There is no boot loader %q.", name)
	}
	if l.c.TFTPRoot != "" {
		if f, err := openBelow(l.c.TFTPRoot, name); err == nil {
			return f, nil
		}
		if slices.Contains(l.copied, name) {
			return nil, fault.New(fault.Unavailable, "The boot loader %s, which [pxe] loader_file_paths names, is gone from tftp_root: restart the server.", name)
		}
	}
	return l.openOwn(name)
}

// openOwn opens a loader of the ramdisk folder, whose bytes are those of the manifest.
func (l *Loaders) openOwn(name string) (*os.File, error) {
	if !slices.Contains([]string{LoaderShim, LoaderGrub, LoaderIPXE, LoaderIPXEBIOS}, name) {
		return nil, fault.New(fault.NotFound, "There is no boot loader %s: name it in [pxe] loader_file_paths.", name)
	}
	m, err := l.manifest()
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(m.Loaders, func(f File) bool { return f.Name == name })
	if i < 0 {
		return nil, fault.New(fault.NotFound, "The ramdisk folder has no boot loader %s: run \"ingot ramdisk build\" again, or name one in [pxe] loader_file_paths.", name)
	}
	return l.hashes.open(filepath.Join(l.folder, LoaderFolder, name), metal.BootFile(m.Loaders[i]))
}

// gone tells whether an error says that a file is not there.
func gone(err error) bool { return errors.Is(err, fs.ErrNotExist) }
