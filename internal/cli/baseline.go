package cli

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"ingot/internal/client"
	"ingot/internal/metal"
)

func (a *app) nodeBaseline() *cobra.Command {
	var accept bool
	c := &cobra.Command{
		Use:   "baseline NODE",
		Short: "Show whether a machine's firmware is as it was before its tenants, or accept it as it is",
		Long: `Show a machine's firmware baseline: BIOS attributes, boot order, firmware versions and UEFI variables as its first cleaning found
them, and how the last cleaning found them otherwise. --accept makes what the last cleaning saw the baseline, as after a firmware update of
your own.`,
		Example: `  ingot node baseline rack1-u3
  ingot node baseline rack1-u3 --accept`,
		Args:              exactly("NODE"),
		ValidArgsFunction: a.completeNodes,
		RunE: a.run(func(cmd *cobra.Command, c *client.Client, args []string) error {
			if accept {
				if err := c.AcceptBaseline(cmd.Context(), args[0]); err != nil {
					return err
				}
			}
			b, err := c.Baseline(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return a.print(cmd, b, func(w io.Writer) { baselineText(w, b) })
		}),
	}
	c.Flags().BoolVar(&accept, "accept", false, "make what the last cleaning saw the baseline")
	return c
}

func baselineText(w io.Writer, b *metal.Baseline) {
	fmt.Fprintf(w, "Baseline of %s, by %s: %d BIOS attributes, %d boot options, %d firmware versions, %d UEFI variables.\n", b.At.Local().Format(time.DateTime), oneLine(b.By),
		len(b.State.BIOS), len(b.State.BootOrder), len(b.State.Firmware), len(b.State.Variables))
	switch {
	case b.SeenAt == nil:
		fmt.Fprintln(w, "No cleaning has compared with it yet.")
	case len(b.Drift) == 0:
		fmt.Fprintf(w, "The cleaning of %s found it like that.\n", b.SeenAt.Local().Format(time.DateTime))
	default:
		fmt.Fprintf(w, "The cleaning of %s found:\n", b.SeenAt.Local().Format(time.DateTime))
		for _, d := range b.Drift {
			fmt.Fprintf(w, "  %s\n", oneLine(d))
		}
	}
}

// warnUncleaned is the last line of a node that became available as its last user left it.
func warnUncleaned(w io.Writer, n *client.Node) {
	info, _ := n.All["driver_internal_info"].(map[string]any)
	if since, ok := info[metal.NotCleaned].(string); ok {
		fmt.Fprintf(w, "\nwarning: it was made available without having been cleaned (%s): its next tenant may read what was left on its disks and in its firmware.\n", oneLine(since))
	}
}
