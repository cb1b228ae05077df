package disk

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/diskfs/go-diskfs/backend"
	"github.com/diskfs/go-diskfs/filesystem/fat32"

	"ingot/internal/image"
)

// Bounds on what is taken out of an image.
const (
	maxText     = 256 << 10 // of a text file
	maxLoader   = 16 * mib  // of a boot loader's file
	maxLoaders  = 48 * mib  // of all
	maxESPFiles = 64
)

// bootFiles is what goes onto the EFI system partition, all from inside the image but for GRUB's first file. Nothing
// of it is run here: the firmware judges it, and with Secure Boot starts only what is signed.
type bootFiles struct {
	files map[string][]byte // by path, with slashes, without the first
	fstab fstab
}

// loaders are where packages keep signed boot loaders for their own installers to copy. Sources: Debian's and Ubuntu's
// shim-signed and grub-efi-*-signed.
var loaders = map[string]struct{ shim, grub, manager []string }{
	"amd64": {
		[]string{"/usr/lib/shim/shimx64.efi.signed", "/usr/lib/shim/shimx64.efi.signed.latest"},
		[]string{"/usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed"},
		[]string{"/usr/lib/shim/mmx64.efi.signed", "/usr/lib/shim/mmx64.efi"},
	},
	"arm64": {
		[]string{"/usr/lib/shim/shimaa64.efi.signed", "/usr/lib/shim/shimaa64.efi.signed.latest"},
		[]string{"/usr/lib/grub/arm64-efi-signed/grubaa64.efi.signed"},
		[]string{"/usr/lib/shim/mmaa64.efi.signed", "/usr/lib/shim/mmaa64.efi"},
	},
}

// efiNames are UEFI's words for processors in file names. Source: UEFI 2.10, 3.5.1.1.
var efiNames = map[string]string{"amd64": "x64", "arm64": "aa64"}

// findBoot looks for boot loaders: the image's own EFI system partition, if it keeps one as a folder, else those of
// its packages.
func findBoot(root *image.Ext4, arch string) (*bootFiles, error) {
	b := &bootFiles{files: map[string][]byte{}}
	text, err := root.ReadFile("/etc/fstab", maxText)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	b.fstab = parseFstab(string(text))
	name := efiNames[arch]
	if name == "" {
		return nil, fmt.Errorf("no boot loaders for processors of type %s are known", arch)
	}
	if err := b.fromFolder(root, "/boot/efi/EFI", "EFI", 0); err != nil {
		return nil, err
	}
	if _, ok := b.get("EFI/BOOT/BOOT" + name + ".EFI"); !ok {
		if err := b.fromPackages(root, arch, name); err != nil {
			return nil, err
		}
	}
	return b, b.addConfig(root, name)
}

// get finds a file as FAT does, whatever its case.
func (b *bootFiles) get(name string) ([]byte, bool) {
	for k, v := range b.files {
		if strings.EqualFold(k, name) {
			return v, true
		}
	}
	return nil, false
}

// put adds a file, and replaces one of the same name in another case.
func (b *bootFiles) put(name string, content []byte) error {
	total := len(content)
	for k, v := range b.files {
		if strings.EqualFold(k, name) {
			delete(b.files, k)
		} else {
			total += len(v)
		}
	}
	if b.files[name] = content; total > maxLoaders || len(b.files) > maxESPFiles {
		return fmt.Errorf("its boot loaders are more than %d files or %d MiB", maxESPFiles, maxLoaders/mib)
	}
	return nil
}

