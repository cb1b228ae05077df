package cli

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"ingot/internal/client"
	"ingot/internal/metal"
)

func (a *app) nodeVIF() *cobra.Command {
	return a.group("vif", "The networks of a node's user, each a VIF on one of the node's ports", a.vifList(), a.vifAttach(), a.vifDetach())
}

func (a *app) vifList() *cobra.Command {
	return a.vifs(cobra.Command{
		Use:     "list NODE",
		Short:   "List the VIFs of a node",
		Example: `  ingot node vif list rack1-u3`,
		Args:    exactly("NODE"),
	}, func(context.Context, *client.Client, []string) error { return nil })
}

func (a *app) vifAttach() *cobra.Command {
	var v metal.VIF
	c := a.vifs(cobra.Command{
		Use:   "attach NODE VIF",
		Short: "Attach a VIF to the node's best free port",
		Long: `Attach a VIF to a node, before it is deployed or while it runs. With the network interfaces flat and neutron a VIF is a port
of Neutron, with vswitch it is the name of a tenant network of the switch.`,
		Example: `  ingot node vif attach rack1-u3 tenant-a
  ingot node vif attach rack1-u3 3f1c6a52-6d11-4e4e-9a55-0d3f0f6a7c01 --port 0f0c6d0e-8f5b-4b43-9c0c-4f9a9b3d2a10`,
		Args: exactly("NODE", "VIF"),
	}, func(ctx context.Context, c *client.Client, args []string) error {
		v.ID = args[1]
		return c.AttachVIF(ctx, args[0], v)
	})
	c.Flags().StringVar(&v.Port, "port", "", "UUID of the port that is to have it")
	c.Flags().StringVar(&v.Portgroup, "portgroup", "", "UUID of the port group that is to have it")
	return c
}

func (a *app) vifDetach() *cobra.Command {
	return a.vifs(cobra.Command{
		Use:     "detach NODE VIF",
		Short:   "Detach a VIF from a node",
		Example: `  ingot node vif detach rack1-u3 tenant-a`,
		Args:    exactly("NODE", "VIF"),
	}, func(ctx context.Context, c *client.Client, args []string) error {
		return c.DetachVIF(ctx, args[0], args[1])
	})
}

// vifs makes a command that changes the VIFs of a node and shows what it has then.
func (a *app) vifs(c cobra.Command, change func(ctx context.Context, c *client.Client, args []string) error) *cobra.Command {
	c.ValidArgsFunction = a.completeNodes
	c.RunE = a.run(func(cmd *cobra.Command, cl *client.Client, args []string) error {
		if err := change(cmd.Context(), cl, args); err != nil {
			return err
		}
		have, err := cl.VIFs(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		return a.print(cmd, map[string]any{"vifs": have}, func(w io.Writer) {
			if len(have) == 0 {
				fmt.Fprintf(w, "node %s has no VIFs\n", oneLine(args[0]))
				return
			}
			fmt.Fprintln(w, clean(strings.Join(have, "\n")))
		})
	})
	return &c
}
