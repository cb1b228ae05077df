package depot

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"ingot/internal/agentapi"
	"ingot/internal/fault"
	"ingot/internal/secret"
)

// The names of a network boot's files.
const (
	NetKernel    = "kernel"
	NetInitramfs = "initramfs"
	NetConfig    = "config"
	NetISO       = "boot.iso"
	NetScript    = "boot.ipxe"
	NetGrub      = "grub.cfg"
)

// maxConfigArchive is how large the configuration of one boot may be as an archive: as large as its place in the boot ISO.
const maxConfigArchive = 64 << 10

// archiveTime dates the files of an archive: 1980, as in the ramdisk itself.
const archiveTime = 315532800

// ConfigArchive is a boot's configuration as an initramfs of its own: boot.json, which only root reads. Same in, same out.
func ConfigArchive(bootJSON []byte) ([]byte, error) {
	var b bytes.Buffer
	name := strings.TrimPrefix(BootConfigPath, "/")
	dir, _, _ := strings.Cut(name, "/")
	newc(&b, 1, dir, 0o040700, nil)
	newc(&b, 2, name, 0o100600, bootJSON)
	newc(&b, 0, "TRAILER!!!", 0, nil)
	if b.Len() > maxConfigArchive {
		return nil, fault.New(fault.TooLarge, "What the machine needs to boot does not fit: its configuration would be %d bytes, at most %d are possible.", b.Len(), maxConfigArchive)
	}
	return b.Bytes(), nil
}

// newc appends one record: 13 fields of 8 hex digits after the magic number, the name with its zero byte, the content, each
// aligned to four bytes. Source: kernel, Documentation/driver-api/early-userspace/buffer-format.rst.
func newc(b *bytes.Buffer, inode int, name string, mode uint32, data []byte) {
	fmt.Fprintf(b, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%s\x00", inode, mode, 0, 0, 1, archiveTime, len(data), 0, 0, 0, 0, len(name)+1, 0, name)
	b.Write(make([]byte, -b.Len()&3))
	b.Write(data)
	b.Write(make([]byte, -b.Len()&3))
}

// NetworkOverlay is the boot ISO of a boot that the firmware fetches whole over HTTP and keeps in memory. Linux does not
// find it there: the configuration goes into the initramfs, from the place that boot.json has on other boot ISOs. line is
// the kernel's whole command line.
func (t *BootISO) NetworkOverlay(bootJSON []byte, line string) (io.ReadSeeker, int64, error) {
	params, err := grubParams(line)
	if err != nil {
		return nil, 0, err
	}
	archive, err := ConfigArchive(bootJSON)
	if err != nil {
		return nil, 0, err
	}
	archive = append(archive, make([]byte, maxConfigArchive-len(archive))...) // zeros mean nothing between initramfs archives
	return t.overlay(map[string][]byte{BootConfigPath: archive, NetworkDataPath: []byte(emptyNetworkData),
		GrubConfigPath: fmt.Appendf(nil, "linux /boot/vmlinuz %s\ninitrd /boot/initrd %s\nboot\n", params, BootConfigPath)})
}

// NetworkConfig is what a boot from the network is given, as boot.json; fault.TooLarge if it cannot carry that.
func NetworkConfig(config agentapi.BootConfig) (secret.Secret, error) {
	b, err := json.Marshal(config)
	if err != nil {
		return secret.Secret{}, fault.Wrap(fault.Invalid, err, "The machine's network data is not valid JSON.")
	}
	_, err = ConfigArchive(b)
	return secret.New(string(b)), err
}
