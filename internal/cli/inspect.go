package cli

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"ingot/internal/agentapi"
	"ingot/internal/client"
	"ingot/internal/metal"
)

func (a *app) nodeInspect() *cobra.Command {
	return a.verb(metal.VerbInspect, cobra.Command{
		Use:   "inspect NODE",
		Short: "Find out what the machine is made of",
		Long: `Find out what the machine is made of, by its agent or by its BMC, as the node's inspect_interface says. Properties,
capabilities and ports follow what is found; "ingot node inventory NODE" shows all of it.`,
		Example: `  ingot node inspect rack1-u3 --wait
  ingot node set rack1-u3 inspect_interface=agent`,
	}, metal.Manageable)
}

func (a *app) nodeAdopt() *cobra.Command {
	return a.verb(metal.VerbAdopt, cobra.Command{
		Use:   "adopt NODE",
		Short: "Take over a machine that runs already, and touch nothing",
		Long: `Take over a machine that runs already, deployed by somebody else. Nothing on it changes. Its instance_info must say
what it was made of: ingot node set NODE instance_info.image_source=URL.`,
		Example: `  ingot node adopt rack1-u3 --wait`,
	}, metal.Active)
}

func (a *app) nodeInventory() *cobra.Command {
	return &cobra.Command{
		Use:   "inventory NODE",
		Short: "Show what the last inspection of a machine found",
		Example: `  ingot node inventory rack1-u3
  ingot node inventory rack1-u3 -o json`,
		Args:              exactly("NODE"),
		ValidArgsFunction: a.completeNodes,
		RunE: a.run(func(cmd *cobra.Command, c *client.Client, args []string) error {
			found, err := c.Inventory(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return a.print(cmd, found, func(w io.Writer) { inventoryText(w, found) })
		}),
	}
}

// inventoryText is the part of an inventory that people ask for; -o json has all of it.
func inventoryText(w io.Writer, found *client.Inventory) {
	var inv agentapi.Inventory
	if raw, err := json.Marshal(found.Inventory); err == nil {
		_ = json.Unmarshal(raw, &inv) // what is of another kind than expected is left out
	}
	v := inv.SystemVendor
	fmt.Fprintln(w, oneLine(fmt.Sprintf("machine  %s %s, serial %s", v.Manufacturer, v.ProductName, v.SerialNumber)))
	fmt.Fprintln(w, oneLine(fmt.Sprintf("cpu      %d × %s %s", inv.CPU.Count, inv.CPU.Architecture, inv.CPU.ModelName)))
	mib := inv.Memory.Total >> 20
	if inv.Memory.PhysicalMB != nil {
		mib = int64(*inv.Memory.PhysicalMB)
	}
	fmt.Fprintf(w, "memory   %d MiB\n", mib)
	secure := ""
	if inv.Boot.SecureBoot != nil {
		secure = map[bool]string{true: ", Secure Boot on", false: ", Secure Boot off"}[*inv.Boot.SecureBoot]
	}
	fmt.Fprintln(w, oneLine(fmt.Sprintf("boot     %s%s", inv.Boot.CurrentBootMode, secure)))
	for _, d := range inv.Disks {
		fmt.Fprintln(w, oneLine(fmt.Sprintf("disk     %s %.1f GB %s", d.Name, float64(d.Size)/1e9, d.Model)))
	}
	for _, n := range inv.Interfaces {
		address := ""
		if n.IPv4Address != nil {
			address = " " + *n.IPv4Address
		}
		fmt.Fprintln(w, oneLine(fmt.Sprintf("nic      %s %s%s", n.Name, n.MACAddress, address)))
	}
}
