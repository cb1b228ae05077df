package e2e

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"ingot/internal/depot"
	"ingot/internal/ramdisk"
)

// TestREQ28PackagesInTheRamdisk boots the Debian ramdisk with a program in the agent's place that lays packages over systems on LVM, on a RAID
// of both disks, and with an EFI system partition, as the agent does.
func TestREQ28PackagesInTheRamdisk(t *testing.T) {
	labOnly(t)
	dir := t.TempDir()
	static(t, "./testdata/laid", filepath.Join(dir, "probe"))
	out := filepath.Join(dir, "out")
	makeRamdisk(t, ramdisk.Options{Kind: depot.KindDebian, Agent: filepath.Join(dir, "probe"), Out: out})
	said := boots(t, dir, out)
	for line := range strings.Lines(said) {
		if _, probe, found := strings.Cut(line, "probe: "); found {
			t.Log(strings.TrimSpace(probe))
		}
	}
	const refused = `files=0 err=.*It is refused as a whole: `
	for _, want := range []string{
		`volumes made: true`,
		`a link on a FAT: ` + refused + `.*lies on a FAT file system`,
		`two names on a FAT: ` + refused + `.*leads to the place of`,
		`too much for a FAT: ` + refused + `.*for the file system of "boot/efi/large" needs`,
		`too much for a volume: ` + refused + `.*for the file system of "home/large" needs`,
		`volumes: files=3 err=<nil>`,
		`root has no etc/none`, `root has etc/motd: 0:0 640 14 bytes "by the package"`, `root has no home/u/x`, `root has no boot/efi/EFI/site\.cfg`,
		`home has u/x: 1000:1000 640 9 bytes "of a user"`, `home has no large`,
		`esp has EFI/site\.cfg: 0:0 .* 10 bytes "on the FAT"`, `esp has no EFI/Name`, `esp has no EFI/link`, `esp has no large`,
		`arrays made: true`,
		`half of a mirror: files=0 err=.*no installed system that can be mounted here is found on /dev/vda`,
		`a mirror: files=2 err=<nil>`,
		`left mounted: 0`,
		`half vda1 has etc/motd: 0:0 640 14 bytes "by the package"`, `half vda1 has srv/large: .* 8388608 bytes`,
		`half vdb1 has etc/motd: 0:0 640 14 bytes "by the package"`, `half vdb1 has srv/large: .* 8388608 bytes`,
		`done`,
	} {
		if !regexp.MustCompile("probe: " + want).MatchString(said) {
			t.Errorf("the machine did not say %q", want)
		}
	}
	if t.Failed() {
		t.Logf("serial console:\n%s", said[max(0, len(said)-8000):])
	}
}
