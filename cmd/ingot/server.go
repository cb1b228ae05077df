package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sync/errgroup"

	"ingot/internal/api"
	"ingot/internal/conductor"
	"ingot/internal/config"
	"ingot/internal/courier"
	"ingot/internal/depot"
	"ingot/internal/identity"
	"ingot/internal/metadata"
	"ingot/internal/metal"
	"ingot/internal/netboot"
	"ingot/internal/ops"
	"ingot/internal/origin"
	"ingot/internal/peer"
	"ingot/internal/secret"
	"ingot/internal/seed"
	"ingot/internal/store"
	"ingot/internal/vendordata"
)

// server is the rooms of one process, while they are put together and while they run.
type server struct {
	f   serveFlags
	c   config.Config
	log *slog.Logger

	roles       roles
	name        string // of this server among those that share the database
	place       string // id of its data folder
	db          *store.DB
	key         store.Key
	keySource   *keySource
	values      *courier.Courier // nil unless this process serves the API
	peer        *peer.Peer       // nil: no certificate; then one process does everything
	members     *members
	doors       *doors
	service     *ops.Service
	networkData *seed.Schema // nil: the built-in one
	rules       *rulebook
	worker      *conductor.Conductor // nil without the role
	files       *depot.Depot         // nil without a conductor
	loaders     *depot.Loaders       // for the network; nil until somebody needs them
	hosts       *bootHosts           // nil: machines fetch from here
	netboot     *netboot.Service     // nil without the role
	metadata    *metadata.Service    // nil without the role
	bootFiles   metal.Finding        // whether machines can fetch by HTTP what it tells them to boot
	images      *images              // nil without a conductor
	origins     *origin.Resolver     // where images come from
	vendordata  *vendordata.Service
	agents      tls.Certificate // of the agents' door
	agentCA     string          // PEM

	agentTLS *tls.Config   // of the agents' door
	callers  identity.Door // who may use the API; nil: whoever reaches it
	local    bool          // only this host reaches the API

	watch *watch

	closers []func()
}

// onClose adds what close does, last first.
func (s *server) onClose(f func()) { s.closers = append(s.closers, f) }

func (s *server) close() {
	for i := len(s.closers) - 1; i >= 0; i-- {
		s.closers[i]()
	}
}

// build makes the rooms, from the ground up. What it made is taken down by close, even after an error.
func (s *server) build(ctx context.Context) (err error) {
	if s.place, err = place(s.f.data); err != nil {
		return err
	}
	if s.keySource, err = keySourceOf(s.c.Database, s.f.keyFile, s.f.data); err != nil {
		return err
	}
	if s.db, s.key, err = openStore(ctx, s.f, s.c, s.keySource); err != nil {
		return err
	}
	s.onClose(func() { _ = s.db.Close() }) // what was accepted is on disk
	s.members = &members{db: s.db}
	if s.roles.has(roleAPI) {
		if err := s.openIdentity(); err != nil {
			return err
		}
	}
	if s.roles.has(roleAPI) {
		s.values = courier.New(courier.Defaults())
		s.onClose(s.values.Close)
	}
	if err := s.openPeer(ctx); err != nil {
		return err
	}
	if s.name, err = s.serverName(); err != nil {
		return err
	}
	if s.rules, err = openRules(s.f, s.c, s.log); err != nil {
		return err
	}
	if s.networkData, err = networkDataSchema(s.c); err != nil {
		return err
	}
	oc := ops.Defaults()
	oc.OwnNodes = s.c.APIRights.ProjectAdminCanManageOwnNodes
	oc.LesseeFrom = s.c.Leases.AutomaticLesseeSource
	if !s.c.Leases.AutomaticLessee {
		oc.LesseeFrom = ops.LesseeFromNowhere
	}
	oc.HeartbeatTimeout, oc.PollOnly = s.c.API.RamdiskHeartbeatTimeout, s.c.Agent.PollOnly
	oc.RescueHash = s.c.Conductor.RescuePasswordHashAlgorithm
	oc.Slots, oc.QueueWhenFull, oc.AutomatedClean = slotLimits(s.c.Slots), s.c.Slots.ConcurrentLimitAction == "queue", s.c.Conductor.AutomatedClean
	if s.origins, err = origin.New(imageOrigins(s.c)); err != nil {
		return err
	}
	s.onClose(s.origins.Close)
	oc.Images = s.origins.Rules()
	enrolment(s.c, &oc)
	if oc.ImageRules, err = imageRules(s.c.ImageRules); err != nil {
		return err
	}
	s.service = ops.New(s.db, oc, s.log)
	if s.watch, err = s.newWatch(ctx); err != nil {
		return err
	}
	if err := s.openVendordata(); err != nil {
		return err
	}
	if s.doors, err = openDoors(s.f, s.c, s.roles); err != nil {
		return err
	}
	s.onClose(s.doors.close)
	if err := s.doors.secure(s.c, s.log); err != nil {
		return err
	}
	if s.roles.has(roleAgentAPI) {
		if s.agents, s.agentCA, err = api.AgentCertificate(s.f.data, s.doors.agentHost); err != nil {
			return err
		}
		if s.agentTLS, err = agentsTLS(s.c.AgentTLS, s.agents); err != nil {
			return err
		}
	}
	if s.values != nil {
		s.service.KeepSecrets(s.keeper())
	}
	s.members.self = s.selfRow()
	if err := s.members.beat(ctx, nil); err != nil {
		return err
	}
	if s.roles.has(roleConductor) {
		if err := s.buildConductor(ctx); err != nil {
			return err
		}
	}
	if s.roles.has(roleMetadata) {
		if err := s.buildMetadata(); err != nil {
			return err
		}
	}
	if s.roles.has(roleNetboot) {
		return s.buildNetboot()
	}
	return nil
}

