package depot

import (
	"bytes"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"ingot/internal/agentapi"
	"ingot/internal/fault"
	"ingot/internal/metal"
)

// NetFiles gives the files of network boots out of a ramdisk folder, and the scripts that name them. It is safe for many
// goroutines.
type NetFiles struct {
	depot   *Depot
	loaders *Loaders
	scripts *Scripts
	hashes  hashes

	images  string // the folder of the shelf with what the server brought; "": it has none
	brought hashes // of what lies there: an ISO takes long to read, and nobody's ramdisk waits for it
}

// NetFiles serves network boots from the depot's ramdisk folder.
func (d *Depot) NetFiles(l *Loaders, s *Scripts) *NetFiles {
	return &NetFiles{depot: d, loaders: l, scripts: s}
}

// Images names the folder of the shelf on which the server has the installers that it brought.
func (n *NetFiles) Images(dir string) *NetFiles {
	n.images = dir
	return n
}

// NetFile is an open file of a network boot. Whoever got it closes it.
type NetFile struct {
	io.ReadSeekCloser

	Size int64
	Time time.Time // of its last change; zero: it is made for this boot
}

// NetPlace is where the files of one boot are served, as its machine reaches them: addresses without a slash at the end, ""
// where they are not.
type NetPlace struct{ HTTP, TFTP string }

// Loader is what a firmware boots first, as a name of a file of the boot.
func (n *NetFiles) Loader(b *metal.NetworkBoot, arch, firmware string) (string, error) {
	if err := fits(b, arch, firmware); err != nil {
		return "", err
	}
	if b.Installer {
		if err := n.haveInstaller(b); err != nil {
			return "", err
		}
		if b.Interface == metal.BootHTTP {
			return NetISO, nil
		}
	}
	return n.loaders.Of(b.Interface, arch, firmware)
}

// fits says why a boot is not for a firmware.
func fits(b *metal.NetworkBoot, arch, firmware string) error {
	switch {
	case arch != b.Arch:
		return fault.New(fault.Invalid, "The machine's firmware is of a %s, and the boot was prepared for %s: see the node's cpu_arch in its properties.", arch, b.Arch)
	case firmware != b.Firmware:
		return fault.New(fault.Invalid, "The machine boots in %s mode, and the boot was prepared for %s: see the boot mode in its firmware's setup, and the node's capability boot_mode.", firmware, b.Firmware)
	}
	return nil
}

// Open opens a file of a boot. Kernel, initramfs and the boot ISO are those that the boot was prepared with, or it is
// fault.Conflict; a name that nothing has is fault.NotFound.
func (n *NetFiles) Open(b *metal.NetworkBoot, name string, at NetPlace) (NetFile, error) {
	if f, is := installerFiles(b)[name]; is {
		return n.ofInstaller(f)
	}
	if b.Installer && (b.Interface == metal.BootHTTP || name == NetConfig || name == NetISO || name == NetGrub) { // nothing of ours is given out
		return NetFile{}, noNetFile(name)
	}
	switch name {
	case NetKernel:
		return n.ofFolder(b, KernelName, b.Kernel)
	case NetInitramfs:
		return n.ofFolder(b, InitramfsName, b.Initramfs)
	case NetConfig:
		data, err := ConfigArchive([]byte(b.Config.Expose()))
		return inMemory(data), err
	case NetISO:
		return n.iso(b)
	case NetScript, NetGrub:
		return n.scripts.open(b, name, at)
	}
	f, err := n.loaders.Open(name)
	if err != nil {
		return NetFile{}, err
	}
	return onDisk(f)
}

// open gives a boot's script, for where its files are served.
func (s *Scripts) open(b *metal.NetworkBoot, name string, at NetPlace) (NetFile, error) {
	if name == NetGrub {
		return s.grubFile(b, at)
	}
	if b.Interface != metal.BootIPXE && b.Interface != metal.BootHTTPIPXE || at.HTTP == "" {
		return NetFile{}, noNetFile(name)
	}
	data, err := s.IPXE(b, at.HTTP)
	return inMemory(data), err
}

// grubFile gives a GRUB its configuration: one that came by TFTP goes on so. Debian's signed GRUB knows nothing of HTTP.
func (s *Scripts) grubFile(b *metal.NetworkBoot, at NetPlace) (NetFile, error) {
	base := at.TFTP
	if b.Interface == metal.BootHTTP {
		base = at.HTTP
	}
	if b.Interface != metal.BootPXE && b.Interface != metal.BootHTTP || base == "" {
		return NetFile{}, noNetFile(NetGrub)
	}
	u, err := url.Parse(base)
	if err != nil {
		return NetFile{}, err
	}
	data, err := s.Grub(b, u.Path)
	return inMemory(data), err
}

// ofFolder opens a file of the ramdisk that a boot's role has.
func (n *NetFiles) ofFolder(b *metal.NetworkBoot, name string, want metal.BootFile) (NetFile, error) {
	f, err := n.hashes.open(filepath.Join(n.depot.folder(agentapi.Role(b.Role)).dir, name), want)
	if err != nil {
		return NetFile{}, err
	}
	return onDisk(f)
}

func (n *NetFiles) iso(b *metal.NetworkBoot) (NetFile, error) {
	if b.Interface != metal.BootHTTP {
		return NetFile{}, noNetFile(NetISO)
	}
	t, err := n.depot.BootISO(agentapi.Role(b.Role))
	if err != nil {
		return NetFile{}, err
	}
	if kernel, _ := t.manifest.File(KernelName); metal.BootFile(kernel) != b.Kernel {
		return NetFile{}, fault.New(fault.Conflict, "The ramdisk was built anew since this boot was prepared: start the operation again.")
	}
	r, size, err := t.NetworkOverlay([]byte(b.Config.Expose()), b.KernelParams)
	return NetFile{ReadSeekCloser: nopCloser{r}, Size: size}, err
}

func onDisk(f *os.File) (NetFile, error) {
	info, err := f.Stat()
	if err != nil {
		f.Close() // read-only: nothing is lost
		return NetFile{}, err
	}
	return NetFile{ReadSeekCloser: f, Size: info.Size(), Time: info.ModTime()}, nil
}

func inMemory(data []byte) NetFile {
	return NetFile{ReadSeekCloser: nopCloser{bytes.NewReader(data)}, Size: int64(len(data))}
}

// nopCloser is what needs no closing.
type nopCloser struct{ io.ReadSeeker }

func (nopCloser) Close() error { return nil }

func noNetFile(name string) error {
	return fault.New(fault.NotFound, "This boot has no file %s.", name)
}
