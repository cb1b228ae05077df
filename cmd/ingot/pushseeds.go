package main

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"ingot/internal/depot"
	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/peer"
	"ingot/internal/store"
)

const (
	// seedsInterval is how often boot hosts are compared with the database. One that was started again waits for it
	// (depot.SeedOptions.Patience), and an instance that ended while a boot host was away is served no longer than this after.
	seedsInterval = 5 * time.Second
	// mostSeeds and mostSeedBytes bound one push, and what of it is in memory.
	mostSeeds     = 200
	mostSeedBytes = 8 << 20
)

// kept tells whether a boot host keeps what an instance reads: while its machine runs it, and while it is deployed, which pushes it
// just before the machine starts. Otherwise the machine may run a ramdisk, or be somebody else's.
func kept(r store.InstanceRef) bool {
	return r.Runs || r.State == metal.Deploying || r.State == metal.DeployWait || r.State == metal.DeployHold
}

// pushSeeds keeps what instances read on the boot hosts that serve metadata, until ctx ends.
func (b *bootHosts) pushSeeds(ctx context.Context, log *slog.Logger) {
	var running sync.WaitGroup
	for _, at := range b.all {
		running.Go(func() {
			tick := time.NewTicker(seedsInterval)
			defer tick.Stop()
			warned := ""
			for {
				said := ""
				if err := b.compareSeeds(ctx, at); err != nil && ctx.Err() == nil {
					if said = err.Error(); said != warned {
						log.Warn("what instances read cannot be pushed to a boot host; to be tried again", "boot_host", at.Name, "error", err)
					}
				}
				warned = said
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
				}
			}
		})
	}
	running.Wait()
}

// compareSeeds brings one boot host what it lacks, and takes away what is over. It is asked first, and the database then: what is not
// there then is over.
func (b *bootHosts) compareSeeds(ctx context.Context, at peer.Server) error {
	serves, err := b.servesSeeds(ctx, at)
	if err != nil || !serves {
		return err
	}
	has, err := b.peer.Seeds(ctx, at)
	if err != nil {
		return err
	}
	now, refs, err := b.instances(ctx)
	if err != nil {
		return err
	}
	there := map[string]string{}
	for _, m := range has {
		ref, known := refs[m.Node]
		switch {
		case !known:
			err = b.peer.RemoveSeed(ctx, at, m.Node, now)
		case !kept(ref) || ref.Generation != m.Version:
			err = b.peer.RemoveSeed(ctx, at, m.Node, m.Made)
		default:
			there[m.Node] = m.Version
		}
		if err != nil {
			return err
		}
	}
	refused := b.bringLacking(ctx, at, refs, there)
	if fault.KindOf(refused) == fault.Unavailable && refused != nil {
		return refused
	}
	return errors.Join(b.peer.ToldSeeds(ctx, at), refused)
}

// refusedSeeds is what a boot host had no room for. It is not sent again and again.
type refusedSeeds struct {
	until time.Time
	why   error
	nodes map[string]string // by node, its generation
}

// refusedRest is how long a boot host is left alone with what it had no room for.
const refusedRest = time.Minute

// bringLacking brings a boot host what it has not, and should.
func (b *bootHosts) bringLacking(ctx context.Context, at peer.Server, refs map[string]store.InstanceRef, there map[string]string) error {
	before, _ := b.refused.Load(at.Name)
	last, _ := before.(*refusedSeeds)
	if last != nil && time.Now().After(last.until) {
		last = nil
	}
	var lacks []string
	known := false
	for node, ref := range refs {
		switch {
		case !ref.Runs || ref.Group != b.group || there[node] != "":
		case last != nil && last.nodes[node] == ref.Generation:
			known = true
		default:
			lacks = append(lacks, node)
		}
	}
	slices.Sort(lacks)
	err := b.bring(ctx, at, lacks)
	if err != nil && fault.KindOf(err) == fault.TooLarge {
		now := &refusedSeeds{until: time.Now().Add(refusedRest), why: err, nodes: map[string]string{}}
		for _, node := range lacks { // those of them that were taken will be there
			now.nodes[node] = refs[node].Generation
		}
		if last != nil {
			maps.Copy(now.nodes, last.nodes)
			now.until = last.until
		}
		b.refused.Store(at.Name, now)
	} else if err == nil && known {
		err = last.why
	}
	return err
}

// instances are those that are served, by node.
func (b *bootHosts) instances(ctx context.Context) (now time.Time, out map[string]store.InstanceRef, err error) {
	out = map[string]store.InstanceRef{}
	err = b.db.Read(ctx, func(tx *store.Tx) error {
		if now, err = tx.Now(); err != nil {
			return err
		}
		for after := int64(0); ; {
			page, err := tx.Instances(after, 1000)
			if err != nil || len(page) == 0 {
				return err
			}
			for _, ref := range page {
				out[ref.NodeUUID] = ref
			}
			after = page[len(page)-1].NodeID
		}
	})
	return now, out, err
}

