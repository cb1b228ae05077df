package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"ingot/agent/boot"
	"ingot/agent/child"
	"ingot/agent/journal"
	"ingot/agent/system"
	"ingot/internal/agentapi"

	"golang.org/x/sys/unix"
)

const (
	modulesFile = "/etc/ingot/modules"
	// againWait is how long a failed life rests before the next. Source: agent protocol reference §3, step 8.
	againWait = 30 * time.Second
)

// first is the life of the ramdisk's first process: if it ended, the kernel would panic.
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
	r := ramdisk{log: log, ring: ring, children: children, config: func(ctx context.Context) (agentapi.BootConfig, error) {
		switch {
		case broughtErr == nil:
			log.Info("configuration is from the initramfs", about(brought)...)
			return brought, nil
		case params.Initramfs() || !errors.Is(broughtErr, boot.ErrNoInitramfs):
			return agentapi.BootConfig{}, broughtErr
		}
		return configuration(ctx, log, params)
	}}
	networkDown(log, r.lives(context.Background()))
	select {}
}
