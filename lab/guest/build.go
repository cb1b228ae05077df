package guest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"ingot/internal/fault"
	"ingot/internal/ramdisk"
)

// Options says what to build and where. The zero value of each field is its default.
type Options struct {
	CacheDir string    // where finished images are kept; default "ingot" in the user's cache directory
	Out      string    // folder to put the files in; default: they are used where the cache has them
	Suite    string    // Debian's code name; default "bookworm"
	Kernel   string    // kernel package; default "linux-image-cloud-amd64", which is small and knows virtio and NVMe
	Packages []string  // in addition to the recipe's own
	SizeMiB  int       // of the disk; default 2048, at least 1024
	Fresh    bool      // build although the cache has one, for newer packages
	Log      io.Writer // progress, one line per stage; default nowhere
}

// Image is a finished disk image, in two forms of the same content.
type Image struct {
	Raw       string // sparse file of SizeMiB
	Zst       string // Raw through zstd
	Sums      string // SHA256SUMS of both, in the form of sha256sum(1)
	SHA256    string // of Raw, hex
	ZstSHA256 string // of Zst, hex
	Size      int64  // of Raw, bytes
	Key       string // of the recipe
	Cached    bool   // it was there already
	Root      string // UUID of the root file system, to recognise the installed disk by
}

// The names of the files of an image, in the cache and in Out.
const (
	rawName  = "debian.raw"
	zstName  = "debian.raw.zst"
	sumsName = "SHA256SUMS"
)

func (o Options) withDefaults() (Options, error) {
	if o.CacheDir == "" {
		base, err := os.UserCacheDir()
		if err != nil { // no HOME: a service, or a build machine
			base = "/var/cache"
		}
		o.CacheDir = filepath.Join(base, "ingot", "guest")
	}
	if o.Suite == "" {
		o.Suite = "bookworm"
	}
	if o.Kernel == "" {
		o.Kernel = "linux-image-cloud-amd64"
	}
	if o.SizeMiB == 0 {
		o.SizeMiB = 2048
	}
	if o.SizeMiB < 1024 {
		return o, fault.New(fault.Invalid, "a disk of %d MiB does not hold the system; give at least 1024", o.SizeMiB)
	}
	if o.Log == nil {
		o.Log = io.Discard
	}
	for _, dir := range []*string{&o.CacheDir, &o.Out} {
		if *dir == "" {
			continue
		}
		abs, err := filepath.Abs(*dir)
		if err != nil {
			return o, fmt.Errorf("find %s: %w", *dir, err)
		}
		*dir = abs
	}
	return o, nil
}

// Build gives the image that the options describe, from the cache where it has it. A cold build takes one to
// two minutes and 1.5 GiB of disk; a cached one a few seconds, most of it hashing. Two builds of the same
// recipe at the same time are safe: the last one to finish stays.
//
// Errors: fault.Forbidden when a build is needed and the caller is not root; fault.Unavailable when a tool or
// a package archive is missing; fault.Invalid for options that make no sense; others when a tool fails, with
// the end of what it said.
func Build(ctx context.Context, options Options) (*Image, error) {
	o, err := options.withDefaults()
	if err != nil {
		return nil, err
	}
	r := newRecipe(o)
	dir := filepath.Join(o.CacheDir, r.key())
	img, err := open(dir, r)
	switch {
	case err == nil && !o.Fresh:
		img.Cached = true
		fmt.Fprintf(o.Log, "image %s is in the cache\n", r.key())
	case err != nil && !errors.Is(err, os.ErrNotExist):
		fmt.Fprintf(o.Log, "image %s in the cache is not usable, building anew: %v\n", r.key(), err)
		fallthrough
	default:
		if err := build(ctx, o, r, dir); err != nil {
			return nil, err
		}
		if img, err = open(dir, r); err != nil {
			return nil, fmt.Errorf("read the image just built: %w", err)
		}
	}
	if o.Out == "" {
		return img, nil
	}
	return img.copyTo(ctx, o.Out)
}

