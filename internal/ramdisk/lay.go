package ramdisk

import (
	"bytes"
	"embed"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"ingot/internal/fault"
)

// maxDebian is the limit of the Debian initramfs, in bytes: a machine keeps it in memory twice for a moment, packed and
// unpacked.
const maxDebian = 400_000_000

// debianTree is laid over the system's files as it is. Its init is what the kernel starts of an initramfs (source: kernel,
// init/main.c).
//
//go:embed all:debian
var debianTree embed.FS

// Where the agent lies in the Debian ramdisk, and the name it is called by to list and mount disks.
const (
	agentFile   = "usr/bin/ingot-agent"
	rescueDisks = "usr/bin/rescue-disks"
)

// enabled units of the Debian ramdisk, with who wants them. Nothing that packages enable is.
var enabled = map[string]string{
	"ingot-agent.service": "multi-user.target.wants",
}

// masked are names below /etc/systemd and /etc/udev that lead to /dev/null there: what would listen, log somebody in, or
// touch a disk, before anybody asked for it.
var masked = []string{
	"etc/systemd/system-generators/systemd-cryptsetup-generator",
	"etc/systemd/system-generators/systemd-getty-generator",
	"etc/systemd/system-generators/systemd-gpt-auto-generator",
	"etc/systemd/system-generators/systemd-hibernate-resume-generator",
	"etc/systemd/system-generators/systemd-integritysetup-generator",
	"etc/systemd/system-generators/systemd-rc-local-generator",
	"etc/systemd/system-generators/systemd-sysv-generator",
	"etc/systemd/system-generators/systemd-veritysetup-generator",
	"etc/systemd/system/getty-static.service",
	"etc/systemd/system/mdmonitor.service",
	"etc/systemd/system/nvmf-autoconnect.service",
	"etc/systemd/system/smartmontools.service",
	"etc/systemd/system/ssh.socket",
	"etc/systemd/system/proc-sys-fs-binfmt_misc.automount",
	"etc/systemd/system/systemd-binfmt.service",
	"etc/systemd/system/systemd-firstboot.service",
	"etc/systemd/system/systemd-networkd.service",
	"etc/systemd/system/systemd-networkd.socket",
	"etc/systemd/system/systemd-pcrphase-sysinit.service",
	"etc/systemd/system/systemd-pcrphase.service",
	"etc/systemd/system/systemd-repart.service",
	"etc/udev/rules.d/64-md-raid-assembly.rules",
	"etc/udev/rules.d/69-lvm.rules",
	"etc/udev/rules.d/70-nvmf-autoconnect.rules",
	"etc/udev/rules.d/85-hwclock.rules",
}

// The user that logs in, as lines of the account files. "!" lets nobody in until the agent has written a hash.
const (
	rescueID      = 1000
	rescuePasswd  = "rescue:x:1000:1000:rescue:/home/rescue:/bin/bash\n" //nolint:gosec // G101: an account without a password
	rescueGroup   = "rescue:x:1000:\n"
	rescueShadow  = "rescue:!:3652:0:99999:7:::\n"
	rescueGshadow = "rescue:!::\n"
)

// fillDebian puts a whole Debian into the archive: the packages' files, the kernel's modules, our files and the agent.
// system stays open until the archive is written. It gives the modules' names.
func fillDebian(a *archive, agent string, system *os.File, certificates []byte, tree *moduleTree, scratch string) ([]string, error) {
	if err := checkStatic(agent); err != nil {
		return nil, err
	}
	if err := addSystem(a, system); err != nil {
		return nil, err
	}
	for _, dir := range emptyDirs {
		if _, ok := a.entries[dir]; !ok {
			a.add(entry{name: dir, mode: modeDir})
		}
	}
	a.add(entry{name: "dev/console", mode: modeChar, major: 5, minor: 1})
	a.add(entry{name: "dev/null", mode: modeChar | 0o066, major: 1, minor: 3})
	a.add(entry{name: agentFile, mode: modeExec, source: agent})
	a.add(entry{name: rescueDisks, mode: modeLink, data: []byte("ingot-agent")})
	if certificates != nil {
		a.add(entry{name: "etc/ssl/certs/ca-certificates.crt", mode: modeFile, data: certificates})
	}
	if err := layOver(a); err != nil {
		return nil, err
	}
	if err := makeUser(a); err != nil {
		return nil, err
	}
	return fillModules(a, tree, scratch)
}

