package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"

	"ingot/internal/depot"
	"ingot/internal/metal"
	"ingot/internal/peer"
)

// bootHolder is how the holder is called of what a node boots. It is another than that of its images, which stay when
// a boot is prepared anew.
func (b *bootHosts) bootHolder(node string) string { return named(b.key, "holder of boots", node) }

// pushNetFile has a file of a boot on a boot host's shelf, where its name is made of what is in it: machines share it.
func (b *bootHosts) pushNetFile(ctx context.Context, to peer.Server, n *metal.NetworkBoot, name string) (f metal.BootFile, err error) {
	file, err := b.net.Open(n, name, depot.NetPlace{})
	if err != nil {
		return f, err
	}
	defer file.Close() // read-only: nothing is lost
	sum := sha256.New()
	size, err := io.Copy(sum, stopping{ctx, file})
	if err == nil {
		_, err = file.Seek(0, io.SeekStart)
	}
	if err != nil {
		return f, err
	}
	digest := hex.EncodeToString(sum.Sum(nil))
	f = metal.BootFile{Name: named(b.key, "boot file", digest), Size: size, SHA256: digest}
	there, err := b.peer.HoldFile(ctx, to, f.Name, b.bootHolder(n.NodeUUID), n.Expires)
	if err != nil || there {
		return f, err
	}
	return f, b.peer.Push(ctx, to, peer.ShelfFile{Name: f.Name, Size: size, SHA256: digest, Expires: n.Expires, Holder: b.bootHolder(n.NodeUUID)}, file)
}

// NetBootSeen asks the boot hosts what a node's machine fetched last of its boot; "" for nothing.
func (b *bootHosts) NetBootSeen(ctx context.Context, node, generation string) (string, error) {
	var errs []error
	for _, s := range b.all {
		var st depot.Story
		if err := b.peer.BootStory(ctx, s, b.bootHolder(node), &st); err != nil {
			errs = append(errs, err)
			continue
		}
		if st.Generation == generation {
			return st.Seen, nil
		}
	}
	return "", errors.Join(errs...)
}

// withdrawNetBoot ends a network boot on every boot host, and gives up its files.
func (b *bootHosts) withdrawNetBoot(ctx context.Context, node, generation string) error {
	var errs []error
	for _, s := range b.all {
		errs = append(errs, b.peer.RemoveBoot(ctx, s, b.bootHolder(node), generation), b.peer.ReleaseFiles(ctx, s, b.bootHolder(node)))
	}
	return errors.Join(errs...)
}
