package guest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"ingot/internal/fault"
	"ingot/internal/ramdisk"
)

// builder is one build under way. Its methods are run in the order of build's table, each once.
type builder struct {
	recipe  recipe
	sources string // deb822
	root    string // folder with the system's files
	out     string // folder with the image's files
	log     io.Writer
}

// tools maps each program that is run to the Debian package that has it.
var tools = map[string]string{
	"apt-config": "apt", "cp": "coreutils", "mcopy": "mtools", "mke2fs": "e2fsprogs", "mkfs.vfat": "dosfstools",
	"mmd": "mtools", "mmdebstrap": "mmdebstrap", "sgdisk": "gdisk", "zstd": "zstd",
}

func needTools() error {
	var missing []string
	for _, name := range sortedKeys(tools) {
		if _, err := exec.LookPath(name); err != nil {
			missing = append(missing, fmt.Sprintf("%s (package %s)", name, tools[name]))
		}
	}
	if len(missing) > 0 {
		return fault.New(fault.Unavailable, "missing to build an image: %s; install the packages and try again", strings.Join(missing, ", "))
	}
	return nil
}

// run runs a tool to its end. Its output is shown only when it fails, and then only the end of it.
func run(ctx context.Context, stdin io.Reader, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin = stdin
	// A fixed time zone and language: file times and messages do not depend on who builds.
	cmd.Env = append(os.Environ(), "TZ=UTC", "LC_ALL=C", "MTOOLS_SKIP_CHECK=1", "DEBIAN_FRONTEND=noninteractive")
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // mmdebstrap unmounts on it
	cmd.WaitDelay = 20 * time.Second                                      // then it is killed
	said, err := cmd.CombinedOutput()
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", name, ctx.Err())
	}
	lines := strings.Split(strings.TrimSpace(string(said)), "\n")
	if len(lines) > 12 {
		lines = lines[len(lines)-12:]
	}
	return fmt.Errorf("%s: %w: %s", name, err, strings.Join(lines, "\n"))
}

// bootstrap unpacks and configures the packages into the root folder.
func (b *builder) bootstrap(ctx context.Context) error {
	args := []string{"--mode=root", "--variant=apt", "--format=directory", "--include=" + strings.Join(b.recipe.packages, ",")}
	for _, p := range excluded {
		args = append(args, "--dpkgopt=path-exclude="+p)
	}
	args = append(args, "--dpkgopt=force-unsafe-io") // the folder is thrown away if the power fails
	options, err := ramdisk.HostAptOptions(ctx)
	if err != nil {
		return err
	}
	for _, o := range options {
		args = append(args, "--aptopt="+o)
	}
	args = append(args, b.recipe.suite, b.root, "-") // "-": sources on stdin
	return run(ctx, strings.NewReader(b.sources), "mmdebstrap", args...)
}

// leftovers are the host's traces and what each machine must make for itself.
var leftovers = []string{
	"etc/apt/sources.list", "etc/apt/sources.list.d/*", "etc/ssh/ssh_host_*", "etc/resolv.conf.*", "var/log/*.log",
	"var/log/apt/*", "var/lib/apt/lists/*_*", "var/cache/apt/*.bin", "var/cache/debconf/*-old", "var/lib/dpkg/*-old",
	"var/lib/systemd/random-seed", "root/.*history", "vmlinuz.old", "initrd.img.old",
}

