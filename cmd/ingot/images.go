package main

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"ingot/internal/conductor"
	"ingot/internal/config"
	"ingot/internal/depot"
	"ingot/internal/fault"
	"ingot/internal/image"
	"ingot/internal/metal"
	"ingot/internal/origin"
	"ingot/internal/peer"
	"ingot/internal/secret"
	"ingot/internal/source"
)

// images brings images to where machines fetch them: on a boot host, or on the shelf of this server. With boot hosts this
// server's shelf holds an image only while it is fetched and pushed.
type images struct {
	shelf *depot.Shelf
	files *depot.Depot
	url   string     // at which machines fetch from the shelf
	hosts *bootHosts // nil: they do
	key   secret.Secret
	rules image.Rules

	memory func(what string, need int64) (free func(), err error) // conductor.Memory
}

// openImages opens the shelf in the data folder. What was on its way to a boot host when the server ended goes.
func (s *server) openImages() (*images, error) {
	rules, err := imageRules(s.c.ImageRules)
	if err != nil {
		return nil, err
	}
	shelf, err := depot.OpenShelf(imagesDir(s.f.data), depot.ShelfOptions{Quota: int64(s.c.ImageCache.ImageCacheSize) << 20, MaxFile: 1 << 50, Log: s.log})
	if err != nil {
		return nil, err
	}
	if s.hosts != nil {
		left, err := shelf.List()
		if err != nil {
			return nil, err
		}
		for _, f := range left {
			if err := shelf.Remove(f.Name); err != nil {
				return nil, err
			}
		}
	}
	return &images{shelf: shelf, files: s.files, url: s.doors.bootURL, hosts: s.hosts, key: s.key.Derive("names of images"), rules: rules, memory: s.worker.Memory}, nil
}

// imagesDir is the folder of a data folder's shelf.
func imagesDir(data string) string { return filepath.Join(data, "images") }

// bootHandler is all that this server's boot listener serves: what the depot offers, and images.
func (s *server) bootHandler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", s.files.Handler())
	mux.Handle("/pushed/", s.images.shelf.Handler())
	return mux
}

// Hosts tells whether machines fetch from boot hosts.
func (im *images) Hosts() bool { return im.hosts != nil }

// named is a name that nobody guesses, and that is the same at every conductor.
func named(key secret.Secret, parts ...string) string {
	h := hmac.New(sha256.New, []byte(key.Expose()))
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s/", len(p), p)
	}
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

// name is that of an image. The source is part of it, not only the content: who knows the checksum of another's image, and
// no address of it, must not get it from here.
func (im *images) name(i conductor.Image) string {
	return named(im.key, i.URL, i.File, i.Algorithm, i.Hex)
}

// heldFor is how the holder is called for whom a node's files are pushed.
func (im *images) heldFor(node string) string { return holder(im.key, node) }

func holder(key secret.Secret, node string) string { return named(key, "holder", node) }

// Bring brings an image to the node's boot host, or to the shelf here.
func (im *images) Bring(ctx context.Context, node string, i conductor.Image, until time.Time) (url, where string, err error) {
	name := im.name(i)
	if im.hosts == nil {
		there, err := im.shelf.Hold(name, im.heldFor(node), until)
		if err == nil && !there {
			_, err = im.fetch(ctx, name, node, i, until)
		}
		if err == nil {
			err = im.judged(name, node, i)
		}
		return im.url + depot.PushedPath(name, cmp.Or(i.As, "image")), "on this server", err
	}
	to, at, err := im.hosts.choose(ctx, node)
	if err != nil {
		return "", "", err
	}
	url, where = at+depot.PushedPath(name, cmp.Or(i.As, "image")), "on boot host "+to.Name
	there, err := im.hosts.peer.HoldFile(ctx, to, name, im.hosts.heldFor(node), until)
	if err != nil || there {
		return url, where, err
	}
	return url, where, im.push(ctx, to, name, node, i, until)
}

// BootFile is what was brought here, as a file that machines boot.
func (im *images) BootFile(i conductor.Image) (metal.BootFile, error) {
	file, f, err := im.shelf.Open(im.name(i))
	if err != nil {
		return metal.BootFile{}, err
	}
	return metal.BootFile{Name: f.Name, Size: f.Size, SHA256: f.SHA256}, file.Close()
}

