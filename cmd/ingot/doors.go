package main

import (
	"cmp"
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

// doors are the listeners of one server, those its roles need, and how they are reached.
type doors struct {
	api, agent, boot, peer, metrics       net.Listener // nil: not this server's
	metadata                              []net.Listener
	agentHost, agentURL, bootURL, peerURL string
}

func openDoors(f serveFlags, c config.Config, r roles) (*doors, error) {
	d := &doors{}
	err := cmp.Or(
		open(r.has(roleAPI), "--listen", f.listen, &d.api),
		open(r.has(roleAgentAPI), "--agent-listen", f.agentListen, &d.agent),
		open(r.has(roleConductor) || r.has(roleBoot), "--boot-listen", f.bootListen, &d.boot),
		open(f.peerListen != "", "--peer-listen", f.peerListen, &d.peer),
		open(f.metricsListen != "", "--metrics-listen", f.metricsListen, &d.metrics))
	if err == nil && (r.has(roleMetadata) || r.has(roleBoot)) {
		err = d.openMetadata(c.Metadata.Listen)
	}
	if err == nil {
		err = d.name(f, c)
	}
	if err != nil {
		d.close()
		return nil, err
	}
	return d, nil
}

func open(wanted bool, flag, at string, into *net.Listener) (err error) {
	if !wanted {
		return nil
	}
	if *into, err = net.Listen("tcp", at); err != nil {
		*into = nil
		return notListening(flag, at, err)
	}
	return nil
}

// name finds the URLs at which others reach the doors.
func (d *doors) name(f serveFlags, c config.Config) (err error) {
	if d.boot != nil {
		if d.bootURL, err = urlOf(cmp.Or(f.bootURL, c.Deploy.HTTPURL), strings.TrimSuffix(scheme(bootTLS(c)), "://"), d.boot, "--boot-listen", "--boot-url", "BMCs and machines reach"); err != nil {
			return err
		}
	}
	if d.peer != nil {
		if d.peerURL, err = urlOf(f.peerURL, "https", d.peer, "--peer-listen", "--peer-url", "other servers reach"); err != nil {
			return err
		}
	}
	if d.agent == nil {
		return nil
	}
	given := f.agentURL
	if given == "" && d.boot != nil { // machines reach both at the same host
		_, port, err := net.SplitHostPort(d.agent.Addr().String())
		if err != nil {
			return err
		}
		given = "https://" + net.JoinHostPort(hostOf(d.bootURL), port)
	}
	if d.agentURL, err = urlOf(given, "https", d.agent, "--agent-listen", "--agent-url", "machines reach"); err != nil {
		return err
	}
	d.agentHost = hostOf(d.agentURL)
	return nil
}

// hostOf is the host of a URL that was checked.
func hostOf(checked string) string {
	u, err := url.Parse(checked)
	if err != nil {
		return ""
	}
	return u.Hostname()
}

// urlOf is the URL of a listener: the given one, or its address.
func urlOf(given, scheme string, l net.Listener, listenFlag, urlFlag, who string) (string, error) {
	if given == "" {
		given = scheme + "://" + l.Addr().String()
	}
	given = strings.TrimRight(given, "/")
	u, err := url.Parse(given)
	if err != nil || u.Host == "" {
		return "", fmt.Errorf("%s %q is no URL with a host", urlFlag, given)
	}
	if scheme == "https" && u.Scheme != "https" {
		return "", fmt.Errorf("%s %q must begin with https://", urlFlag, given)
	}
	if ip, err := netip.ParseAddr(u.Hostname()); err == nil && ip.IsUnspecified() {
		return "", cli.Hint(fmt.Errorf("the URL %s names no address that a machine could ask", given),
			"with %s on all addresses, give %s %s://ADDRESS:PORT as %s it", listenFlag, urlFlag, scheme, who)
	}
	return given, nil
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
	for _, l := range append([]net.Listener{d.api, d.agent, d.boot, d.peer, d.metrics}, d.metadata...) {
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