// customize removes the host's traces, lays the tree over the packages' files and sets which units run.
func (b *builder) customize(context.Context) error {
	for _, pattern := range leftovers {
		names, err := filepath.Glob(filepath.Join(b.root, pattern))
		if err != nil {
			return err
		}
		for _, name := range names {
			if err := os.RemoveAll(name); err != nil {
				return fmt.Errorf("remove a leftover: %w", err)
			}
		}
	}
	err := walkTree(func(name string, data []byte) error {
		name = filepath.Join(b.root, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(name, []byte(b.recipe.fill(string(data))), 0o644); err != nil {
			return err
		}
		return os.Chmod(name, 0o644) // WriteFile leaves the mode of a file that was there
	})
	if err != nil {
		return fmt.Errorf("lay the tree: %w", err)
	}
	// Empty, not absent: systemd makes an identity at the first boot without taking it for a reset to defaults.
	if err := os.WriteFile(filepath.Join(b.root, "etc/machine-id"), nil, 0o644); err != nil {
		return err
	}
	if err := os.Remove(filepath.Join(b.root, "var/lib/dbus/machine-id")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	units := filepath.Join(b.root, "etc/systemd/system")
	for _, unit := range masked {
		if err := link("/dev/null", filepath.Join(units, unit)); err != nil {
			return err
		}
	}
	for unit, wants := range enabled {
		if err := link("/lib/systemd/system/"+unit, filepath.Join(units, wants, unit)); err != nil {
			return err
		}
	}
	// As after systemd-update-done.service(8): nothing in /usr is newer than what was made of it, so the
	// first boot does not rebuild the hardware database, the linker's cache and the message catalogue.
	for _, name := range []string{"etc/.updated", "var/.updated"} {
		if err := os.WriteFile(filepath.Join(b.root, name), nil, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func link(target, name string) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Symlink(target, name)
}

func (b *builder) raw() string    { return filepath.Join(b.out, rawName) }
func (b *builder) layout() layout { return layoutFor(b.recipe.size) }

// partition makes the sparse file and its GPT: an EFI system partition and the root, which takes the rest.
func (b *builder) partition(ctx context.Context) error {
	f, err := os.Create(b.raw())
	if err != nil {
		return err
	}
	l := b.layout()
	if err := errors.Join(f.Truncate(l.total), f.Close()); err != nil {
		return err
	}
	const sector = 512
	return run(ctx, nil, "sgdisk", "--disk-guid="+b.recipe.id("disk"),
		fmt.Sprintf("--new=1:%d:%d", l.espStart/sector, (l.espStart+l.espSize)/sector-1), "--typecode=1:ef00",
		"--change-name=1:EFI system", "--partition-guid=1:"+b.recipe.id("esp partition"),
		// 8304: root of x86-64, so that tools which know discoverable partitions find it without fstab.
		fmt.Sprintf("--new=2:%d:%d", l.rootStart/sector, (l.rootStart+l.rootSize)/sector-1), "--typecode=2:8304",
		"--change-name=2:root", "--partition-guid=2:"+b.recipe.id("root partition"), b.raw())
}

// espGrub is the first file that GRUB reads; its own built-in path is EFI/debian whatever it was started from.
const espGrub = `search --no-floppy --fs-uuid --set=root @ROOT_UUID@
set prefix=($root)/boot/grub
configfile $prefix/grub.cfg
`

// fillESP makes the EFI system partition in the raw file: the signed boot loaders under Debian's name, and
// under the removable name, by which firmware finds a disk that it has no boot entry for.
func (b *builder) fillESP(ctx context.Context) error {
	l := b.layout()
	if err := run(ctx, nil, "mkfs.vfat", "-F", "32", "-s", "1", "-n", "EFI", "-i", b.recipe.volumeID(),
		"--offset="+strconv.FormatInt(l.espStart/512, 10), b.raw(), strconv.FormatInt(l.espSize/1024, 10)); err != nil {
		return err
	}
	at := fmt.Sprintf("%s@@%d", b.raw(), l.espStart)
	if err := run(ctx, nil, "mmd", "-i", at, "::EFI", "::EFI/BOOT", "::EFI/debian"); err != nil {
		return err
	}
	shim := filepath.Join(b.root, "usr/lib/shim")
	grub := filepath.Join(b.root, "usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed")
	for _, c := range []struct{ from, to string }{
		{filepath.Join(shim, "shimx64.efi.signed"), "EFI/BOOT/BOOTX64.EFI"},
		{grub, "EFI/BOOT/grubx64.efi"},
		{filepath.Join(shim, "mmx64.efi.signed"), "EFI/BOOT/mmx64.efi"},
		{filepath.Join(shim, "shimx64.efi.signed"), "EFI/debian/shimx64.efi"},
		{grub, "EFI/debian/grubx64.efi"},
		{filepath.Join(shim, "mmx64.efi.signed"), "EFI/debian/mmx64.efi"},
	} {
		if err := run(ctx, nil, "mcopy", "-i", at, c.from, "::"+c.to); err != nil {
			return err
		}
	}
	cfg := filepath.Join(filepath.Dir(b.root), "grub.cfg")
	if err := os.WriteFile(cfg, []byte(b.recipe.fill(espGrub)), 0o644); err != nil {
		return err
	}
	return run(ctx, nil, "mcopy", "-i", at, cfg, "::EFI/debian/grub.cfg")
}

// fillRoot makes the root file system in the raw file from the root folder. Two features of newer ext4 are
// left out because GRUB 2.06 cannot read them (its grub-core/fs/ext2.c, EXT2_DRIVER_SUPPORTED_INCOMPAT).
func (b *builder) fillRoot(ctx context.Context) error {
	l := b.layout()
	return run(ctx, nil, "mke2fs", "-q", "-F", "-t", "ext4", "-O", "^metadata_csum_seed,^orphan_file", "-m", "1",
		"-L", "root", "-U", b.recipe.id("root"), "-d", b.root,
		"-E", fmt.Sprintf("offset=%d,hash_seed=%s,root_owner=0:0,lazy_itable_init=0,lazy_journal_init=0", l.rootStart, b.recipe.id("hash")),
		b.raw(), strconv.FormatInt(l.rootSize/1024, 10)+"k")
}

// finish makes the compressed form and the sums.
func (b *builder) finish(ctx context.Context) error {
	img := &Image{Raw: b.raw(), Zst: filepath.Join(b.out, zstName), Sums: filepath.Join(b.out, sumsName)}
	if err := run(ctx, nil, "zstd", "-q", "-T0", "-6", img.Raw, "-o", img.Zst); err != nil {
		return err
	}
	if err := img.hash(); err != nil {
		return err
	}
	for _, name := range []string{img.Raw, img.Zst} {
		if err := os.Chmod(name, 0o444); err != nil {
			return err
		}
	}
	return os.WriteFile(img.Sums, []byte(img.sums()), 0o444)
}
