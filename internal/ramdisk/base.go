package ramdisk

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"ingot/internal/depot"
	"ingot/internal/fault"
)

const (
	baseVersion = "1"              // changes when what makes a base changes in a way that its key does not show
	baseLimit   = 30 * time.Minute // two minutes and 150 MB of packages on a usual host
	basesKept   = 3                // so many are kept, the newest
)

// tools are the packages of the Debian ramdisk, beside those that Debian calls essential. Recommendations are left out, so
// each has its reason here.
var tools = []string{
	"btrfs-progs", "dosfstools", "e2fsprogs", "ntfs-3g", "xfsprogs", // file systems
	"cryptsetup-bin", "lvm2", "mdadm", // what they lie on
	"fdisk", "gdisk", "parted", // partition tables
	"nvme-cli", "pciutils", "smartmontools", "dmidecode", "ethtool", "efibootmgr", "usbutils", // what the machine is, and how it does
	"curl", "iproute2", "iputils-ping", "openssh-client", "rsync", "tcpdump", "netcat-openbsd", "ca-certificates", // networks
	"openssh-server",                                                  // how its user comes in
	"less", "nano", "vim-tiny", "procps", "xz-utils", "zstd", "bzip2", // a person works here
	"sudo",                                                           // the user rescue becomes root
	"bubblewrap",                                                     // confines scripts of OS definitions
	"debootstrap", "debian-archive-keyring", "cpio", "unzip", "wget", // what they install from
	"dump", "fuse2fs", "fuse3", "kpartx", "mtools", // file systems to fill: as root, and without the right to mount
	"dbus", "kmod", "systemd", "systemd-sysv", "udev", "zerofree", // the system itself; dbus for logind, which hears the power button
}

// notUnpacked are paths of packages that nobody reads in a ramdisk.
var notUnpacked = []string{"/usr/share/doc/*", "/usr/share/man/*", "/usr/share/info/*", "/usr/share/lintian/*", "/usr/share/locale/*", "/usr/share/bug/*"}

// base is a Debian system as mmdebstrap makes it: a tar, and what it holds.
type base struct {
	tar      string
	packages []depot.Package
}

// baseNeeds are the programs that make a base, and their packages.
var baseNeeds = map[string]string{"mmdebstrap": "mmdebstrap", "apt-get": "apt", "apt-cache": "apt", "apt-config": "apt", "depmod": "kmod"}

func baseTools() error {
	var missing []string
	for program, name := range baseNeeds {
		if _, err := exec.LookPath(program); err != nil {
			if _, err := os.Stat(filepath.Join("/usr/sbin", program)); err != nil {
				missing = append(missing, fmt.Sprintf("%s (package %s)", program, name))
			}
		}
	}
	if len(missing) == 0 {
		return nil
	}
	slices.Sort(missing)
	return fault.New(fault.Unavailable, "The Debian ramdisk needs programs that are not installed: %s. Run \"apt-get install\" for the packages and try again.", strings.Join(missing, ", "))
}

// base gives the system of the tools and of more packages, from the cache below work where it is there.
func (d *debian) base(ctx context.Context, more []string) (base, error) {
	if err := baseTools(); err != nil {
		return base{}, err
	}
	suite, err := hostSuite("/etc/os-release")
	if err != nil {
		return base{}, err
	}
	sources, err := HostSources(AptDir, suite)
	if err != nil {
		return base{}, err
	}
	include := slices.Compact(slices.Sorted(slices.Values(slices.Concat(tools, more))))
	packages, err := d.resolve(ctx, sources, include)
	if err != nil {
		return base{}, err
	}
	h := sha256.New()
	fmt.Fprintln(h, baseVersion, suite, include, notUnpacked)
	for _, p := range packages {
		fmt.Fprintln(h, p.Name, p.Version)
	}
	dir := filepath.Join(d.work, "debian")
	b := base{tar: filepath.Join(dir, hex.EncodeToString(h.Sum(nil))[:16]+".tar"), packages: packages}
	if _, err := os.Stat(b.tar); err == nil {
		return b, os.Chtimes(b.tar, time.Now(), time.Now()) // it is in use: others go first
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return base{}, err
	}
	d.say("installing %d packages of Debian %s into a folder: some minutes, once", len(packages), suite)
	if err := d.bootstrap(ctx, suite, sources, include, b.tar); err != nil {
		return base{}, err
	}
	return b, forget(dir)
}

// bootstrap makes the tar.
func (d *debian) bootstrap(ctx context.Context, suite, sources string, include []string, tar string) error {
	mode := "root"
	if os.Geteuid() != 0 {
		mode = "unshare"
	}
	f, err := os.CreateTemp(filepath.Dir(tar), "*.part") // another process may be making the same
	if err != nil {
		return err
	}
	part := f.Name()
	f.Close() // mmdebstrap opens it
	defer os.Remove(part)
	args := []string{"--mode=" + mode, "--variant=apt", "--format=tar", "--quiet", "--skip=output/dev,check/qemu", "--include=" + strings.Join(include, ",")}
	for _, p := range notUnpacked {
		args = append(args, "--dpkgopt=path-exclude="+p)
	}
	args = append(args, "--dpkgopt=force-unsafe-io") // the folder is thrown away if the power fails
	options, err := HostAptOptions(ctx)
	if err != nil {
		return err
	}
	for _, o := range options {
		args = append(args, "--aptopt="+o)
	}
	args = append(args, suite, part, "-") // "-": sources come on standard input
	ctx, cancel := context.WithTimeout(ctx, baseLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "mmdebstrap", args...)
	cmd.Stdin = strings.NewReader(sources)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "TZ=UTC", "DEBIAN_FRONTEND=noninteractive", fmt.Sprintf("SOURCE_DATE_EPOCH=%d", epoch.Unix()))
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // it unmounts on it
	cmd.WaitDelay = 20 * time.Second                                      // then it is killed
	said, err := cmd.CombinedOutput()
	if err == nil {
		return os.Rename(part, tar)
	}
	if ctx.Err() != nil {
		return fmt.Errorf("mmdebstrap: %w", ctx.Err())
	}
	lines := bytes.Split(bytes.TrimSpace(said), []byte("\n"))
	err = fmt.Errorf("mmdebstrap: %w: %s", err, bytes.Join(lines[max(0, len(lines)-8):], []byte("; ")))
	if mode == "unshare" {
		return fault.Wrap(fault.Unavailable, err, "Debian could not be installed into a folder. Without root it needs user namespaces, the package uidmap and a line for you in /etc/subuid; or run this with sudo. It said: %s",
			lines[len(lines)-1])
	}
	return fault.Wrap(fault.Unavailable, err, "Debian could not be installed into a folder: %s", lines[len(lines)-1])
}

