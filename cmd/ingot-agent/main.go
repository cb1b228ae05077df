// Command ingot-agent runs on the machine that is being provisioned: as the first process of a ramdisk, with -ramdisk as a
// unit of a ramdisk whose first process is systemd, or with -no-init as a plain process.
//
// As the first process it takes no arguments (the kernel passes on what it does not know from its own
// command line), prepares the machine, and never ends. As a plain process:
//
//	ingot-agent -no-init -boot-config boot.json [-listen 127.0.0.1:9999] [-advertise 127.0.0.1] [-root DIR]
//
// With -ramdisk it takes nothing else: what it is for it finds as the first process does. It owns the machine's NICs, and it can
// hand the machine over for rescue; a plain process does that to a folder (-root) only.
//
// Called as rescue-disks, it lists and mounts the disks of a machine that is rescued (agent/installed).
//
// A plain process leaves the clock, the network and the kernel alone, and runs no scripts of OS definitions (but for tests, if it was built with the
// tag processes); power_off and run_image end it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"syscall"
	"time"

	"ingot/agent"
	"ingot/agent/boot"
	"ingot/agent/child"
	"ingot/agent/efi"
	"ingot/agent/installed"
	"ingot/agent/inventory"
	"ingot/agent/journal"
	"ingot/agent/osinstall"
	"ingot/agent/plugin"
	"ingot/agent/rescue"
	"ingot/agent/steps"
	"ingot/internal/secret"

	"golang.org/x/sys/unix"
)

// version is what heartbeats say. The build sets it.
var version = "0.1.0"

const (
	// ringSize is how much of the agent's log is kept for a conductor that asks.
	ringSize = 1 << 20
	// memoryLimit makes the collector work harder before the process outgrows a machine of 512 MiB, which
	// holds the unpacked ramdisk too. GOMEMLIMIT in the environment wins.
	memoryLimit = 192 << 20
	// parallelErase is how many disks are wiped at once. Source: agent protocol reference §12.3.
	parallelErase = 4
	// parting lets the answer to power_off leave the machine: without it a conductor waits for what never comes.
	parting = time.Second
)

func main() {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
	dumps := secret.RefuseDumps() // it has the token of its boot
	if os.Getpid() == 1 {
		first() // never returns
	}
	if dumps != nil {
		fmt.Fprintln(os.Stderr, "ingot-agent:", dumps)
		os.Exit(1)
	}
	if filepath.Base(os.Args[0]) == installed.Name {
		os.Exit(installed.Main(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
	}
	run := plain
	if len(os.Args) == 2 && os.Args[1] == "-ramdisk" {
		run = func([]string) error { return unit() }
	}
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "ingot-agent:", err)
		os.Exit(1)
	}
}

// plain runs the agent as a process among others.
func plain(args []string) error {
	flags := flag.NewFlagSet("ingot-agent", flag.ContinueOnError)
	noInit := flags.Bool("no-init", false, "run as a plain process")
	file := flags.String("boot-config", "", "file like the boot CD's ingot/boot.json")
	listen := flags.String("listen", agent.DefaultListen, "address of the commands API")
	advertise := flags.String("advertise", "", "IP address the conductor reaches it by (default: the one that faces the control plane)")
	root := flags.String("root", "/", "where sys, proc and dev are")
	verbose := flags.Bool("debug", false, "log everything")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return nil
	case err != nil:
		return err
	case !*noInit:
		return errors.New("this is not the first process of a machine: to run it as a plain process, say -no-init")
	case *file == "":
		return errors.New("-boot-config is needed")
	}
	data, err := os.ReadFile(*file)
	if err != nil {
		return err
	}
	c := agent.Config{Listen: *listen, Machine: inventory.Machine{Root: *root}, Version: version}
	if c.Boot, err = boot.Parse(data); err != nil {
		return err
	}
	if *advertise != "" {
		if c.Advertise, err = netip.ParseAddr(*advertise); err != nil {
			return err
		}
	}
	ring := journal.NewRing(ringSize)
	c.Log = logger(io.MultiWriter(os.Stderr, ring), *verbose)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	end := func() error { stop(); return nil }
	children := &child.Children{}
	kept := &osinstall.Logs{}
	c.Steps = work(c.Machine, ring, kept, children, c.Log, end, end)
	if apart(*root) { // a process among others must not let anybody in to its own host
		c.Steps.OS = plainInstaller(*root, kept)
		c.Steps.Rescue = rescue.Host{Root: *root, Run: runsNothing, Log: c.Log}.Finalize
	}
	if err := agent.Run(ctx, c); !errors.Is(err, agent.ErrRescued) {
		return err
	}
	return nil
}

// apart tells whether a folder is another than the root of this host, whatever it is called.
func apart(folder string) bool {
	own, err := os.Stat("/")
	if err != nil {
		return false
	}
	other, err := os.Stat(folder)
	return err == nil && !os.SameFile(own, other)
}

// runsNothing is for a folder: useradd and systemctl would change the host that the process runs on.
func runsNothing(_ context.Context, program string, _ ...string) error {
	return fmt.Errorf("%s is not run: this agent is a plain process, and its folder stands for the machine", program)
}

// work joins the commands to what they do to the machine.
func work(m inventory.Machine, ring *journal.Ring, kept *osinstall.Logs, children *child.Children, log *slog.Logger, powerOff, reboot func() error) steps.Config {
	return steps.Config{
		Write:         writeImage,
		InstallLoader: efi.Firmware{Root: m.Root}.Install,
		Logs:          func(hide []secret.Secret) ([]byte, error) { return collect(m, ring, kept, hide) },
		Sync:          unix.Sync,
		PowerOff:      powerOff,
		Reboot:        reboot,
		ParallelErase: parallelErase,
		Parting:       parting,
		Plugins:       plugin.Folder{Path: m.Device(plugin.Dir), Children: children, Log: log},
	}
}

func logger(w io.Writer, verbose bool) *slog.Logger {
	level := slog.LevelInfo
	if verbose {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: level}))
}
