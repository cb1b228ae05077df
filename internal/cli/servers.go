package cli

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"ingot/internal/client"
)

func (a *app) driver() *cobra.Command {
	return a.online(a.group("driver", "The hardware types this server can manage", a.driverList(), a.driverShow()))
}

func (a *app) driverList() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List hardware types and the conductors that serve them",
		Example: `  ingot driver list`,
		Args:    exactly(),
		RunE: a.run(func(cmd *cobra.Command, c *client.Client, _ []string) error {
			drivers, err := c.Drivers(cmd.Context())
			if err != nil {
				return err
			}
			all := make([]client.Object, len(drivers))
			rows := make([][]string, len(drivers))
			for i, d := range drivers {
				all[i] = d.All
				rows[i] = []string{d.Name, listed(d.Hosts)}
			}
			return a.print(cmd, all, func(w io.Writer) { table(w, []string{"NAME", "CONDUCTORS"}, rows) })
		}),
	}
}

func (a *app) driverShow() *cobra.Command {
	return &cobra.Command{
		Use:     "show DRIVER",
		Short:   "Show a hardware type: its interfaces, and what it reads of driver_info",
		Example: `  ingot driver show redfish`,
		Args:    exactly("DRIVER"),
		RunE: a.run(func(cmd *cobra.Command, c *client.Client, args []string) error {
			d, err := c.Driver(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			props, err := c.DriverProperties(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return a.print(cmd, map[string]any{"driver": d.All, "driver_info": props}, func(w io.Writer) {
				fmt.Fprintf(w, "%s, served by %s\n\n", oneLine(d.Name), oneLine(listed(d.Hosts)))
				var rows [][]string
				for _, kind := range sortedKeys(d.Enabled) {
					if len(d.Enabled[kind]) > 0 {
						rows = append(rows, []string{kind, d.Default[kind], listed(d.Enabled[kind])})
					}
				}
				table(w, []string{"INTERFACE", "DEFAULT", "ENABLED"}, rows)
				fmt.Fprintln(w)
				rows = nil
				for _, k := range sortedKeys(props) {
					rows = append(rows, []string{k, props[k]})
				}
				table(w, []string{"DRIVER INFO", "MEANING"}, rows)
			})
		}),
	}
}

func (a *app) conductor() *cobra.Command {
	return a.online(a.group("conductor", "The servers that work on nodes", &cobra.Command{
		Use:     "list",
		Short:   "List conductors and whether they live",
		Example: `  ingot conductor list`,
		Args:    exactly(),
		RunE: a.run(func(cmd *cobra.Command, c *client.Client, _ []string) error {
			conductors, err := c.Conductors(cmd.Context())
			if err != nil {
				return err
			}
			all := make([]client.Object, len(conductors))
			rows := make([][]string, len(conductors))
			for i, x := range conductors {
				all[i] = x.All
				alive := "dead"
				if x.Alive {
					alive = "alive"
				}
				rows[i] = []string{x.Hostname, x.ConductorGroup, alive, listed(x.Drivers)}
			}
			return a.print(cmd, all, func(w io.Writer) { table(w, []string{"HOSTNAME", "GROUP", "STATE", "DRIVERS"}, rows) })
		}),
	}))
}
