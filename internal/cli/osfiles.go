package cli

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"ingot/internal/osdef"
	download "ingot/internal/source"
)

// osFiles says where the files of an OS definition are.
type osFiles struct{ follow []string }

func (o *osFiles) flags(c *cobra.Command) {
	c.Flags().StringArrayVar(&o.follow, "follow", nil, "folder that links of the definition may lead to, such as /etc/ganeti; repeatable")
}

// read takes a definition from a folder, a tar file, - for standard input, or a URL, and gives the name that it suggests.
func (o *osFiles) read(cmd *cobra.Command, from string) (*osdef.Bundle, string, error) {
	if u, err := url.Parse(from); err == nil && (u.Scheme == "http" || u.Scheme == "https") {
		b, err := fetchOS(cmd.Context(), from)
		return b, baseName(u.Path), err
	}
	if info, err := os.Stat(from); err == nil && info.IsDir() {
		b, err := o.folder(from)
		at, _ := filepath.Abs(from)
		return b, filepath.Base(at), err
	}
	packed, err := read(cmd, from, osdef.Usual.Packed)
	if err != nil {
		return nil, "", err
	}
	b, err := osdef.Read(bytes.NewReader(packed), osdef.Usual)
	if from == "-" {
		return b, "", err
	}
	return b, baseName(filepath.ToSlash(from)), err
}

// baseName is what an archive's path suggests as a name.
func baseName(at string) string {
	name := path.Base(at)
	for _, end := range []string{".tar", ".tar.gz", ".tgz", ".tar.zst"} {
		if rest, found := strings.CutSuffix(name, end); found {
			return rest
		}
	}
	return name
}

func fetchOS(ctx context.Context, from string) (*osdef.Bundle, error) {
	body, err := download.Open(ctx, []string{from}, download.Options{})
	if err != nil {
		return nil, err
	}
	defer func() { _ = body.Close() }()
	return osdef.Read(body, osdef.Usual)
}

// folder packs a folder. Nothing outside of it is read, but for links into folders that were named: a downloaded folder could
// have a link to a private key.
func (o *osFiles) folder(dir string) (*osdef.Bundle, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, &failure{err: err, code: exitUsage}
	}
	defer func() { _ = root.Close() }()
	outside := func(link, target string) (io.ReadCloser, bool, error) {
		at := target
		if !filepath.IsAbs(at) {
			at = filepath.Join(dir, filepath.Dir(link), target)
		}
		return o.outside(link, target, at)
	}
	return osdef.FromFS(root.FS(), osdef.Usual, outside)
}

// outside opens what a link leads to that leads out, if it is in a folder that was named, with all links on its way.
func (o *osFiles) outside(link, target, at string) (io.ReadCloser, bool, error) {
	real, err := filepath.EvalSymlinks(at)
	if err != nil {
		return nil, false, usagef("the file %s of the definition is a link to %s, which is not there: %v", link, target, err)
	}
	if real, err = filepath.Abs(real); err != nil {
		return nil, false, err
	}
	for _, allowed := range o.follow {
		dir, err := filepath.EvalSymlinks(allowed)
		if err != nil {
			return nil, false, &failure{err: fmt.Errorf("--follow %s: %w", allowed, err), code: exitUsage}
		}
		if dir, err = filepath.Abs(dir); err != nil {
			return nil, false, err
		}
		below, err := filepath.Rel(dir, real)
		if err != nil || !filepath.IsLocal(below) {
			continue
		}
		return openWithin(dir, below)
	}
	return nil, false, hint(usagef("the file %s of the definition is a link to %s, which is outside of it", link, target),
		"if that file belongs to the definition: --follow %s", filepath.Dir(real))
}

// openWithin opens a regular file below a folder that links cannot leave.
func openWithin(dir, below string) (io.ReadCloser, bool, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, false, err
	}
	defer func() { _ = root.Close() }()
	info, err := root.Stat(below)
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("it is no file")
	}
	if err != nil {
		return nil, false, fmt.Errorf("%s: %w", filepath.Join(dir, below), err)
	}
	f, err := root.Open(below)
	if err != nil {
		return nil, false, err
	}
	return f, info.Mode()&0o100 != 0, nil
}

// packedOS is a bundle as it is sent.
func packedOS(b *osdef.Bundle) ([]byte, error) {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	_, err := z.Write(b.Tar())
	if err = errors.Join(err, z.Close()); err != nil {
		return nil, fmt.Errorf("pack: %w", err)
	}
	return out.Bytes(), nil
}
