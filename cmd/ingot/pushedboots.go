package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"

	"ingot/internal/config"
	"ingot/internal/depot"
	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/netboot"
)

// pushedBoots are the network boots that conductors pushed to a boot host.
type pushedBoots struct {
	*depot.NetShelf
	log *slog.Logger
}

// openPushedBoots opens those of a data folder.
func openPushedBoots(dir string, c config.Config, shelf *depot.Shelf, log *slog.Logger) (*pushedBoots, error) {
	scripts, err := bootScripts(c.PXE)
	if err != nil {
		return nil, err
	}
	s, err := depot.OpenNetShelf(filepath.Join(dir, "boots"), shelf, scripts)
	return &pushedBoots{s, log}, err
}

// Known is a machine that has a boot: no other is known here.
func (b *pushedBoots) Known(_ context.Context, mac string) (*netboot.Known, error) {
	boot := b.NetShelf.ByMAC(mac)
	if boot == nil {
		return nil, nil
	}
	return &netboot.Known{NodeUUID: boot.NodeUUID, NodeName: boot.NodeName, MAC: mac}, nil
}

// ByMAC is the boot of a machine.
func (b *pushedBoots) ByMAC(_ context.Context, mac string) (*metal.NetworkBoot, error) {
	return b.NetShelf.ByMAC(mac), nil
}

// ByKey is the boot with a key.
func (b *pushedBoots) ByKey(_ context.Context, key string) (*metal.NetworkBoot, error) {
	return b.NetShelf.ByKey(key), nil
}

// Loader is what the machine's firmware boots first.
func (b *pushedBoots) Loader(_ context.Context, n *metal.NetworkBoot, c netboot.Client) (string, error) {
	if err := rightWay(n, c); err != nil {
		return "", err
	}
	name, err := b.NetShelf.Loader(n, c.Arch, c.Firmware)
	if err == nil {
		b.saw(n, metal.SeenOffer)
	}
	return name, err
}

// rightWay says why a firmware that asks in one way gets no boot of the other.
func rightWay(n *metal.NetworkBoot, c netboot.Client) error {
	overHTTP := n.Interface == metal.BootHTTP || n.Interface == metal.BootHTTPIPXE
	switch {
	case c.HTTP && !overHTTP:
		return fault.New(fault.Invalid, "The machine's firmware boots over HTTP, and the node's boot interface is %s: set http or http-ipxe, or take HTTP out of the firmware's boot order.", n.Interface)
	case overHTTP && !c.HTTP:
		return fault.New(fault.Invalid, "The machine's firmware asks for a boot by TFTP, and the node's boot interface is %s: take HTTP into the firmware's boot order, or set pxe or ipxe.", n.Interface)
	}
	return nil
}

// Open opens a file of a boot.
func (b *pushedBoots) Open(_ context.Context, n *metal.NetworkBoot, name string, at netboot.Place) (netboot.File, error) {
	f, err := b.NetShelf.Open(n, name, depot.NetPlace(at))
	if err != nil {
		return netboot.File{}, err
	}
	b.saw(n, name)
	return netboot.File(f), nil
}

func (b *pushedBoots) saw(n *metal.NetworkBoot, what string) {
	if err := b.Saw(n, what, what == metal.SeenOffer); err != nil {
		b.log.Warn("progress of a network boot is not noted", "node", n.NodeUUID, "error", err)
	}
}

// Give counts that the configuration goes out.
func (b *pushedBoots) Give(_ context.Context, n *metal.NetworkBoot, to netip.Addr) error {
	if err := b.NetShelf.Give(n, maxConfigFetches); err != nil {
		b.log.Warn("configuration of a boot refused", "node", n.NodeUUID, "remote", to, "error", err)
		return err
	}
	b.log.Info("configuration of a boot given out", "node", n.NodeUUID, "remote", to)
	return nil
}

// Note logs: a boot host tells nobody of its own accord.
func (b *pushedBoots) Note(_ context.Context, n netboot.Notice) {
	b.log.Warn("notice of the boot services", "node", n.NodeUUID, "notice", n.Kind, "text", n.Text)
}

// peerBoots are pushed boots as conductors know them.
type peerBoots struct{ *depot.NetShelf }

// Put keeps a boot.
func (p peerBoots) Put(_ context.Context, holder string, boot json.RawMessage) error {
	return p.NetShelf.Put(holder, boot)
}

// Remove ends a boot.
func (p peerBoots) Remove(_ context.Context, holder, generation string) error {
	return p.NetShelf.Remove(holder, generation)
}

// Story tells how far a boot is.
func (p peerBoots) Story(_ context.Context, holder string) (any, error) {
	return p.NetShelf.Story(holder), nil
}

// netNames are the files of a boot beside kernel and initramfs, by its loader.
func netNames(loader string) []string {
	switch loader {
	case depot.NetISO:
		return []string{loader}
	case depot.LoaderShim:
		return []string{depot.NetKernel, depot.NetInitramfs, loader, depot.LoaderGrub}
	}
	return []string{depot.NetKernel, depot.NetInitramfs, loader}
}

// PushNetBoot puts a network boot on a boot host: its files first, those that are not there yet, then the boot itself.
func (b *bootHosts) PushNetBoot(ctx context.Context, n *metal.NetworkBoot) error {
	to, _, err := b.choose(ctx, n.NodeUUID)
	if err != nil {
		return err
	}
	loader, err := b.net.Loader(n, n.Arch, n.Firmware)
	if err != nil {
		return err
	}
	p := depot.PushedBoot{Boot: *n, Key: n.Key.Expose(), Config: n.Config.Expose(), Loader: loader, Files: map[string]metal.BootFile{}}
	for _, name := range netNames(loader) {
		if p.Files[name], err = b.pushNetFile(ctx, to, n, name); err != nil {
			return fmt.Errorf("push %s: %w", name, err)
		}
	}
	raw, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return b.peer.PutBoot(ctx, to, b.bootHolder(n.NodeUUID), raw)
}
