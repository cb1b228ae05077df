package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"golang.org/x/sync/errgroup"

	"ingot/internal/api"
	"ingot/internal/conductor"
	"ingot/internal/config"
	"ingot/internal/depot"
	"ingot/internal/ops"
	"ingot/internal/store"
)

// server is the rooms of one process, while they are put together and while they run.
type server struct {
	f   serveFlags
	c   config.Config
	log *slog.Logger

	db      *store.DB
	key     store.Key
	doors   *doors
	service *ops.Service
	worker  *conductor.Conductor
	files   *depot.Depot
	agents  tls.Certificate // of the agents' door

	watch *watch
	host  string // this conductor's name among all that share the database

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
	if s.db, s.key, err = openStore(ctx, s.f.data); err != nil {
		return err
	}
	s.onClose(func() { _ = s.db.Close() }) // what was accepted is on disk
	oc := ops.Defaults()
	oc.HeartbeatTimeout = s.c.API.RamdiskHeartbeatTimeout
	s.service = ops.New(s.db, oc, s.log)
	s.watch = s.newWatch()
	if s.doors, err = openDoors(s.f, s.c); err != nil {
		return err
	}
	s.onClose(s.doors.close)
	return s.buildConductor(ctx)
}

// run serves until ctx ends or a room fails.
func (s *server) run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	options := api.Options{Log: s.log, PublicEndpoint: s.c.API.PublicEndpoint, MaxLimit: s.c.API.MaxLimit, Ending: ctx.Done(), Watch: s.watch.request}
	local := options
	local.LocalOnly = true
	listen(ctx, g, s.doors.api, api.Server(s.healthy(api.New(s.service, local)), s.log))
	agents := tls.NewListener(s.doors.agent, &tls.Config{Certificates: []tls.Certificate{s.agents}, MinVersion: tls.VersionTLS12})
	listen(ctx, g, agents, api.Server(api.AgentHandler(s.service, options), s.log))
	listen(ctx, g, s.doors.boot, api.Server(s.files.Handler(), s.log))
	if s.doors.metrics != nil {
		listen(ctx, g, s.doors.metrics, api.Server(s.healthy(s.metrics()), s.log))
	}
	g.Go(func() error { return s.worker.Run(ctx) })
	s.log.Info("serving", "api", "http://"+s.doors.api.Addr().String(), "agents", s.doors.agentURL, "boot", s.doors.bootURL, "data", s.f.data)
	if err := g.Wait(); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// buildConductor makes the conductor and the depot whose files its machines fetch.
func (s *server) buildConductor(ctx context.Context) error {
	cert, ca, err := api.AgentCertificate(s.f.data, s.doors.agentHost)
	if err != nil {
		return err
	}
	s.agents = cert
	types, closeDrivers, err := hardware(s.c.Default.EnabledHardwareTypes, s.log)
	if err != nil {
		return err
	}
	s.onClose(closeDrivers)
	cc, err := s.conductorConfig(ca)
	if err != nil {
		return err
	}
	for name, h := range types {
		types[name] = watched(h, s.watch.bmc)
	}
	s.host = cc.Host
	offers := &offers{url: s.doors.bootURL}
	s.worker = conductor.New(s.db, cc, types, offers, s.log)
	s.worker.Watch(s.watch)
	s.files, err = depot.New(filepath.Join(s.f.data, "ramdisk"), depot.Options{Key: s.key.Derive("boot addresses"), Boot: s.worker.BootConfig,
		AllowedFileRoots: s.c.Conductor.FileURLAllowedPaths, Log: s.log})
	if err != nil {
		return err
	}
	s.onClose(func() { _ = s.files.Close() }) // read-only: nothing is lost
	offers.depot = s.files
	return s.worker.Register(ctx) // before the first request, which may need its hardware
}

// conductorConfig is the conductor's part of the configuration. agentCA is the PEM that agents trust.
func (s *server) conductorConfig(agentCA string) (conductor.Config, error) {
	c, cc := s.c, conductor.Defaults()
	cc.Host = c.Default.Host
	if cc.Host == "" {
		name, err := os.Hostname()
		if err != nil {
			return cc, fmt.Errorf("find the host name: %w", err)
		}
		cc.Host = name
	}
	cc.Group, cc.AutomatedClean = c.Conductor.ConductorGroup, c.Conductor.AutomatedClean
	cc.DeployCallbackLimit, cc.CleanCallbackLimit = c.Conductor.DeployCallbackTimeout, c.Conductor.CleanCallbackTimeout
	cc.PowerGrace, cc.SettingLimit = c.Conductor.PowerStateChangeTimeout, c.Redfish.BootModeConfigTimeout
	cc.StepPriority = map[string]int{"erase_devices": c.Deploy.EraseDevicesPriority, "erase_devices_metadata": c.Deploy.EraseDevicesMetadataPriority}
	cc.Erasure, cc.CollectLogs = erasure(c.Deploy), c.Agent.DeployLogsCollect
	cc.AgentURL, cc.AgentCA, cc.KernelParams = s.doors.agentURL, agentCA, c.Redfish.KernelAppendParams
	if err := depot.CheckKernelParams(cc.KernelParams); err != nil {
		return cc, fmt.Errorf("[redfish] kernel_append_params: %w", err)
	}
	return cc, nil
}
