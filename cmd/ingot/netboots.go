package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"sync"
	"time"

	"ingot/internal/depot"
	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/netboot"
	"ingot/internal/store"
)

// maxConfigFetches is how often the configuration of one boot is given out: a machine that loses its connection asks again.
const maxConfigFetches = 4

// noticeRest is how long the same is not told again of a node.
const noticeRest = 10 * time.Minute

// maxNotices bounds what is remembered of notices.
const maxNotices = 4096

// storeBoots are the network boots of the database, with the files of this server's ramdisk folder.
type storeBoots struct {
	db    *store.DB
	files *depot.NetFiles
	log   *slog.Logger

	mu   sync.Mutex
	told map[netboot.Notice]time.Time
}

// storeBoots gives the network boots to this process's boot services.
func (s *server) storeBoots() (netboot.Boots, error) {
	l, err := s.netLoaders()
	if err != nil {
		return nil, err
	}
	scripts, err := bootScripts(s.c.PXE)
	if err != nil {
		return nil, err
	}
	files := s.files
	if files == nil { // this process is no conductor
		if files, err = depot.New(filepath.Join(s.f.data, "ramdisk"), depot.Options{Key: s.key.Derive("boot addresses"), RoleDirs: roleDirs(s.f.data), Log: s.log}); err != nil {
			return nil, err
		}
		s.onClose(func() { _ = files.Close() }) // read-only: nothing is lost
	}
	return &storeBoots{db: s.db, files: files.NetFiles(l, scripts).Images(imagesDir(s.f.data)), log: s.log, told: map[netboot.Notice]time.Time{}}, nil
}

func (b *storeBoots) Known(ctx context.Context, mac string) (known *netboot.Known, err error) {
	err = b.db.Read(ctx, func(tx *store.Tx) error {
		nodes, err := tx.NodesByMAC([]string{mac})
		if err == nil && len(nodes) == 1 {
			known = &netboot.Known{NodeUUID: nodes[0].UUID, NodeName: nodes[0].Name, MAC: mac}
		}
		return err
	})
	return known, err
}

func (b *storeBoots) ByMAC(ctx context.Context, mac string) (boot *metal.NetworkBoot, err error) {
	err = b.db.Read(ctx, func(tx *store.Tx) error {
		boot, err = tx.NetworkBootByMAC(mac)
		return err
	})
	return boot, err
}

// ByKey finds the key's hash: what time it takes tells nothing of the key.
func (b *storeBoots) ByKey(ctx context.Context, key string) (boot *metal.NetworkBoot, err error) {
	err = b.db.Read(ctx, func(tx *store.Tx) error {
		boot, err = tx.NetworkBootByKey(key)
		return err
	})
	return boot, err
}

func (b *storeBoots) Loader(ctx context.Context, n *metal.NetworkBoot, c netboot.Client) (string, error) {
	if err := rightWay(n, c); err != nil {
		return "", err
	}
	name, err := b.files.Loader(n, c.Arch, c.Firmware)
	if err == nil {
		b.saw(ctx, n, metal.SeenOffer)
	}
	return name, err
}

func (b *storeBoots) Open(ctx context.Context, n *metal.NetworkBoot, name string, at netboot.Place) (netboot.File, error) {
	f, err := b.files.Open(n, name, depot.NetPlace(at))
	if err != nil {
		if kind := fault.KindOf(err); kind != fault.NotFound {
			b.Note(ctx, netboot.Notice{NodeUUID: n.NodeUUID, Kind: "file refused", Text: fmt.Sprintf("The machine asked for %s and did not get it: %s", name, said(err))})
		}
		return netboot.File{}, err
	}
	b.saw(ctx, n, name)
	return netboot.File(f), nil
}

// saw notes how far a boot is, if that is not noted already. The machine gets its file whatever becomes of the note.
func (b *storeBoots) saw(ctx context.Context, n *metal.NetworkBoot, what string) {
	var seen store.NetworkBootSeen
	err := b.db.Read(ctx, func(tx *store.Tx) (err error) {
		seen, err = tx.NetworkBootSeen(n.Generation)
		return err
	})
	if err == nil && seen.What != what && (what != metal.SeenOffer || seen.What == "") {
		err = b.db.Write(ctx, func(tx *store.Tx) error { return tx.SeeNetworkBoot(n.Generation, what) })
	}
	if err != nil {
		b.log.Warn("progress of a network boot is not noted", "node", n.NodeUUID, "error", err)
	}
}

// Give counts, and tells the node's history. An agent that has called has all that it needs: nobody gets its token then.
func (b *storeBoots) Give(ctx context.Context, n *metal.NetworkBoot, to netip.Addr) error {
	return b.db.Write(ctx, func(tx *store.Tx) error {
		node, err := tx.Node(n.NodeUUID)
		if err != nil {
			return err
		}
		a, err := tx.Agent(node)
		if err != nil {
			return err
		}
		if a == nil || a.Boot != n.Generation {
			return fault.New(fault.NotFound, "This network boot is over.")
		}
		if !a.LastHeartbeat.IsZero() {
			return fault.New(fault.Conflict, "The agent of this boot has called: its configuration is given to nobody any more.")
		}
		times, err := tx.GiveNetworkConfig(n.Generation, maxConfigFetches)
		if err != nil {
			return err
		}
		return tx.AppendEvent(node.ID, metal.HistoryEvent{Kind: "step", Severity: "INFO",
			Why: fmt.Sprintf("The configuration of the boot, with the agent's token, was given to %s (%d of at most %d times).", to, times, maxConfigFetches)})
	})
}

func (b *storeBoots) Note(ctx context.Context, n netboot.Notice) {
	if n.NodeUUID == "" || !b.news(n, time.Now()) {
		return
	}
	err := b.db.Write(ctx, func(tx *store.Tx) error {
		node, err := tx.Node(n.NodeUUID)
		if err != nil {
			return err
		}
		return tx.AppendEvent(node.ID, metal.HistoryEvent{Kind: "step", Severity: "WARN", Why: n.Text})
	})
	if err != nil {
		b.log.Warn("notice of the boot services is not kept", "node", n.NodeUUID, "notice", n.Kind, "error", err)
	}
}

// news tells whether this was not told of the node for a while.
func (b *storeBoots) news(n netboot.Notice, now time.Time) bool {
	n.Text = ""
	b.mu.Lock()
	defer b.mu.Unlock()
	if at, ok := b.told[n]; ok && now.Sub(at) < noticeRest {
		return false
	}
	if len(b.told) >= maxNotices {
		clear(b.told)
	}
	b.told[n] = now
	return true
}

// said is what an error tells its reader.
func said(err error) string {
	if text, ok := fault.PublicOf(err); ok {
		return text
	}
	return "an error of the server; see its log"
}