// run serves until ctx ends or a room fails.
func (s *server) run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	options := api.Options{Log: s.log, PublicEndpoint: s.c.API.PublicEndpoint, MaxLimit: s.c.API.MaxLimit, Ending: ctx.Done(), Watch: s.watch.request, Refused: refusedSteps(s.c.API),
		Rules: s.rules.rules.Load, AgentsOff: !s.c.API.EnableRamdiskEndpoints, AgentsPolled: s.c.API.DisableAgentAPI, NetworkData: s.networkData, Body: bodyLimits(s.c.Access)}
	facts := []any{"name", s.name, "roles", s.roles.names(), "data", s.f.data}
	if s.roles.has(roleAPI) {
		public := s.public(options)
		public.Examine, public.Dumps = s.examine, s.dumps()
		public.AgentOnPublic = s.c.APIRights.RamdiskEndpointsPublic
		listen(ctx, g, s.doors.api, api.Server(s.healthy(api.New(s.service, public)), s.log))
		facts = append(facts, "api", scheme(s.c.Access.EnableSSLAPI)+s.doors.api.Addr().String(), "auth_strategy", cmp.Or(s.c.Access.AuthStrategy, identity.ByNobody))
	}
	if s.roles.has(roleAgentAPI) {
		agents := api.Crowd(s.doors.agent, s.c.Access.MaxConnections)
		listen(ctx, g, tls.NewListener(agents, s.agentTLS), api.Server(api.AgentHandler(s.service, options), s.log))
		facts = append(facts, "agents", s.doors.agentURL)
	}
	if s.roles.has(roleConductor) {
		listen(ctx, g, s.doors.boot, api.Server(s.withNetboot(s.bootHandler()), s.log))
		g.Go(func() error { return s.images.shelf.Run(ctx) })
		g.Go(func() error { return s.worker.Run(ctx) })
		facts = append(facts, "boot", s.doors.bootURL)
		if s.hosts != nil {
			g.Go(func() error { return s.hosts.run(ctx, s.log) })
		}
	}
	if s.netboot != nil {
		g.Go(func() error { return s.netboot.Run(ctx) })
	}
	if s.metadata != nil {
		serveMetadata(ctx, g, s.doors.metadata, s.metadata, s.log)
		facts = append(facts, "metadata", s.c.Metadata.Listen)
	}
	if s.peer != nil {
		g.Go(func() error { return s.peer.Run(ctx) })
		if s.doors.peer != nil {
			g.Go(func() error { return s.peer.Serve(ctx, s.doors.peer) })
			facts = append(facts, "peer", s.doors.peerURL)
		}
	}
	if s.doors.metrics != nil {
		listen(ctx, g, s.doors.metrics, api.Server(s.healthy(s.metrics()), s.log))
	}
	g.Go(func() error { return s.members.run(ctx, s) })
	g.Go(func() error { return s.watchKeys(ctx) })
	g.Go(func() error { return s.service.RunSecrets(ctx) })
	g.Go(func() error { return s.rules.run(ctx) })
	g.Go(func() error { return s.tellManager(ctx) })
	s.warnPolled()
	if err := secret.Unlocked(); err != nil {
		s.log.Info("some secrets are in memory that may be swapped out", "reason", err)
	}
	s.log.Info("serving", facts...)
	if err := g.Wait(); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// buildConductor makes the conductor and the depot whose files its machines fetch.
