package ramdisk

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"ingot/internal/depot"
	"ingot/internal/fault"
)

// Limits of the programs that are started.
const (
	askLimit      = time.Minute      // apt-cache and --print-uris read local lists
	downloadLimit = 15 * time.Minute // the kernel is 70 MB
	unpackLimit   = 5 * time.Minute
)

// The packages a deploy ramdisk is made from.
const (
	kernelMeta   = "linux-image-amd64" // depends on the kernel of the day
	shimPackage  = "shim-signed"
	grubPackage  = "grub-efi-amd64-signed"
	caPackage    = "ca-certificates"
	shimFile     = "usr/lib/shim/shimx64.efi.signed"
	grubFile     = "usr/lib/grub/x86_64-efi-signed/gcdx64.efi.signed" // the CD's GRUB: others have no place to look for a configuration
	caFolder     = "usr/share/ca-certificates/mozilla"
	needPrograms = "apt-get, apt-cache and dpkg-deb"
)

// debian fetches packages with the machine's own apt, which verifies them against the archive's
// signatures, and unpacks them below work. What is there already is used again.
type debian struct {
	work string
	say  func(format string, args ...any)
	used []depot.Package
}

// available tells whether packages can be had here.
func (d *debian) available() error {
	for _, program := range []string{"apt-get", "apt-cache", "dpkg-deb"} {
		if _, err := exec.LookPath(program); err != nil {
			return fault.Wrap(fault.Unavailable, err,
				"Without Debian's tools (%s) give all of --kernel, --modules, --shim, --grub and --ca.", needPrograms)
		}
	}
	return nil
}

// kernel finds the package that the kernel's meta package depends on.
func (d *debian) kernel(ctx context.Context) (string, error) {
	out, err := run(ctx, askLimit, d.work, "apt-cache", "show", "--no-all-versions", kernelMeta)
	if err != nil {
		return "", noPackage(kernelMeta, err)
	}
	name := kernelOf(string(out))
	if name == "" {
		return "", noPackage(kernelMeta, errors.New("it depends on no kernel"))
	}
	return name, nil
}

var kernelName = regexp.MustCompile(`(?m)^Depends:.*?\b(linux-image-[0-9][a-z0-9.+~-]*-amd64)\b`)

// kernelOf reads the kernel package's name from what apt-cache shows of the meta package.
func kernelOf(shown string) string {
	if m := kernelName.FindStringSubmatch(shown); m != nil {
		return m[1]
	}
	return ""
}

// deb is where apt would get a package from.
type deb struct {
	file, sha256 string
}

var printedURI = regexp.MustCompile(`(?m)^'[^']*' (\S+\.deb) \d+ SHA256:([0-9a-f]{64})\s*$`)

// debOf reads the answer of apt-get download --print-uris.
func debOf(printed string) (deb, bool) {
	m := printedURI.FindStringSubmatch(printed)
	if m == nil || strings.ContainsRune(m[1], '/') {
		return deb{}, false
	}
	return deb{file: m[1], sha256: m[2]}, true
}

// version is the middle of name_version_arch.deb, where apt writes a colon as %3a.
func (p deb) version() string {
	parts := strings.Split(p.file, "_")
	if len(parts) != 3 {
		return ""
	}
	return strings.ReplaceAll(parts[1], "%3a", ":")
}

// unpacked gives the folder a package was unpacked to, fetching it if needed.
func (d *debian) unpacked(ctx context.Context, name string) (string, error) {
	packages := filepath.Join(d.work, "packages")
	if err := os.MkdirAll(packages, 0o755); err != nil {
		return "", err
	}
	// Not where the packages are: apt says nothing about a file that is there already.
	out, err := run(ctx, askLimit, d.work, "apt-get", "download", "--print-uris", name)
	if err != nil {
		return "", noPackage(name, err)
	}
	p, ok := debOf(string(out))
	if !ok {
		return "", noPackage(name, errors.New("apt-get does not say where it would come from"))
	}
	path := filepath.Join(packages, p.file)
	if sum, err := hashFile(path); err != nil || sum.SHA256 != p.sha256 {
		d.say("fetching %s", p.file)
		if err := d.download(ctx, packages, name, p); err != nil {
			return "", err
		}
	}
	d.used = append(d.used, depot.Package{Name: name, Version: p.version(), SHA256: p.sha256})
	return d.unpack(ctx, path, p)
}

func (d *debian) download(ctx context.Context, packages, name string, p deb) error {
	if _, err := run(ctx, downloadLimit, packages, "apt-get", "download", name); err != nil {
		return noPackage(name, err)
	}
	sum, err := hashFile(filepath.Join(packages, p.file))
	if err != nil {
		return noPackage(name, err)
	}
	if sum.SHA256 != p.sha256 {
		return noPackage(name, fmt.Errorf("%s has another SHA-256 than the archive's", p.file))
	}
	return nil
}

// unpack goes to a scratch folder first, so that a folder with its final name is whole. Its name holds
// the package's hash.
func (d *debian) unpack(ctx context.Context, path string, p deb) (string, error) {
	dir := filepath.Join(d.work, "unpacked", strings.TrimSuffix(p.file, ".deb")+"-"+p.sha256[:12])
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", err
	}
	scratch, err := os.MkdirTemp(filepath.Dir(dir), "new-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(scratch)
	d.say("unpacking %s", p.file)
	if _, err := run(ctx, unpackLimit, d.work, "dpkg-deb", "-x", path, scratch); err != nil {
		return "", fmt.Errorf("unpack %s: %w", p.file, err)
	}
	if err := os.Rename(scratch, dir); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", err
	}
	return dir, nil
}

func noPackage(name string, cause error) error {
	return fault.Wrap(fault.Unavailable, cause, "The package %s cannot be fetched: run \"apt-get update\" and look at its messages, or give --kernel, --modules, --shim, --grub and --ca.", name)
}

// run starts a program and gives what it printed. Its complaints become the error.
func run(ctx context.Context, limit time.Duration, dir, program string, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var out, complaints bytes.Buffer
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	cmd.Stdout, cmd.Stderr = &out, &complaints
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, fmt.Errorf("%s: %w: %s", program, err, bytes.TrimSpace(complaints.Bytes()))
	}
	return out.Bytes(), nil
}

// hashFile identifies a file by its bytes; the name is the path's last part.
func hashFile(path string) (depot.File, error) {
	f, err := os.Open(path)
	if err != nil {
		return depot.File{}, err
	}
	defer f.Close() // read-only: nothing is lost
	h := sha256.New()
	n, err := io.Copy(h, f)
	if err != nil {
		return depot.File{}, err
	}
	return depot.File{Name: filepath.Base(path), Size: n, SHA256: hex.EncodeToString(h.Sum(nil))}, nil
}
