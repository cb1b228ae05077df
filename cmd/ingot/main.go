// Command ingot is the control plane, its command line and its test lab in one binary.
//
// It reads flags, builds rooms and runs them; what it does is in the rooms. Exit statuses are those of
// package cli: 1 failure, 2 usage, 3 not found, 4 the operation failed, 5 nobody answers.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"ingot/internal/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := cli.Exit(os.Stderr, root().ExecuteContext(ctx))
	stop()
	os.Exit(code)
}

// root is the whole command tree.
func root() *cobra.Command {
	c := &cobra.Command{
		Use:           "ingot",
		Short:         "Turn bare machines into running servers, and get them back",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	c.AddCommand(clientCommands()...)
	return c
}