var instLine = regexp.MustCompile(`(?m)^Inst (\S+) \((\S+) `)

// resolve asks the host's apt which packages and versions a system of include would have: an installation that is only
// played through, into nothing, from the lists that the host has.
func (d *debian) resolve(ctx context.Context, sources string, include []string) ([]depot.Package, error) {
	scratch, err := os.MkdirTemp("", "ingot-apt-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(scratch)
	if err := os.WriteFile(filepath.Join(scratch, "debian.sources"), []byte(sources), 0o644); err != nil {
		return nil, err
	}
	here := []string{"-o", "Dir::Etc::sourcelist=/dev/null", "-o", "Dir::Etc::sourceparts=" + scratch}
	play := slices.Concat([]string{"-s", "-q", "-o", "Dir::State::status=/dev/null", "-o", "APT::Install-Recommends=false", "-o", "APT::Get::Show-User-Simulation-Note=false"}, here,
		[]string{"install", "?essential", "apt"}, include)
	out, err := run(ctx, askLimit, scratch, "apt-get", play...)
	if err != nil {
		return nil, fault.Wrap(fault.Unavailable, err, "Debian's packages cannot be had: run \"apt-get update\", and see that every --include names a package. %s", lastLine(err))
	}
	var packages []depot.Package
	for _, m := range instLine.FindAllStringSubmatch(string(out), -1) {
		packages = append(packages, depot.Package{Name: m[1], Version: m[2]})
	}
	if len(packages) == 0 {
		return nil, fault.New(fault.Unavailable, "The lists of this host's apt name no packages: run \"apt-get update\".")
	}
	slices.SortFunc(packages, func(a, b depot.Package) int { return cmp.Compare(a.Name, b.Name) })
	return packages, d.sums(ctx, scratch, here, packages)
}

// sums finds the SHA-256 of each package.
func (d *debian) sums(ctx context.Context, dir string, sources []string, packages []depot.Package) error {
	args := slices.Concat(sources, []string{"show"})
	for _, p := range packages {
		args = append(args, p.Name+"="+p.Version)
	}
	out, err := run(ctx, askLimit, dir, "apt-cache", args...)
	if err != nil {
		return fault.Wrap(fault.Unavailable, err, "The lists of this host's apt are not whole: run \"apt-get update\".")
	}
	found := map[string]string{}
	for stanza := range strings.SplitSeq(string(out), "\n\n") {
		field := map[string]string{}
		for line := range strings.Lines(stanza) {
			if name, value, ok := strings.Cut(line, ": "); ok && line[0] != ' ' {
				field[name] = strings.TrimSpace(value)
			}
		}
		found[field["Package"]+"="+field["Version"]] = field["SHA256"]
	}
	for i, p := range packages {
		packages[i].SHA256 = found[p.Name+"="+p.Version]
	}
	return nil
}

// hostSuite is the code name of the Debian that runs here.
func hostSuite(file string) (string, error) {
	b, err := os.ReadFile(file)
	field := map[string]string{}
	for line := range strings.Lines(string(b)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			field[name] = strings.Trim(value, `"'`)
		}
	}
	if err != nil || field["ID"] != "debian" || field["VERSION_CODENAME"] == "" {
		return "", fault.Wrap(fault.Unavailable, err, "The Debian ramdisk is made from the packages of the Debian that it is built on, and this is another system. Build it on a Debian host and copy the folder.")
	}
	return field["VERSION_CODENAME"], nil
}

func lastLine(err error) string {
	text := strings.TrimSpace(err.Error())
	return text[strings.LastIndexByte(text, '\n')+1:]
}

// forget removes all bases but the newest few.
func forget(dir string) error {
	names, err := filepath.Glob(filepath.Join(dir, "*.tar"))
	if err != nil {
		return err
	}
	age := map[string]time.Time{}
	for _, n := range names {
		info, err := os.Stat(n)
		if errors.Is(err, os.ErrNotExist) {
			continue // another build was here
		}
		if err != nil {
			return err
		}
		age[n] = info.ModTime()
	}
	slices.SortFunc(names, func(a, b string) int { return age[b].Compare(age[a]) })
	parts, err := filepath.Glob(filepath.Join(dir, "*.part"))
	if err != nil {
		return err
	}
	old := slices.DeleteFunc(parts, func(n string) bool { // what is left are those of builds that were killed
		info, err := os.Stat(n)
		return err != nil || time.Since(info.ModTime()) < 2*baseLimit
	})
	for _, n := range append(old, names[min(basesKept, len(names)):]...) {
		if err := os.Remove(n); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}