// bring pushes what instances of nodes read, a few at a time. One that a boot host does not take keeps no other from it.
func (b *bootHosts) bring(ctx context.Context, at peer.Server, nodes []string) error {
	var errs []error
	var batch []json.RawMessage
	size := 0
	send := func() {
		if len(batch) > 0 {
			errs = append(errs, b.peer.PutSeeds(ctx, at, batch))
		}
		batch, size = nil, 0
	}
	for _, node := range nodes {
		raw, err := b.seedOf(ctx, node)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if size+len(raw) > mostSeedBytes || len(batch) == mostSeeds {
			send()
		}
		if raw != nil {
			batch, size = append(batch, raw), size+len(raw)
		}
	}
	send()
	return errors.Join(errs...)
}

// seedOf is what is pushed of a node's instance; nil: it has none any more.
func (b *bootHosts) seedOf(ctx context.Context, node string) (json.RawMessage, error) {
	var p *depot.PushedSeed
	err := b.db.Read(ctx, func(tx *store.Tx) error {
		n, err := tx.Node(node)
		if err != nil {
			return err
		}
		i, err := tx.Instance(n)
		if err != nil || i == nil {
			return err
		}
		p = &depot.PushedSeed{Node: n.UUID, Version: i.Generation, Made: i.UpdatedAt, Instance: i.ID, Project: i.Project, Seed: []byte(i.Seed.Expose())}
		return b.addressesOf(tx, n, p)
	})
	switch {
	case err != nil && fault.KindOf(err) != fault.NotFound:
		return nil, err
	case err != nil || p == nil:
		return nil, nil
	}
	return json.Marshal(p)
}

// addressesOf adds from where an instance asks. What only its user claims is pushed where users are trusted.
func (b *bootHosts) addressesOf(tx *store.Tx, n *metal.Node, p *depot.PushedSeed) error {
	known, err := tx.InstanceAddresses(n.ID)
	if err != nil {
		return err
	}
	for _, a := range known {
		if a.Source != store.FromNetworkData || b.trustUsers {
			p.Addresses = append(p.Addresses, a.Address)
		}
	}
	ports, err := tx.PortsOf(n.ID)
	if err != nil {
		return err
	}
	for _, one := range ports {
		p.MACs = append(p.MACs, strings.ToLower(one.Address))
	}
	groups, err := tx.Portgroups(store.PortgroupFilter{NodeID: n.ID}, store.Page{})
	for _, one := range groups {
		if one.Address != "" {
			p.MACs = append(p.MACs, strings.ToLower(one.Address))
		}
	}
	slices.Sort(p.MACs)
	p.MACs = slices.Compact(p.MACs)
	slices.SortFunc(p.Addresses, netip.Addr.Compare)
	p.Addresses = slices.Compact(p.Addresses)
	return err
}

// servesSeeds asks a boot host whether it serves metadata. Beside an error it is what the boot host said last.
func (b *bootHosts) servesSeeds(ctx context.Context, at peer.Server) (bool, error) {
	hello, err := b.peer.Hello(ctx, at)
	if err != nil {
		said, _ := b.serving.Load(at.Name)
		return said == true, err
	}
	b.serving.Store(at.Name, hello.Metadata)
	return hello.Metadata, nil
}

// onSeedHosts does something with each boot host that serves metadata, with all at once. served tells whether there is one, and took
// whether it was done with one.
func (b *bootHosts) onSeedHosts(ctx context.Context, do func(peer.Server) error) (served, took bool, err error) {
	var mu sync.Mutex
	var errs []error
	var asked sync.WaitGroup
	for _, at := range b.all {
		asked.Go(func() {
			serves, err := b.servesSeeds(ctx, at)
			if serves && err == nil {
				err = do(at)
			}
			mu.Lock()
			defer mu.Unlock()
			errs = append(errs, err)
			served, took = served || serves, took || serves && err == nil
		})
	}
	asked.Wait()
	return served, took, errors.Join(errs...)
}

// PushMetadata puts what a node's instance reads on every boot host that serves metadata.
func (b *bootHosts) PushMetadata(ctx context.Context, node string) error {
	raw, err := b.seedOf(ctx, node)
	if err != nil || raw == nil {
		return err
	}
	served, took, err := b.onSeedHosts(ctx, func(at peer.Server) error { return b.peer.PutSeeds(ctx, at, []json.RawMessage{raw}) })
	if took || !served {
		return nil
	}
	return err
}

// WithdrawMetadata takes what a node's instance reads off the boot hosts, and sees that nothing that was made before comes back.
func (b *bootHosts) WithdrawMetadata(ctx context.Context, node string, made time.Time) error {
	_, _, err := b.onSeedHosts(ctx, func(at peer.Server) error { return b.peer.RemoveSeed(ctx, at, node, made) })
	return err
}
