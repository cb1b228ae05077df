package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"ingot/agent"
	"ingot/agent/boot"
	"ingot/agent/child"
	"ingot/agent/inventory"
	"ingot/agent/journal"
	"ingot/agent/network"
	"ingot/agent/system"
	"ingot/internal/agentapi"

	"golang.org/x/sys/unix"
)

const (
	modulesFile = "/etc/ingot/modules"
	// againWait is how long a failed life rests before the next. Source: agent protocol reference §3, step 8.
	againWait = 30 * time.Second
)

// first is the life of the ramdisk's first process: if it ended, the kernel would panic. A life that
// failed is tried again, so that a control plane that was away finds the machine still there.
func first() {
	ring := journal.NewRing(ringSize)
	params := boot.ParseParams("")
	if err := system.Mount(); err != nil {
		fmt.Fprintln(os.Stderr, "ingot-agent:", err) // go on: there may be enough to say so to somebody
	}
	line, err := os.ReadFile("/proc/cmdline")
	if err == nil {
		params = boot.ParseParams(string(line))
	}
	log := logger(io.MultiWriter(system.Consoles(), ring), params.Debug())
	log.Info("ingot-agent starts", "version", version, "cmdline", boot.Masked(string(line)))
	if err := unix.Sethostname([]byte("ingot-agent")); err != nil {
		log.Warn("host name not set", "error", err)
	}
	children := &child.Children{}
	go children.Reap() // for as long as the machine runs
	if n, err := system.LoadModules(log, "/", modulesFile); err != nil {
		log.Error("modules not loaded", "error", err)
	} else {
		log.Info("modules loaded", "count", n)
	}
	if err := system.MountEFIVars(); err != nil {
		log.Warn("firmware variables not mounted", "error", err)
	}
	brought, broughtErr := boot.FromInitramfs("/") // once: it is gone then, and every life needs it
	for {
		err := live(context.Background(), log, params, ring, children, brought, broughtErr)
		if errors.Is(err, agent.ErrLockdown) || errors.Is(err, agent.ErrTokenTaken) {
			log.Error("network is taken down for good", "error", err)
			if err := network.Down(); err != nil {
				log.Error("network not taken down", "error", err)
			}
			select {}
		}
		log.Error("agent failed, and starts again", "after", againWait, "error", err)
		time.Sleep(againWait)
	}
}

// live is one life: configuration, clock, network, agent.
func live(parent context.Context, log *slog.Logger, params boot.Params, ring *journal.Ring, children *child.Children, brought agentapi.BootConfig, broughtErr error) error {
	ctx, cancel := context.WithCancel(parent)
	defer cancel()
	config, err := brought, broughtErr
	switch {
	case err == nil:
		log.Info("configuration is from the initramfs", "node", config.NodeUUID, "api", config.APIURL, "static_network", len(config.NetworkData) > 0)
	case params.Initramfs() || !errors.Is(err, boot.ErrNoInitramfs):
		return err
	default:
		if config, err = configuration(ctx, log, params); err != nil {
			return err
		}
	}
	// A machine whose battery is flat is in the past, where no certificate is valid yet.
	if floor, err := boot.Time(config); err == nil && time.Now().Before(floor) {
		if err := system.SetClock(floor); err != nil {
			log.Warn("clock not set", "error", err)
		} else {
			log.Info("clock set to when the boot CD was made")
		}
	}
	ended, err := networks(ctx, cancel, log, config)
	if err != nil {
		return fmt.Errorf("network: %w", err)
	}
	defer ended()
	machine := inventory.Machine{Root: "/"}
	steps := work(machine, ring, children, log, system.PowerOff, system.Reboot)
	steps.RAID = arrays(machine, children, log)
	return agent.Run(ctx, agent.Config{
		Boot: config, Machine: machine, Listen: agent.DefaultListen, Version: version, Log: log,
		SetClock: system.SetClock,
		Steps:    steps,
	})
}

// networks brings the network up. An agent that calls nobody does not wait for it: it is found when it has an address,
// however late that comes.
func networks(ctx context.Context, cancel context.CancelFunc, log *slog.Logger, config agentapi.BootConfig) (ended func(), err error) {
	if !config.PollOnly && config.APIURL != "" {
		wait, err := network.Up(ctx, log, config.NetworkData)
		if err != nil {
			return nil, err
		}
		return func() { cancel(); wait() }, nil // whoever renews a lease only ends with ctx
	}
	var background sync.WaitGroup
	background.Go(func() { network.Keep(ctx, log, config.NetworkData) })
	return func() { cancel(); background.Wait() }, nil
}

// configuration prefers the boot CD: only it can carry a certificate to verify the control plane by.
func configuration(ctx context.Context, log *slog.Logger, params boot.Params) (agentapi.BootConfig, error) {
	c, err := boot.FromMedium(ctx, "/", "/run", params.VirtualMedia())
	if err == nil {
		log.Info("configuration is from the boot CD", "node", c.NodeUUID, "api", c.APIURL, "static_network", len(c.NetworkData) > 0)
		return c, nil
	}
	if c, ok := params.Config(); ok {
		log.Info("configuration is from the kernel command line", "api", c.APIURL, "boot_cd", err.Error())
		return c, nil
	}
	return agentapi.BootConfig{}, err
}
