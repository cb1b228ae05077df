package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"ingot/internal/cli"
	"ingot/internal/config"
)

// doors are the listeners of one server and how machines reach them.
type doors struct {
	api, agent, boot             net.Listener
	metrics                      net.Listener // nil: nobody asked for one
	agentHost, agentURL, bootURL string
}

func openDoors(f serveFlags, c config.Config) (*doors, error) {
	d := &doors{}
	for _, l := range []struct {
		at   string
		flag string
		into *net.Listener
	}{{f.listen, "--listen", &d.api}, {f.agentListen, "--agent-listen", &d.agent}, {f.bootListen, "--boot-listen", &d.boot}, {f.metricsListen, "--metrics-listen", &d.metrics}} {
		if l.at == "" {
			continue
		}
		ln, err := net.Listen("tcp", l.at)
		if err != nil {
			d.close()
			return nil, notListening(l.flag, l.at, err)
		}
		*l.into = ln
	}
	d.bootURL = f.bootURL
	if d.bootURL == "" {
		d.bootURL = c.Deploy.HTTPURL
	}
	if d.bootURL == "" {
		d.bootURL = "http://" + d.boot.Addr().String()
	}
	d.bootURL = strings.TrimRight(d.bootURL, "/")
	u, err := url.Parse(d.bootURL)
	if err != nil || u.Host == "" {
		d.close()
		return nil, fmt.Errorf("--boot-url %q is no URL with a host", d.bootURL)
	}
	if ip, err := netip.ParseAddr(u.Hostname()); err == nil && ip.IsUnspecified() {
		d.close()
		return nil, cli.Hint(fmt.Errorf("the boot URL %s names no address that a machine could ask", d.bootURL),
			"with --boot-listen on all addresses, give --boot-url http://ADDRESS:PORT as BMCs and machines reach it")
	}
	_, port, err := net.SplitHostPort(d.agent.Addr().String())
	if err != nil {
		d.close()
		return nil, err
	}
	d.agentHost = u.Hostname()
	d.agentURL = "https://" + net.JoinHostPort(d.agentHost, port)
	return d, nil
}

// notListening says why there is no door, and what to do.
func notListening(flag, at string, err error) error {
	said := fmt.Errorf("%s %s: %w", flag, at, err)
	switch {
	case errors.Is(err, unix.EADDRINUSE):
		return cli.Hint(said, "another program, perhaps another ingot serve, has this address: end it (ss -ltnp shows which it is), or choose another with %s", flag)
	case errors.Is(err, unix.EADDRNOTAVAIL):
		return cli.Hint(said, "this host has no such address: ip address shows those it has")
	case errors.Is(err, unix.EACCES):
		return cli.Hint(said, "ports below 1024 are for root: choose another with %s", flag)
	}
	return said
}

func (d *doors) close() {
	for _, l := range []net.Listener{d.api, d.agent, d.boot, d.metrics} {
		if l != nil {
			l.Close()
		}
	}
}

// listen serves until ctx ends, then lets running requests finish for a few seconds.
func listen(ctx context.Context, g *errgroup.Group, l net.Listener, s *http.Server) {
	g.Go(func() error {
		if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	g.Go(func() error {
		<-ctx.Done()
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if err := s.Shutdown(end); err != nil {
			return s.Close()
		}
		return nil
	})
}

// loopbackOnly refuses an API that strangers reach: nobody is asked who they are yet.
func loopbackOnly(listen string) error {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return fmt.Errorf("--listen %q: want ADDRESS:PORT: %w", listen, err)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return cli.Hint(fmt.Errorf("--listen %s: the API has no authentication yet, so it may only listen on loopback", listen),
			"use 127.0.0.1:6385, and reach it from elsewhere through ssh -L 6385:127.0.0.1:6385")
	}
	return nil
}
