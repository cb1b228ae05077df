package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"ingot/internal/agentapi"
	"ingot/internal/cli"
	"ingot/internal/depot"
	"ingot/internal/fault"
	"ingot/internal/peer"
	"ingot/internal/secret"
	"ingot/internal/store"
)

// bootHosts are the boot hosts that a conductor pushes boot ISOs to.
type bootHosts struct {
	peer  *peer.Peer
	all   []peer.Server
	files *depot.Depot
	net   *depot.NetFiles // of boots from the network
	key   secret.Secret   // names what is pushed
	db    *store.DB       // has what instances read
	group string          // of the nodes that this conductor serves

	trustUsers bool // addresses that only an instance's user says it has are pushed

	serving sync.Map // by boot host, whether it serves metadata (bool), as it said last
	refused sync.Map // by boot host, what it had no room for (*refusedSeeds)
}

// bootHosts are those that the configuration names; nil if there are none.
func (s *server) bootHosts() (*bootHosts, error) {
	if len(s.c.Deploy.BootHosts) == 0 {
		return nil, nil
	}
	all, err := parseBootHosts(s.c.Deploy.BootHosts)
	if err != nil {
		return nil, err
	}
	if s.peer == nil || !s.peer.Identity().Is(peer.Conductor) {
		return nil, cli.Hint(errors.New("[deploy] boot_hosts needs a certificate with the role conductor, and this server has none"),
			"\"ingot peer init\" makes the first server's; the others join with a token of \"ingot peer invite\"")
	}
	net, err := s.pushedFiles()
	return &bootHosts{peer: s.peer, all: all, files: s.files, net: net, key: s.key.Derive("names of pushed files"),
		db: s.db, group: s.c.Conductor.ConductorGroup, trustUsers: s.c.Metadata.TrustUserAddresses}, err
}

func parseBootHosts(lines []string) ([]peer.Server, error) {
	var out []peer.Server
	for _, line := range lines {
		name, at, ok := strings.Cut(line, "=")
		u, err := url.Parse(at)
		if !ok || err != nil || u.Scheme != "https" || u.Host == "" || peer.CheckName(name) != nil {
			return nil, fmt.Errorf("[deploy] boot_hosts: %q is not like boot1=https://198.51.100.9:6388", line)
		}
		if slices.ContainsFunc(out, func(s peer.Server) bool { return s.Name == name }) {
			return nil, fmt.Errorf("[deploy] boot_hosts names %s twice", name)
		}
		out = append(out, peer.Server{Name: name, URL: strings.TrimRight(at, "/")})
	}
	return out, nil
}

// order is the boot hosts as a node's turn comes to them: nodes are spread, and one node has the same first.
func (b *bootHosts) order(node string) []peer.Server {
	h := fnv.New32a()
	_, _ = h.Write([]byte(node)) // a hash takes everything
	first := int(h.Sum32() % uint32(len(b.all)))
	return append(slices.Clone(b.all[first:]), b.all[:first]...)
}

// choose gives the first boot host that answers, and where machines fetch from it.
func (b *bootHosts) choose(ctx context.Context, node string) (peer.Server, string, error) {
	var errs []error
	for _, s := range b.order(node) {
		hello, err := b.peer.Hello(ctx, s)
		switch {
		case err != nil:
			errs = append(errs, err)
		case !slices.Contains(hello.Roles, peer.Boot) || hello.BootURL == "":
			errs = append(errs, fault.New(fault.Unavailable, "Server %s is no boot host.", s.Name))
		default:
			return s, strings.TrimRight(hello.BootURL, "/"), nil
		}
	}
	said, _ := fault.PublicOf(errs[0])
	return peer.Server{}, "", fault.Wrap(fault.Unavailable, errors.Join(errs...), "No boot host of [deploy] boot_hosts can be used: %s", said)
}

// name is what the ISO of a boot is called on boot hosts: the same for every conductor, and nobody's guess.
func (b *bootHosts) name(node, boot string) string {
	h := hmac.New(sha256.New, []byte(b.key.Expose()))
	fmt.Fprintf(h, "%d:%s/%s", len(node), node, boot)
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

// Push renders the boot ISO and puts it on a boot host.
func (b *bootHosts) Push(ctx context.Context, node, boot string, config agentapi.BootConfig, params string, until time.Time) (string, error) {
	to, at, err := b.choose(ctx, node)
	if err != nil {
		return "", err
	}
	t, err := b.files.BootISO(config.Role)
	if err != nil {
		return "", err
	}
	iso, size, err := t.Overlay(config, params)
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, iso); err != nil {
		return "", err
	}
	if _, err := iso.Seek(0, io.SeekStart); err != nil {
		return "", err
	}
	f := peer.ShelfFile{Name: b.name(node, boot), Size: size, SHA256: hex.EncodeToString(sum.Sum(nil)), Expires: until, Holder: b.heldFor(node)}
	if err := b.peer.Push(ctx, to, f, iso); err != nil {
		return "", err
	}
	return at + depot.PushedPath(f.Name, "boot.iso"), nil
}

// carryInterval is how often boot hosts are brought what they fetch from nobody.
const carryInterval = 30 * time.Second

// run brings the boot hosts the deny list and their renewals, and what instances read, until ctx ends.
func (b *bootHosts) run(ctx context.Context, log *slog.Logger) error {
	var seeds sync.WaitGroup
	seeds.Go(func() { b.pushSeeds(ctx, log) })
	defer seeds.Wait()
	tick := time.NewTicker(carryInterval)
	defer tick.Stop()
	warned := ""
	for {
		var errs []error
		for _, s := range b.all {
			errs = append(errs, b.peer.Carry(ctx, s))
		}
		said := ""
		if err := errors.Join(errs...); err != nil && ctx.Err() == nil {
			if said = err.Error(); said != warned {
				log.Warn("boot hosts cannot be told who is revoked, nor renewed; to be tried again", "error", err)
			}
		}
		warned = said
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// heldFor is how the holder is called for whom a node's files are pushed.
func (b *bootHosts) heldFor(node string) string { return holder(b.key, node) }

// release gives up all that is on boot hosts for a node.
func (b *bootHosts) release(ctx context.Context, node string) error {
	var errs []error
	for _, s := range b.all {
		errs = append(errs, b.peer.ReleaseFiles(ctx, s, b.heldFor(node)))
	}
	return errors.Join(errs...)
}

// Withdraw takes the ISO of a boot, or its boot from the network, off every boot host.
func (b *bootHosts) Withdraw(ctx context.Context, node, boot string) error {
	var errs []error
	for _, s := range b.all {
		errs = append(errs, b.peer.Unpush(ctx, s, b.name(node, boot)))
	}
	errs = append(errs, b.withdrawNetBoot(ctx, node, boot))
	return errors.Join(errs...)
}
