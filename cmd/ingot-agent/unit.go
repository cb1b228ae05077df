package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"ingot/agent"
	"ingot/agent/boot"
	"ingot/agent/child"
	"ingot/agent/journal"
	"ingot/agent/network"
	"ingot/agent/rescue"
	"ingot/agent/system"
	"ingot/internal/agentapi"
)

const (
	// unitDir is where what belongs to this boot lies, for an agent that is started anew; it is in memory, and root's alone.
	unitDir    = "/run/ingot-agent"
	unitConfig = unitDir + "/boot.json"
	unitLocked = unitDir + "/locked" // the network is down for good
	// programWords are the bytes that are kept of what a program says.
	programWords = 4 << 10
)

// unit is the agent in a ramdisk whose first process is systemd, which mounts, loads modules and starts it anew if it dies.
// The NICs are the agent's. When the machine was handed over to its tenant, the process begins again as another: one that
// keeps the network, serves nothing and holds none of the boot's secrets.
func unit() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	children := &child.Children{}
	host := rescue.Host{Root: "/", Run: programs(children)}
	if host.Handed() {
		host.Log = logger(os.Stderr, false)
		forgetConfig(host.Log) // the one that handed it over may have died before it did
		data, err := host.NetworkData()
		if err != nil {
			host.Log.Error("network data of the tenant not read: DHCP instead", "error", err)
		}
		host.Log.Info("the machine is its tenant's: its network is kept, and nothing is served")
		network.Tenant(ctx, host.Log, data)
		return nil
	}
	line, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return err
	}
	params := boot.ParseParams(string(line))
	ring := journal.NewRing(ringSize)
	log := logger(io.MultiWriter(system.Consoles(), ring), params.Debug())
	host.Log = log
	log.Info("ingot-agent starts", "version", version, "cmdline", boot.Masked(string(line)))
	if _, err := os.Lstat(unitLocked); err == nil {
		networkDown(log, errors.New("this boot was locked down before"))
		<-ctx.Done()
		return nil
	}
	r := ramdisk{log: log, ring: ring, children: children, rescue: host.Finalize, scripts: true,
		config: func(ctx context.Context) (agentapi.BootConfig, error) { return unitConfiguration(ctx, log, params) }}
	err = r.lives(ctx)
	switch {
	case errors.Is(err, agent.ErrRescued):
		forgetConfig(log)
		return again()
	case errors.Is(err, agent.ErrLockdown), errors.Is(err, agent.ErrTokenTaken):
		if err := keep(unitLocked, nil); err != nil {
			log.Error("lockdown is not noted", "error", err)
		}
		networkDown(log, err)
		<-ctx.Done()
	}
	return nil
}

// forgetConfig removes the boot's token and key from where an agent that is started anew would find them.
func forgetConfig(log *slog.Logger) {
	if err := os.Remove(unitConfig); err != nil && !errors.Is(err, fs.ErrNotExist) {
		log.Error("configuration of this boot not removed", "error", err)
	}
}

// again puts this program in its own place: what this process knows is gone with its memory.
func again() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	return syscall.Exec(self, os.Args, os.Environ()) //nolint:gosec // G702: itself, as it was started
}

// unitConfiguration is as of the first process, but what the initramfs brought is kept for an agent that is started anew,
// until the machine is handed over: who could read it before then is root already.
func unitConfiguration(ctx context.Context, log *slog.Logger, params boot.Params) (agentapi.BootConfig, error) {
	data, err := os.ReadFile(unitConfig)
	if err == nil {
		log.Info("configuration is from a life before")
		return boot.Parse(data)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return agentapi.BootConfig{}, err
	}
	c, err := boot.FromInitramfs("/")
	switch {
	case err == nil:
		log.Info("configuration is from the initramfs", about(c)...)
		if data, err = json.Marshal(c); err == nil {
			err = keep(unitConfig, data)
		}
		return c, err
	case params.Initramfs() || !errors.Is(err, boot.ErrNoInitramfs):
		return agentapi.BootConfig{}, err
	}
	return configuration(ctx, log, params)
}

// keep writes a file of this boot.
func keep(name string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return err
	}
	return os.WriteFile(name, data, 0o600)
}

// programs runs programs of the ramdisk, and says what they said if they fail.
func programs(children *child.Children) func(context.Context, string, ...string) error {
	const path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	return func(ctx context.Context, program string, args ...string) error {
		name, err := find(program, path)
		if err != nil {
			return err
		}
		said := &child.Tail{Limit: programWords}
		code, err := children.Run(ctx, child.Program{Path: name, Args: args, Dir: "/", Stdout: said, Stderr: said,
			Env: []string{"PATH=" + path, "LC_ALL=C"}})
		if err == nil && code != 0 {
			err = fmt.Errorf("%s ended with code %d", program, code)
		}
		if words := strings.Join(strings.Fields(said.String()), " "); err != nil && words != "" {
			err = fmt.Errorf("%w: %s", err, words)
		}
		return err
	}
}

// find looks for a program in the ramdisk's own places, whatever this process's environment says.
func find(program, path string) (string, error) {
	for _, dir := range filepath.SplitList(path) {
		if name, err := exec.LookPath(filepath.Join(dir, program)); err == nil {
			return name, nil
		}
	}
	return "", fmt.Errorf("this ramdisk has no %s", program)
}