// plainName is a name that FAT, GRUB and firmware all take.
var plainName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}$`)

// fromFolder copies a tree two folders deep, which is as deep as vendors go. Names that are not plain are left out.
func (b *bootFiles) fromFolder(root *image.Ext4, from, to string, depth int) error {
	names, err := root.Names(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if len(names) > maxESPFiles {
		return fmt.Errorf("%s has %d entries, more than any boot loader's", from, len(names))
	}
	for _, name := range names {
		if !plainName.MatchString(name) || strings.HasSuffix(name, ".") {
			continue
		}
		content, err := root.ReadFile(path.Join(from, name), maxLoader)
		switch {
		case err == nil:
			err = b.put(path.Join(to, name), content)
		case errors.Is(err, image.ErrNotAFile) && depth < 2:
			err = b.fromFolder(root, path.Join(from, name), path.Join(to, name), depth+1)
		case errors.Is(err, image.ErrNotAFile), errors.Is(err, fs.ErrNotExist): // deeper, a device, or a link to nowhere
			err = nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// fromPackages takes signed loaders under the removable name, which firmware finds by itself, and under the vendor's.
func (b *bootFiles) fromPackages(root *image.Ext4, arch, name string) error {
	from := loaders[arch]
	shim, err := first(root, from.shim)
	if err != nil {
		return err
	}
	grub, err := first(root, from.grub)
	if err != nil {
		return err
	}
	if shim == nil || grub == nil {
		return fmt.Errorf("it has no boot loader for UEFI: neither /boot/efi/EFI/BOOT/BOOT%s.EFI nor %s and %s. "+
			"Install the packages shim-signed and grub-efi-%s-signed in it, or use a whole-disk image", strings.ToUpper(name), from.shim[0], from.grub[0], arch)
	}
	manager, err := first(root, from.manager)
	if err != nil {
		return err
	}
	vendor, err := vendorOf(root)
	if err != nil {
		return err
	}
	for _, f := range []struct {
		name    string
		content []byte
	}{
		{"EFI/BOOT/BOOT" + strings.ToUpper(name) + ".EFI", shim}, {"EFI/BOOT/grub" + name + ".efi", grub}, {"EFI/BOOT/mm" + name + ".efi", manager},
		{"EFI/" + vendor + "/shim" + name + ".efi", shim}, {"EFI/" + vendor + "/grub" + name + ".efi", grub}, {"EFI/" + vendor + "/mm" + name + ".efi", manager},
	} {
		if f.content == nil {
			continue
		}
		if err := b.put(f.name, f.content); err != nil {
			return err
		}
	}
	return nil
}

// first is the first of the files that is there; nil for none.
func first(root *image.Ext4, names []string) ([]byte, error) {
	for _, name := range names {
		content, err := root.ReadFile(name, maxLoader)
		if err == nil || !errors.Is(err, fs.ErrNotExist) {
			return content, err
		}
	}
	return nil, nil
}

// vendorOf is the folder in which the distribution's GRUB looks for its configuration: the ID of os-release(5).
func vendorOf(root *image.Ext4) (string, error) {
	text, err := root.ReadFile("/etc/os-release", maxText)
	if err != nil {
		return "", fmt.Errorf("who made it cannot be read: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		id, ok := strings.CutPrefix(strings.TrimSpace(line), "ID=")
		if id = strings.Trim(id, `"'`); ok && plainName.MatchString(id) && !strings.EqualFold(id, "boot") && !strings.HasSuffix(id, ".") {
			return id, nil
		}
	}
	return "", errors.New("its /etc/os-release has no usable ID")
}

// addConfig writes GRUB's first file beside every GRUB: it finds the root by its id and goes on with the image's own.
func (b *bootFiles) addConfig(root *image.Ext4, name string) error {
	folder := ""
	for _, f := range []string{"/boot/grub", "/boot/grub2"} {
		if _, err := root.ReadFile(f+"/grub.cfg", maxLoader); err == nil {
			folder = f
			break
		}
	}
	if folder == "" {
		return errors.New("it has no configuration of GRUB, /boot/grub/grub.cfg or /boot/grub2/grub.cfg")
	}
	text := fmt.Sprintf("search --no-floppy --fs-uuid --set=root %s\nset prefix=($root)%s\nconfigfile $prefix/grub.cfg\n", root.FileSystem().UUID, folder)
	found := false
	for k := range b.files {
		if !strings.EqualFold(path.Base(k), "grub"+name+".efi") {
			continue
		}
		found = true
		if err := b.put(path.Join(path.Dir(k), "grub.cfg"), []byte(text)); err != nil {
			return err
		}
	}
	if !found {
		return fmt.Errorf("it boots with something else than GRUB: there is no grub%s.efi", name)
	}
	return nil
}