// layOver adds the files of debianTree, the links of units, and an empty identity.
func layOver(a *archive) error {
	err := fs.WalkDir(debianTree, "debian", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := debianTree.ReadFile(p)
		if err != nil {
			return err
		}
		e := entry{name: strings.TrimPrefix(p, "debian/"), mode: modeFile, data: data}
		switch {
		case bytes.HasPrefix(data, []byte("#!")):
			e.mode = modeExec
		case strings.HasPrefix(e.name, "etc/sudoers.d/"):
			e.mode = 0o100440 // sudo reads no other
		}
		a.add(e)
		return nil
	})
	if err != nil {
		return err
	}
	link := func(name, target string) { a.add(entry{name: name, mode: modeLink, data: []byte(target)}) }
	for unit, wants := range enabled {
		link(path.Join("etc/systemd/system", wants, unit), "/usr/lib/systemd/system/"+unit)
	}
	for _, name := range masked {
		link(name, "/dev/null")
	}
	link("etc/systemd/system/default.target", "/usr/lib/systemd/system/multi-user.target")
	// Empty, not absent: systemd makes an identity at boot without taking it for a first boot.
	a.add(entry{name: "etc/machine-id", mode: modeFile})
	a.add(entry{name: "var/lib/dbus/machine-id", mode: modeLink, data: []byte("/etc/machine-id")})
	// Nothing in /usr is newer than what was made of it: else the boot makes it again.
	for _, name := range []string{"etc/.updated", "var/.updated"} {
		a.add(entry{name: name, mode: modeFile})
	}
	return nil
}

// makeUser adds the user rescue to the account files, with a home like any user's.
func makeUser(a *archive) error {
	for name, line := range map[string]string{"etc/passwd": rescuePasswd, "etc/group": rescueGroup, "etc/shadow": rescueShadow, "etc/gshadow": rescueGshadow} {
		e, ok := a.entries[name]
		if !ok {
			return fault.New(fault.Internal, "The Debian system has no /%s.", name)
		}
		data, err := e.content()
		if err != nil {
			return err
		}
		e.data, e.part = append(bytes.Clone(data), line...), nil
		if name == "etc/shadow" {
			if err := locked(e.data); err != nil {
				return err
			}
		}
		a.entries[name] = e
	}
	const home = "home/rescue"
	a.add(entry{name: home, mode: modeDir&modeType | 0o700, uid: rescueID, gid: rescueID})
	for _, name := range slices.Sorted(maps.Keys(a.entries)) {
		if file, ok := strings.CutPrefix(name, "etc/skel/"); ok {
			e := a.entries[name]
			e.name, e.uid, e.gid = path.Join(home, file), rescueID, rescueID
			a.add(e)
		}
	}
	return nil
}

// locked sees that no account has a password.
func locked(shadow []byte) error {
	for line := range bytes.Lines(shadow) {
		if f := bytes.Split(line, []byte(":")); len(f) < 2 || len(f[1]) == 0 || f[1][0] != '!' && f[1][0] != '*' {
			return fault.New(fault.Internal, "The account %q of the Debian system is not locked.", f[0])
		}
	}
	return nil
}

// content is a file's, whatever it comes from.
func (e entry) content() ([]byte, error) {
	switch {
	case e.part != nil:
		return io.ReadAll(io.NewSectionReader(e.part, 0, e.part.Size()))
	case e.source != "":
		return os.ReadFile(e.source)
	}
	return e.data, nil
}