// push brings an image to a boot host.
func (im *images) push(ctx context.Context, to peer.Server, name, node string, i conductor.Image, until time.Time) error {
	file, f, err := im.have(ctx, name, node, i)
	defer func() { _ = im.shelf.Release(im.heldFor(node)) }() // what stays here goes at the start of this server, or expires
	if err != nil {
		return err
	}
	defer file.Close() // read-only: nothing is lost
	if err := im.judge(file, f.Size, i); err != nil {
		return err
	}
	f.Name, f.Holder, f.Expires = name, im.hosts.heldFor(node), until
	return im.hosts.peer.Push(ctx, to, f, file)
}

// passing is how long an image may lie here on its way to a boot host.
const passing = 24 * time.Hour

// have gives the verified image as a file, fetching it if it must.
func (im *images) have(ctx context.Context, name, node string, i conductor.Image) (*os.File, peer.ShelfFile, error) {
	if i.File != "" {
		return im.own(ctx, i)
	}
	until := time.Now().Add(passing)
	there, err := im.shelf.Hold(name, im.heldFor(node), until)
	if err == nil && !there {
		_, err = im.fetch(ctx, name, node, i, until)
	}
	if err != nil {
		return nil, peer.ShelfFile{}, err
	}
	file, f, err := im.shelf.Open(name)
	return file, peer.ShelfFile(f), err
}

// own opens a file of this server that is an image, and reads it once to verify it.
func (im *images) own(ctx context.Context, i conductor.Image) (*os.File, peer.ShelfFile, error) {
	file, err := im.files.OpenFile(i.File)
	if err != nil {
		return nil, peer.ShelfFile{}, err
	}
	sum, want := sha256.New(), source.Digest{Algorithm: i.Algorithm, Hex: i.Hex}
	whole := want.Hash()
	n, err := io.Copy(io.MultiWriter(sum, whole), stopping{ctx, file})
	if err == nil {
		err = right(i, whole.Sum(nil))
	}
	if err == nil {
		_, err = file.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, peer.ShelfFile{}, errors.Join(err, file.Close())
	}
	return file, peer.ShelfFile{Size: n, SHA256: hex.EncodeToString(sum.Sum(nil))}, nil
}

// fetch downloads an image to the shelf here and verifies it.
func (im *images) fetch(ctx context.Context, name, node string, i conductor.Image, until time.Time) (depot.Pushed, error) {
	f := depot.Pushed{Name: name, Holder: im.heldFor(node), Expires: until}
	var o source.Options
	var err error
	if i.Access != nil {
		if o, err = i.Access(ctx); err != nil {
			return f, err
		}
	}
	body, err := source.Open(ctx, []string{i.URL}, o)
	if err != nil {
		return f, err
	}
	defer body.Close()
	f.Size = max(body.Size(), 0)
	want := source.Digest{Algorithm: i.Algorithm, Hex: i.Hex}
	whole := want.Hash()
	return im.shelf.Fetch(ctx, f, io.TeeReader(body, whole), func() error { return right(i, whole.Sum(nil)) })
}

// right says whether an image is the one that was asked for.
func right(i conductor.Image, is []byte) error {
	if got := hex.EncodeToString(is); got != i.Hex {
		return fault.New(fault.Invalid, "The image %s has not the checksum that it must have: its %s is %s, and not %s.", cmp.Or(i.Name, source.Safe(i.URL), i.File), i.Algorithm, got, i.Hex)
	}
	return nil
}

// imageOrigins is what the configuration says of where images come from.
func imageOrigins(c config.Config) origin.Config {
	return origin.Config{Web: c.Web, Servers: c.ImageServers, Checksums: c.Checksums, ChecksumFiles: c.ChecksumFiles, Registries: c.Registries, Glance: c.Glance}
}

// Drop gives up what was brought for a node.
func (im *images) Drop(ctx context.Context, node string) error {
	errs := []error{im.shelf.Release(im.heldFor(node))}
	if im.hosts != nil {
		errs = append(errs, im.hosts.release(ctx, node))
	}
	return errors.Join(errs...)
}

// stopping is a reader that ends with its context.
type stopping struct {
	ctx context.Context
	r   io.Reader
}

func (s stopping) Read(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	return s.r.Read(p)
}

// shelfOptions are what the configuration says of a boot host's shelf.
func shelfOptions(c config.BootHost) depot.ShelfOptions {
	return depot.ShelfOptions{Quota: int64(c.Space) << 20, MaxFile: int64(c.MaxFileSize) << 20}
}
