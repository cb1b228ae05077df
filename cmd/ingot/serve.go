package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"ingot/internal/agentapi"
	"ingot/internal/api"
	"ingot/internal/cli"
	"ingot/internal/conductor"
	"ingot/internal/config"
	"ingot/internal/depot"
	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/ops"
	"ingot/internal/store"
)

// serveFlags is how one server is started.
type serveFlags struct {
	data, listen, agentListen, bootListen, bootURL, config string
}

func serveCommand() *cobra.Command {
	var f serveFlags
	c := &cobra.Command{
		Use:   "serve",
		Short: "Run the server",
		Long: `Run the server: the API, the agents' door, the boot listener and a conductor, on one embedded database.

Machines and their BMCs must reach the boot URL, and machines the agents' door at the same host: give
--boot-listen and --agent-listen an address of the provisioning network. The API has no authentication
yet and so listens on loopback only.`,
		Example: `  ingot serve
  ingot serve --agent-listen 198.18.77.1:6386 --boot-listen 198.18.77.1:6387`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			loaded, err := config.Load(f.config, os.Environ())
			if err != nil {
				return err
			}
			return serve(c.Context(), f, loaded.Config, c.ErrOrStderr())
		},
	}
	fl := c.Flags()
	fl.StringVar(&f.data, "data", "./ingot-data", "folder for the database, its key and the ramdisk")
	fl.StringVar(&f.listen, "listen", "", "address of the API (default 127.0.0.1:6385)")
	fl.StringVar(&f.agentListen, "agent-listen", "127.0.0.1:6386", "address of the agents' door")
	fl.StringVar(&f.bootListen, "boot-listen", "127.0.0.1:6387", "address that serves boot media and images")
	fl.StringVar(&f.bootURL, "boot-url", "", "URL at which BMCs and machines reach --boot-listen (default http://<boot-listen>)")
	fl.StringVar(&f.config, "config", "", "configuration file")
	return c
}

// serve builds the rooms and runs them until ctx ends or one of them fails.
func serve(ctx context.Context, f serveFlags, c config.Config, out interface{ Write([]byte) (int, error) }) error {
	level := slog.LevelInfo
	if c.Default.Debug {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{Level: level}))
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil { // a core dump would hold secrets
		return fmt.Errorf("refuse core dumps: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil { // a pattern that pipes dumps ignores the limit
		return fmt.Errorf("refuse core dumps: %w", err)
	}
	if f.listen == "" {
		f.listen = net.JoinHostPort(c.API.HostIP, fmt.Sprint(c.API.Port))
	}
	if err := loopbackOnly(f.listen); err != nil {
		return err
	}
	unlock, err := lockData(f.data)
	if err != nil {
		return err
	}
	defer unlock()
	key, err := store.KeyFor(filepath.Join(f.data, "ingot.db"), filepath.Join(f.data, "ingot.key"))
	if err != nil {
		return err
	}
	db, err := store.OpenSQLite(ctx, filepath.Join(f.data, "ingot.db"), key)
	if err != nil {
		return err
	}
	defer db.Close()

	oc := ops.Defaults()
	oc.HeartbeatTimeout = c.API.RamdiskHeartbeatTimeout
	service := ops.New(db, oc, log)

	doors, err := openDoors(f, c)
	if err != nil {
		return err
	}
	defer doors.close()
	cert, ca, err := api.AgentCertificate(f.data, doors.agentHost)
	if err != nil {
		return err
	}
	types, closeDrivers, err := hardware(c.Default.EnabledHardwareTypes, log)
	if err != nil {
		return err
	}
	defer closeDrivers()
	worker, files, err := newConductor(f, c, db, key, types, doors, ca, log)
	if err != nil {
		return err
	}
	defer files.Close()
	if err := worker.Register(ctx); err != nil { // before the first request, which may need its hardware
		return err
	}

	g, ctx := errgroup.WithContext(ctx)
	options := api.Options{Log: log, PublicEndpoint: c.API.PublicEndpoint, MaxLimit: c.API.MaxLimit}
	local := options
	local.LocalOnly = true
	listen(ctx, g, doors.api, api.Server(api.New(service, local), log))
	agents := tls.NewListener(doors.agent, &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12})
	listen(ctx, g, agents, api.Server(api.AgentHandler(service, options), log))
	listen(ctx, g, doors.boot, api.Server(files.Handler(), log))
	g.Go(func() error { return worker.Run(ctx) })
	log.Info("serving", "api", "http://"+doors.api.Addr().String(), "agents", doors.agentURL, "boot", doors.bootURL, "data", f.data)
	err = g.Wait()
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// newConductor builds the conductor and the depot whose files its machines fetch.
func newConductor(f serveFlags, c config.Config, db *store.DB, key store.Key, types map[string]conductor.Hardware, d *doors, ca string, log *slog.Logger) (*conductor.Conductor, *depot.Depot, error) {
	cc := conductor.Defaults()
	cc.Host = c.Default.Host
	if cc.Host == "" {
		name, err := os.Hostname()
		if err != nil {
			return nil, nil, fmt.Errorf("find the host name: %w", err)
		}
		cc.Host = name
	}
	cc.Group, cc.AutomatedClean = c.Conductor.ConductorGroup, c.Conductor.AutomatedClean
	cc.DeployCallbackLimit, cc.CleanCallbackLimit = c.Conductor.DeployCallbackTimeout, c.Conductor.CleanCallbackTimeout
	cc.PowerGrace = c.Conductor.PowerStateChangeTimeout
	cc.StepPriority = map[string]int{"erase_devices": c.Deploy.EraseDevicesPriority, "erase_devices_metadata": c.Deploy.EraseDevicesMetadataPriority}
	cc.AgentURL, cc.AgentCA, cc.KernelParams = d.agentURL, ca, c.Redfish.KernelAppendParams
	if err := depot.CheckKernelParams(cc.KernelParams); err != nil {
		return nil, nil, fmt.Errorf("[redfish] kernel_append_params: %w", err)
	}
	offers := &offers{url: d.bootURL}
	worker := conductor.New(db, cc, types, offers, log)
	files, err := depot.New(filepath.Join(f.data, "ramdisk"), depot.Options{Key: key.Derive("boot addresses"), Boot: worker.BootConfig,
		AllowedFileRoots: c.Conductor.FileURLAllowedPaths, Log: log})
	if err != nil {
		return nil, nil, err
	}
	offers.depot = files
	return worker, files, nil
}