// fill makes the file system, with the id that the image's fstab asks for.
func (b *bootFiles) fill(esp *device) error {
	name := b.fstab.esp.label
	if name == "" {
		name = "efi-part" // as upstream names it
	}
	disk := &fatDisk{device: esp}
	sector := max(esp.sector, 512)
	made, err := fat32.Create(disk, esp.size, 0, sector, name, false)
	if err != nil {
		return fmt.Errorf("make the EFI system partition: %w", err)
	}
	names := make([]string, 0, len(b.files))
	for k := range b.files {
		names = append(names, k)
	}
	slices.Sort(names)
	for _, name := range names {
		if err := addFile(made, "/"+name, b.files[name]); err != nil {
			return fmt.Errorf("write %s to the EFI system partition: %w", name, err)
		}
	}
	if err := settleParents(esp); err != nil {
		return err
	}
	if id := b.fstab.esp.uuid; len(id) == 4 { // else the one that the library made of the time
		id = slices.Clone(id)
		slices.Reverse(id)                              // text begins with the highest
		for _, at := range []int64{67, 6*sector + 67} { // the serial, in both boot sectors: Microsoft's FAT specification, 3.3
			if _, err := esp.WriteAt(id, at); err != nil {
				return err
			}
		}
	}
	return nil
}

// settleParents makes ".." in the root's folders point to no cluster, as Microsoft's FAT specification, 6.5, has it;
// the library names the root's.
func settleParents(esp *device) error {
	boot := make([]byte, 512)
	if _, err := esp.ReadAt(boot, 0); err != nil {
		return err
	}
	sector := int64(le.Uint16(boot[11:]))
	cluster := sector * int64(boot[13])
	data := sector * (int64(le.Uint16(boot[14:])) + int64(boot[16])*int64(le.Uint32(boot[36:])))
	at := func(n int64) int64 { return data + (n-2)*cluster }
	root := make([]byte, cluster)
	if _, err := esp.ReadAt(root, at(int64(le.Uint32(boot[44:])))); err != nil {
		return err
	}
	const entry = 32
	for e := root; len(e) >= entry && e[0] != 0; e = e[entry:] {
		if e[11]&0x3f != 0x10 || e[0] == 0xe5 {
			continue
		}
		parent := at(int64(le.Uint16(e[20:]))<<16|int64(le.Uint16(e[26:]))) + entry
		name := make([]byte, 2)
		if _, err := esp.ReadAt(name, parent); err != nil || string(name) != ".." {
			return errors.Join(err, errors.New("the EFI system partition does not read back as it was written"))
		}
		for _, field := range []int64{20, 26} {
			if _, err := esp.WriteAt([]byte{0, 0}, parent+field); err != nil {
				return err
			}
		}
	}
	return nil
}

func addFile(made *fat32.FileSystem, name string, content []byte) error {
	if err := made.Mkdir(path.Dir(name)); err != nil { // with those above; one that is there is no error
		return err
	}
	f, err := made.OpenFile(name, os.O_CREATE|os.O_RDWR)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Close())
}

// fatDisk is a device as the FAT library wants it.
type fatDisk struct {
	*device
	at int64
}

var _ backend.WritableFile = (*fatDisk)(nil)

func (d *fatDisk) Stat() (fs.FileInfo, error)              { return d.f.Stat() }
func (d *fatDisk) Close() error                            { return nil }
func (d *fatDisk) Sys() (*os.File, error)                  { return nil, backend.ErrNotSuitable }
func (d *fatDisk) Writable() (backend.WritableFile, error) { return d, nil }
func (d *fatDisk) Path() string                            { return "" }

func (d *fatDisk) Read(p []byte) (int, error) {
	n, err := d.ReadAt(p, d.at)
	d.at += int64(n)
	return n, err
}

func (d *fatDisk) Seek(off int64, whence int) (int64, error) {
	switch whence {
	case io.SeekStart:
		d.at = off
	case io.SeekCurrent:
		d.at += off
	case io.SeekEnd:
		d.at = d.size + off
	}
	return d.at, nil
}
