package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"path/filepath"

	"golang.org/x/sync/errgroup"

	"ingot/internal/api"
	"ingot/internal/cli"
	"ingot/internal/config"
	"ingot/internal/depot"
	"ingot/internal/netboot"
	"ingot/internal/peer"
)

// serveBootHost is the role boot: conductors push files to the peer listener, machines fetch them at the boot
// listener. It has no database and no key of the cluster, and it connects to nobody.
func serveBootHost(ctx context.Context, f serveFlags, c config.Config, log *slog.Logger) error {
	if f.peerListen == "" {
		return cli.Hint(errors.New("--roles boot: nobody could push anything here"), "give --peer-listen an address that conductors reach")
	}
	if f.metricsListen != "" || c.Metrics.Listen != "" {
		return errors.New("--roles boot: a boot host has no metrics; leave --metrics-listen and [metrics] listen away")
	}
	unlock, err := lockData(f.data)
	if err != nil {
		return err
	}
	defer unlock()
	doors, err := openDoors(f, c, roles{roleBoot})
	if err != nil {
		return err
	}
	defer doors.close()
	if err := doors.secure(c, log); err != nil {
		return err
	}
	options := shelfOptions(c.BootHost)
	options.Log = log
	shelf, err := depot.OpenShelf(filepath.Join(f.data, "pushed"), options)
	if err != nil {
		return err
	}
	boots, err := openPushedBoots(f.data, c, shelf, log)
	if err != nil {
		return err
	}
	leases, err := openHostLeases(f.data, c)
	if err != nil {
		return err
	}
	service, err := pushedNetboot(c, doors.bootURL, boots, leases, log)
	if err != nil {
		return err
	}
	defer service.Close()
	meta, seeds, err := hostMetadata(c, leases, log)
	if err != nil {
		return err
	}
	p, err := openBootPeer(ctx, f, peer.Options{Config: peer.Defaults(), Dir: filepath.Join(f.data, "peer"), Log: log,
		Shelf: pushed{shelf}, Boots: peerBoots{boots.NetShelf}, Leases: hostLeases{leases}, Seeds: seedsOf(seeds), BootURL: doors.bootURL, Carried: true})
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	listen(ctx, g, doors.boot, api.Server(besideBoots(service, shelf.Handler(), bootTLS(c)), log))
	g.Go(func() error { return service.Run(ctx) })
	g.Go(func() error { return p.Serve(ctx, doors.peer) })
	g.Go(func() error { return p.Run(ctx) })
	g.Go(func() error { return shelf.Run(ctx) })
	g.Go(func() error { return boots.Run(ctx) })
	if meta != nil {
		serveMetadata(ctx, g, doors.metadata, meta, log)
	}
	g.Go(func() error { return (&server{log: log}).tell(ctx, func(context.Context) {}) })
	log.Info("serving", "name", p.Identity().Name, "roles", roles{roleBoot}.names(), "data", f.data, "boot", doors.bootURL, "peer", doors.peerURL,
		"metadata", c.Metadata.Listen, "certificate_until", p.Identity().Until)
	if err := g.Wait(); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// openHostLeases opens the file of leases; nil without anything in [netboot].
func openHostLeases(data string, c config.Config) (*netboot.LeaseFile, error) {
	if c.Netboot == config.Defaults().Netboot {
		return nil, nil //nolint:nilnil // this host gives no addresses
	}
	return netboot.OpenLeaseFile(filepath.Join(data, "leases.json"))
}

// pushedNetboot makes the boot services over what was pushed, and opens their sockets. Without anything in [netboot], and thus
// without leases, there is only HTTP, at the boot listener.
func pushedNetboot(c config.Config, bootURL string, boots netboot.Boots, leases *netboot.LeaseFile, log *slog.Logger) (*netboot.Service, error) {
	if bootTLS(c) {
		bootURL = ""
	}
	o := netboot.Options{BootURL: bootURL, Log: log}
	var err error
	if leases != nil {
		if o, err = netbootOptions(c.Netboot, bootURL, log); err != nil {
			return nil, err
		}
		o.Leases = leases
	}
	o.Boots = boots
	s, err := netboot.New(o)
	if err != nil {
		return nil, fmt.Errorf("the boot services of this boot host: %w", err)
	}
	return s, nil
}

// besideBoots serves the files of network boots beside others, where there is no TLS: firmware knows no certificate of ours.
func besideBoots(s *netboot.Service, rest http.Handler, tls bool) http.Handler {
	files := s.Handler()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !tls && netboot.Owns(r) {
			files.ServeHTTP(w, r)
			return
		}
		rest.ServeHTTP(w, r)
	})
}

// openBootPeer reads the boot host's certificate, joining first if it was given a token.
func openBootPeer(ctx context.Context, f serveFlags, o peer.Options) (*peer.Peer, error) {
	p, err := peer.Open(o)
	if errors.Is(err, fs.ErrNotExist) && f.joinToken != "" {
		token, tokenErr := readToken(f.joinToken)
		if tokenErr != nil {
			return nil, tokenErr
		}
		if _, err = peer.Join(ctx, o.Dir, token, f.join); err != nil {
			return nil, err
		}
		p, err = peer.Open(o)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, cli.Hint(errors.New("this boot host has no certificate yet"), "on the issuing server: ingot peer invite NAME --roles boot; here: ingot peer join")
	}
	if err == nil && !p.Identity().Is(peer.Boot) {
		return nil, cli.Hint(errors.New("this server's certificate does not give it the role boot"), "invite it with --roles boot, and let it join anew (remove %s first)", o.Dir)
	}
	return p, err
}

// pushed is a shelf as other servers know it.
type pushed struct{ *depot.Shelf }

// Put takes a file.
func (p pushed) Put(ctx context.Context, f peer.ShelfFile, body io.Reader) error {
	return p.Shelf.Put(ctx, depot.Pushed(f), body)
}

// List gives what is there.
func (p pushed) List() ([]peer.ShelfFile, error) {
	all, err := p.Shelf.List()
	out := make([]peer.ShelfFile, len(all))
	for i, f := range all {
		out[i] = peer.ShelfFile(f)
	}
	return out, err
}
