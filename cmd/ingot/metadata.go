package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"

	"golang.org/x/sync/errgroup"

	"ingot/internal/api"
	"ingot/internal/cli"
	"ingot/internal/metadata"
)

// metadataAt puts the flag before the option, and refuses what does not go together.
func metadataAt(c *metadata.Config, flag string, r roles) error {
	if flag != "" {
		c.Listen = nil
		for _, at := range strings.Split(flag, ",") {
			c.Listen = append(c.Listen, strings.TrimSpace(at))
		}
	}
	if r.has(roleMetadata) && len(c.Listen) == 0 {
		return cli.Hint(errors.New("--roles metadata: nothing says where instances ask"), "give --metadata-listen or [metadata] listen, such as 169.254.169.254:80 where this host has that address; docs/guides/metadata.md")
	}
	return c.Check()
}

// openMetadata opens the doors for instances.
func (d *doors) openMetadata(at []string) error {
	for _, one := range at {
		var l net.Listener
		if err := open(true, "--metadata-listen", one, &l); err != nil {
			return err
		}
		d.metadata = append(d.metadata, l)
	}
	return nil
}

// serveMetadata serves instances at all doors until ctx ends.
func serveMetadata(ctx context.Context, g *errgroup.Group, doors []net.Listener, s *metadata.Service, log *slog.Logger) {
	for _, l := range doors {
		listen(ctx, g, l, metadataServer(s, log))
	}
	g.Go(func() error { return s.Run(ctx) })
}

// metadataServer is bounded as all our listeners are. A request has a few short headers.
func metadataServer(h http.Handler, log *slog.Logger) *http.Server {
	s := api.Server(h, log)
	s.MaxHeaderBytes = 16 << 10
	return s
}

// buildMetadata makes the role metadata over the database.
func (s *server) buildMetadata() (err error) {
	installs := &metadata.Installs{DB: s.db}
	if s.values != nil || s.peer != nil {
		installs.Secrets = &values{self: s.name, own: s.values, peer: s.peer, members: s.members, log: s.log}
	}
	o := metadata.Options{Config: s.c.Metadata, Log: s.log, Count: s.watch.m.Metadata,
		Instances: &metadata.Stored{DB: s.db, Vendor: s.vendordata, Neighbor: neighbours(s.c.Metadata.CheckNeighbours), TrustUsers: s.c.Metadata.TrustUserAddresses, Log: s.log},
		Installs:  installs}
	if o.Others, err = s.metadataSources(); err != nil {
		return err
	}
	if s.metadata, err = metadata.New(o); err != nil {
		return fmt.Errorf("the role metadata: %w", err)
	}
	return nil
}