// open reads a finished image and checks its bytes against its sums.
func open(dir string, r recipe) (*Image, error) {
	img := &Image{Key: r.key(), Size: r.size, Root: r.id("root")}
	img.Raw, img.Zst, img.Sums = filepath.Join(dir, rawName), filepath.Join(dir, zstName), filepath.Join(dir, sumsName)
	want, err := os.ReadFile(img.Sums)
	if err != nil {
		return nil, err
	}
	if err := img.hash(); err != nil {
		return nil, err
	}
	if got := img.sums(); got != string(want) {
		return nil, fmt.Errorf("the files in %s are not those that its %s names", dir, sumsName)
	}
	return img, nil
}

func (i *Image) sums() string {
	return fmt.Sprintf("%s  %s\n%s  %s\n", i.SHA256, rawName, i.ZstSHA256, zstName)
}

func (i *Image) hash() (err error) {
	if i.SHA256, err = hashFile(i.Raw); err != nil {
		return err
	}
	i.ZstSHA256, err = hashFile(i.Zst)
	return err
}

func hashFile(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("read %s: %w", name, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// build makes the image in a folder beside dir and moves it there when it is whole.
func build(ctx context.Context, o Options, r recipe, dir string) error {
	if os.Geteuid() != 0 {
		return fault.New(fault.Forbidden, "building an image needs root: its files belong to many users; run this with sudo")
	}
	if err := needTools(); err != nil {
		return err
	}
	sources, err := ramdisk.HostSources(ramdisk.AptDir, r.suite)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(o.CacheDir, 0o755); err != nil {
		return fmt.Errorf("make the cache: %w", err)
	}
	work, err := os.MkdirTemp(o.CacheDir, "build-")
	if err != nil {
		return fmt.Errorf("make a work folder: %w", err)
	}
	defer os.RemoveAll(work)
	if err := os.Chmod(work, 0o755); err != nil { // apt's own user must reach it
		return err
	}
	b := &builder{recipe: r, sources: sources, root: filepath.Join(work, "root"), out: filepath.Join(work, "out"), log: o.Log}
	if err := os.Mkdir(b.out, 0o755); err != nil {
		return err
	}
	for _, s := range []struct {
		name string
		run  func(*builder, context.Context) error
	}{
		{"unpack and configure packages", (*builder).bootstrap},
		{"lay the recipe's files over them", (*builder).customize},
		{"partition", (*builder).partition},
		{"fill the EFI system partition", (*builder).fillESP},
		{"fill the root file system", (*builder).fillRoot},
		{"compress and hash", (*builder).finish},
	} {
		began := time.Now()
		if err := s.run(b, ctx); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		fmt.Fprintf(o.Log, "%-34s %5.1f s\n", s.name, time.Since(began).Seconds())
	}
	old := filepath.Join(work, "old")
	if err := os.Rename(dir, old); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("move the old image away: %w", err)
	}
	if err := os.Rename(b.out, dir); err != nil {
		return fmt.Errorf("put the image into the cache: %w", err)
	}
	return nil
}

// copyTo puts the files into a folder of the caller's, who may then change them: a machine that boots the
// raw file writes to it, and the cache must not notice.
func (i *Image) copyTo(ctx context.Context, out string) (*Image, error) {
	if err := os.MkdirAll(out, 0o755); err != nil {
		return nil, fmt.Errorf("make %s: %w", out, err)
	}
	to := *i
	for _, p := range []*string{&to.Raw, &to.Zst, &to.Sums} {
		name := filepath.Join(out, filepath.Base(*p))
		part := name + ".part"
		if err := run(ctx, nil, "cp", "--sparse=always", "--reflink=auto", "--no-preserve=mode", "--", *p, part); err != nil {
			return nil, err
		}
		if err := os.Rename(part, name); err != nil {
			return nil, fmt.Errorf("put %s in place: %w", name, err)
		}
		*p = name
	}
	return &to, nil
}

// String is the image in one line, for people.
func (i *Image) String() string {
	from := "built"
	if i.Cached {
		from = "from the cache"
	}
	return fmt.Sprintf("%s (%s), sha256 %s", i.Raw, from, strings.ToLower(i.SHA256))
}
