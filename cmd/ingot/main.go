// Command ingot is the control plane, its command line and its lab in one program.
//
// It only builds the rooms and runs them: serve.go the server, wire.go what the commands need,
// hardware.go the list of hardware types.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"

	"ingot/internal/cli"
	"ingot/internal/ramdisk"
	"ingot/internal/secret"
	"ingot/lab"
	"ingot/lab/demo"
	"ingot/lab/guest"
)

func main() { os.Exit(run()) }

func run() int {
	if err := secret.RefuseDumps(); err != nil { // commands have tokens and passwords, too
		return cli.Exit(os.Stderr, err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return cli.Exit(os.Stderr, root().ExecuteContext(ctx))
}

func root() *cobra.Command {
	r := &cobra.Command{
		Use:   "ingot",
		Short: "Turn racked, empty machines into running servers, and get them back",
		Long: `Ingot enrols, inspects, cleans, deploys and reclaims bare machines. "ingot serve" is the server;
"ingot node …" and friends speak to one; "ingot lab …" makes machines to try it with.`,
		SilenceUsage: true, SilenceErrors: true, Version: version(),
	}
	r.SetVersionTemplate("ingot {{.Version}}\n")
	r.SetFlagErrorFunc(cli.Usage)
	r.AddCommand(serveCommand(), dbCommand(), keysCommand())
	r.AddCommand(cli.Commands(options())...)
	labs := lab.Command()
	labs.AddCommand(guest.Command(), demo.Command())
	r.AddCommand(labs, ramdisk.Command(), peerCommand(), versionCommand())
	cli.Groups(r)
	return r
}

func versionCommand() *cobra.Command {
	return &cobra.Command{Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(c.OutOrStdout(), "ingot", version())
			return err
		}}
}

// release is set by the linker for releases.
var release = ""

func version() string {
	if release != "" {
		return release
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}
