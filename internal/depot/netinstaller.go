package depot

import (
	"os"
	"path/filepath"

	"ingot/internal/fault"
	"ingot/internal/metal"
)

// installerFiles are the files of an installer that a boot is for, by the names that its machine asks for; of another boot none.
func installerFiles(b *metal.NetworkBoot) map[string]metal.BootFile {
	switch {
	case !b.Installer:
		return nil
	case b.Interface == metal.BootHTTP:
		return map[string]metal.BootFile{NetISO: b.ISO}
	}
	return map[string]metal.BootFile{NetKernel: b.Kernel, NetInitramfs: b.Initramfs}
}

// haveInstaller reads what an installer's boot is of before it is offered: firmware waits a few seconds for the first byte of a file, and
// an ISO may take longer to verify. What was read and is as it was is not read again.
func (n *NetFiles) haveInstaller(b *metal.NetworkBoot) error {
	for _, f := range installerFiles(b) {
		file, err := n.openInstaller(f)
		if err != nil {
			return err
		}
		file.Close() // read-only: nothing is lost
	}
	return nil
}

func (n *NetFiles) ofInstaller(f metal.BootFile) (NetFile, error) {
	file, err := n.openInstaller(f)
	if err != nil {
		return NetFile{}, err
	}
	return onDisk(file)
}

// openInstaller opens a file of an installer on the shelf. Its bytes are those that were brought, or it is fault.Conflict.
func (n *NetFiles) openInstaller(f metal.BootFile) (*os.File, error) {
	if n.images == "" || !pushedName.MatchString(f.Name) {
		return nil, errNoInstaller(nil)
	}
	file, err := n.brought.open(filepath.Join(n.images, f.Name+shelfData), f)
	switch fault.KindOf(err) {
	case fault.NotFound:
		return nil, errNoInstaller(err)
	case fault.Conflict:
		return nil, fault.Wrap(fault.Conflict, err, "The installer on this server is not what was fetched and verified any more: start the operation again.")
	}
	return file, err
}

func errNoInstaller(cause error) error {
	return fault.Wrap(fault.Unavailable, cause, "This server has not the installer. The conductor that fetched it must serve the machine's network itself (role netboot), or share its data folder with the process that does.")
}
