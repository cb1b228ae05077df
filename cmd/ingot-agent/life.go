package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"ingot/agent"
	"ingot/agent/boot"
	"ingot/agent/child"
	"ingot/agent/inventory"
	"ingot/agent/journal"
	"ingot/agent/network"
	"ingot/agent/osinstall"
	"ingot/agent/system"
	"ingot/internal/agentapi"
)

// ramdisk is what lives of an agent that owns its machine have in common.
type ramdisk struct {
	log      *slog.Logger
	ring     *journal.Ring
	children *child.Children
	// config finds what this boot is for.
	config func(context.Context) (agentapi.BootConfig, error)
	// scripts: there is what scripts of OS definitions need.
	scripts bool
	// rescue hands the machine to its tenant; nil: this ramdisk cannot.
	rescue func(context.Context, agentapi.FinalizeRescue) error
}

// lives is one life after another: one that failed is tried again, so that a control plane that was away finds the machine
// still there. It returns what ends all of them.
func (r ramdisk) lives(ctx context.Context) error {
	for {
		err := r.live(ctx)
		if errors.Is(err, agent.ErrLockdown) || errors.Is(err, agent.ErrTokenTaken) || errors.Is(err, agent.ErrRescued) || ctx.Err() != nil {
			return err
		}
		r.log.Error("agent failed, and starts again", "after", againWait, "error", err)
		select {
		case <-time.After(againWait):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// live is one life: configuration, clock, network, agent.
func (r ramdisk) live(parent context.Context) error {
	ctx, cancel := context.WithCancel(parent)
	defer cancel()
	config, err := r.config(ctx)
	if err != nil {
		return err
	}
	// A machine whose battery is flat is in the past, where no certificate is valid yet.
	if floor, err := boot.Time(config); err == nil && time.Now().Before(floor) {
		if err := system.SetClock(floor); err != nil {
			r.log.Warn("clock not set", "error", err)
		} else {
			r.log.Info("clock set to when the configuration was made")
		}
	}
	ended, err := networks(ctx, cancel, r.log, config)
	if err != nil {
		return fmt.Errorf("network: %w", err)
	}
	defer ended()
	machine := inventory.Machine{Root: "/"}
	kept := &osinstall.Logs{}
	steps := work(machine, r.ring, kept, r.children, r.log, system.PowerOff, system.Reboot)
	if r.scripts {
		steps.OS = installer(kept, r.children, r.log)
	}
	steps.RAID = arrays(machine, r.children, r.log)
	steps.Rescue = r.rescue
	return agent.Run(ctx, agent.Config{
		Boot: config, Machine: machine, Listen: agent.DefaultListen, Version: version, Log: r.log,
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
		log.Info("configuration is from the boot CD", about(c)...)
		return c, nil
	}
	if c, ok := params.Config(); ok {
		log.Info("configuration is from the kernel command line", append(about(c), "boot_cd", err.Error())...)
		return c, nil
	}
	return agentapi.BootConfig{}, err
}

// about is what a log may say of a configuration.
func about(c agentapi.BootConfig) []any {
	return []any{"node", c.NodeUUID, "api", c.APIURL, "poll_only", c.PollOnly, "role", string(c.Role), "static_network", len(c.NetworkData) > 0}
}

// networkDown is the end of a machine that is not to be reached any more.
func networkDown(log *slog.Logger, why error) {
	log.Error("network is taken down for good", "error", why)
	if err := network.Down(); err != nil {
		log.Error("network not taken down", "error", err)
	}
}