func (s *server) buildConductor(ctx context.Context) error {
	types, closeDrivers, err := hardware(s.c, s.log)
	if err != nil {
		return err
	}
	s.onClose(closeDrivers)
	cc, err := s.conductorConfig()
	if err != nil {
		return err
	}
	for name, h := range types {
		types[name] = watched(h, s.watch.bmc)
	}
	offers := &offers{url: s.doors.bootURL}
	s.worker = conductor.New(s.db, cc, types, offers, s.log)
	s.worker.Watch(s.watch)
	s.worker.AskLeases(storeLeases{s.db})
	s.worker.UseSecrets(&values{self: s.name, own: s.values, peer: s.peer, members: s.members, log: s.log})
	s.files, err = depot.New(filepath.Join(s.f.data, "ramdisk"), depot.Options{Key: s.key.Derive("boot addresses"), RoleDirs: roleDirs(s.f.data), Boot: s.worker.BootConfig,
		AllowedFileRoots: s.c.Conductor.FileURLAllowedPaths, Log: s.log})
	if err != nil {
		return err
	}
	s.onClose(func() { _ = s.files.Close() }) // read-only: nothing is lost
	offers.depot = s.files
	if err := s.bootFromNetwork(); err != nil {
		return err
	}
	if hosts, err := s.bootHosts(); err != nil {
		return err
	} else if hosts != nil {
		offers.hosts, s.hosts = hosts, hosts
		s.worker.PushTo(hosts)
		s.worker.AskLeases(everyLease{storeLeases{s.db}, hosts})
	}
	if s.images, err = s.openImages(); err != nil {
		return err
	}
	s.worker.BringImages(s.images)
	s.worker.FindImages(s.origins)
	s.worker.UseVendordata(s.vendordata)
	return s.worker.Register(ctx) // before the first request, which may need its hardware
}

// conductorConfig is the conductor's part of the configuration.
func (s *server) conductorConfig() (conductor.Config, error) {
	c, cc := s.c, conductor.Defaults()
	cc.Host = s.name
	cc.Group, cc.AutomatedClean = c.Conductor.ConductorGroup, c.Conductor.AutomatedClean
	cc.OSInstall.StartLimit, cc.OSInstall.Limit, cc.OSInstall.MaxDump = c.OSInstall.StartupTimeout, c.OSInstall.Timeout, int64(c.OSInstall.MaxExportBytes)
	cc.DeployCallbackLimit, cc.CleanCallbackLimit = c.Conductor.DeployCallbackTimeout, c.Conductor.CleanCallbackTimeout
	if err := lifeConfig(&cc, c); err != nil {
		return cc, err
	}
	cc.PowerGrace, cc.SettingLimit = c.Conductor.PowerStateChangeTimeout, c.Redfish.BootModeConfigTimeout
	if err := stepConfig(c, &cc); err != nil {
		return cc, err
	}
	cc.Erasure, cc.CollectLogs = erasure(c.Deploy), c.Agent.DeployLogsCollect
	cc.ImageSource = c.Agent.ImageDownloadSource
	if err := s.pollConfig(&cc); err != nil {
		return cc, err
	}
	cc.KernelParams, cc.NetKernelParams, cc.SignedIPXE = c.Redfish.KernelAppendParams, c.PXE.KernelAppendParams, c.PXE.IPXELoaderIsSigned
	if err := s.agentsDoor(&cc); err != nil {
		return cc, err
	}
	if err := depot.CheckKernelParams(cc.KernelParams); err != nil {
		return cc, fmt.Errorf("[redfish] kernel_append_params: %w", err)
	}
	if _, err := depot.NetworkKernelLine(cc.NetKernelParams); err != nil {
		return cc, fmt.Errorf("[pxe] kernel_append_params: %w", err)
	}
	return cc, nil
}

// agentsDoor tells the conductor where agents call: the door that the configuration names, or this process's
// own, or that of another live server.
func (s *server) agentsDoor(cc *conductor.Config) error {
	switch d := s.c.AgentDoor; {
	case d.DoorURL != "":
		ca, err := os.ReadFile(d.DoorCAFile)
		if err != nil {
			return fmt.Errorf("[agent] door_ca_file, which door_url needs: %w", err)
		}
		cc.AgentURL, cc.AgentCA = strings.TrimRight(d.DoorURL, "/"), string(ca)
	case s.roles.has(roleAgentAPI):
		cc.AgentURL, cc.AgentCA = s.doors.agentURL, s.agentCA
	default:
		cc.AgentDoor = s.members.door
	}
	return nil
}