// offers is the depot as the conductor knows it: whole URLs instead of paths.
type offers struct {
	depot *depot.Depot
	url   string
}

func (o *offers) BootISO(node, boot string, until time.Time) (string, error) {
	return o.offer(depot.Offer{Node: node, Generation: boot, Expires: until, MaxFetches: 16})
}

// Check renders what the boot ISO would be overlaid with.
func (o *offers) Check(boot agentapi.BootConfig, kernelParams string) error {
	t, err := o.depot.BootISO()
	if err != nil {
		return err
	}
	_, _, err = t.Overlay(boot, kernelParams)
	return err
}

func (o *offers) File(path string, until time.Time) (string, error) {
	return o.offer(depot.Offer{Path: path, Expires: until})
}

func (o *offers) offer(what depot.Offer) (string, error) {
	p, err := o.depot.Offer(what)
	return o.url + p, err
}

// Reachable asks for this server's own answer at the boot URL, and for a ramdisk to offer there. That a
// BMC elsewhere reaches the URL cannot be proved from here, but that it cannot is plain for a URL on loopback.
func (o *offers) Reachable(ctx context.Context, n *metal.Node) error {
	if err := beyondLoopback(ctx, o.url, n.DriverInfo.Public("redfish_address")); err != nil {
		return err
	}
	if _, err := o.depot.BootISO(); err != nil {
		if said, ok := fault.PublicOf(err); ok { // trying again does not help: a person must build it
			return fault.Wrap(fault.Invalid, err, "%s", said)
		}
		return err
	}
	return o.depot.CheckReachable(ctx, o.url)
}

// beyondLoopback refuses a boot URL on this host's loopback for a BMC that is elsewhere. bmc is its URL or
// host, "" if there is none.
func beyondLoopback(ctx context.Context, bootURL, bmc string) error {
	u, err := url.Parse(bootURL)
	if err != nil || bmc == "" || !onLoopback(ctx, u.Hostname()) {
		return nil
	}
	if !strings.Contains(bmc, "://") {
		bmc = "https://" + bmc
	}
	b, err := url.Parse(bmc)
	if err != nil || b.Hostname() == "" || onLoopback(ctx, b.Hostname()) {
		return nil
	}
	return fault.New(fault.Invalid, "The boot URL %s is on the server's loopback, where the BMC at %s and its machine cannot reach it. "+
		"Start the server with --boot-listen and --agent-listen at an address of the provisioning network, or give --boot-url.", u.Redacted(), b.Hostname())
}

// onLoopback tells whether a host is this host itself. A name that cannot be resolved counts as elsewhere.
func onLoopback(ctx context.Context, host string) bool {
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.Unmap().IsLoopback()
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second) // a name server that is down delays a deploy by this
	defer cancel()
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	return err == nil && len(ips) > 0 && !slices.ContainsFunc(ips, func(ip netip.Addr) bool { return !ip.Unmap().IsLoopback() })
}

// doors are the listeners of one server and how machines reach them.
type doors struct {
	api, agent, boot             net.Listener
	agentHost, agentURL, bootURL string
}

func openDoors(f serveFlags, c config.Config) (*doors, error) {
	d := &doors{}
	for _, l := range []struct {
		at   string
		flag string
		into *net.Listener
	}{{f.listen, "--listen", &d.api}, {f.agentListen, "--agent-listen", &d.agent}, {f.bootListen, "--boot-listen", &d.boot}} {
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
	for _, l := range []net.Listener{d.api, d.agent, d.boot} {
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

// lockData makes the data folder this process's own: two servers on one SQLite file would both be the
// conductor of the same name.
func lockData(dir string) (func(), error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, cli.Hint(fmt.Errorf("make the data folder: %w", err), "--data names the folder; it must be one that this user may write to")
	}
	l, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, cli.Hint(fmt.Errorf("lock the data folder: %w", err), "--data names the folder; it must be one that this user may write to")
	}
	if err := unix.Flock(int(l.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		l.Close()
		return nil, cli.Hint(fmt.Errorf("the data folder %s is in use by another server", dir), "end that server, or give this one a folder of its own with --data")
	}
	return func() { l.Close() }, nil
}
