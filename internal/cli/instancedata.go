package cli

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ingot/internal/client"
	"ingot/internal/fault"
	"ingot/internal/metal"
)

func (a *app) nodeMetadata() *cobra.Command {
	return &cobra.Command{
		Use:   "metadata NODE [PATH]",
		Short: "Show what a node's instance reads at its first boot",
		Long: `Show what a node's instance reads at its first boot. Without PATH its files are listed; with PATH, as the instance asks for it at
http://169.254.169.254, what it gets is printed, byte for byte: the same as on its config drive. A path that ends in a folder
lists it; / lists the versions. vendor_data2.json is as it was at the deploy, whatever the metadata service was told since;
/openstack/latest/password is what the instance posted, which no drive has.

User data may hold secrets: only administrators, of the system or of the project that owns the node, and managers of the
project that leases it may see it.`,
		Example: `  ingot node metadata rack1-u3
  ingot node metadata rack1-u3 /openstack/latest/meta_data.json
  ingot node metadata rack1-u3 /latest/meta-data/local-hostname`,
		Args: func(cmd *cobra.Command, args []string) error {
			return exactly([]string{"NODE", "PATH"}[:min(max(len(args), 1), 2)]...)(cmd, args)
		},
		ValidArgsFunction: a.completeNodes,
		RunE: a.run(func(cmd *cobra.Command, c *client.Client, args []string) error {
			if len(args) == 2 {
				return c.InstancePage(cmd.Context(), args[0], args[1], logWriter(cmd.OutOrStdout()))
			}
			d, err := c.InstanceData(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return a.print(cmd, d, func(w io.Writer) { instanceTable(w, args[0], d) })
		}),
	}
}

func instanceTable(w io.Writer, ident string, d *metal.InstanceData) {
	whose := "nobody's project"
	if d.Project != "" {
		whose = "project " + d.Project
	}
	fmt.Fprintf(w, "Instance %s of %s, as of %s.\n", oneLine(d.Instance), oneLine(whose), d.UpdatedAt.Local().Format(time.DateTime))
	if d.Fault != "" {
		fmt.Fprintf(w, "Vendordata: %s\n", oneLine(d.Fault))
	}
	var rows [][]string
	for _, f := range d.Files {
		rows = append(rows, []string{f.Path, f.Type, size(int64(f.Size))})
	}
	table(w, []string{"PATH", "TYPE", "SIZE"}, rows)
	fmt.Fprintf(w, "ingot node metadata %s PATH prints one; / lists the versions and EC2's tree.\n", oneLine(ident))
}

// warnVendordata is the last line of a node whose instance does not get all that it should.
func warnVendordata(w io.Writer, n *client.Node) {
	info, _ := n.All["driver_internal_info"].(map[string]any)
	if said, ok := info[metal.VendordataFault].(string); ok {
		fmt.Fprintf(w, "\nwarning: %s Ask again with ingot vendordata test --node %s.\n", oneLine(said), oneLine(n.All.Text("uuid")))
	}
}

func (a *app) vendordata() *cobra.Command {
	return a.online(a.group("vendordata", "What other services add to an instance's metadata", a.vendordataTest()))
}

func (a *app) vendordataTest() *cobra.Command {
	var node string
	var fresh bool
	c := &cobra.Command{
		Use:   "test --node NODE",
		Short: "Have the server ask the vendordata targets, and explain what came of it",
		Long: `Have the server ask its vendordata targets what they are asked when NODE is deployed, and explain of each: when it was asked, what it
answered, how long it took, until when that is used, and what went wrong. What a target said is not shown (ingot node metadata NODE
/openstack/latest/vendor_data2.json shows what the instance got), nor what its URL keeps secret.

For a node with an instance they are asked as at its deploy, with the roles of that time, and a target whose last answer may
still be used is not asked unless --fresh. For any other node they are asked as if you deployed it now, without user data.

The targets cannot tell this from a deployment. The command fails when a deployment would.`,
		Example: `  ingot vendordata test --node rack1-u3
  ingot vendordata test --node rack1-u3 --fresh -o json`,
		Args: exactly(),
		RunE: a.run(func(cmd *cobra.Command, c *client.Client, _ []string) error {
			if node == "" {
				return usagef("give --node NODE: the targets are asked on behalf of a node")
			}
			t, err := c.TestVendordata(cmd.Context(), node, fresh)
			if fault.KindOf(err) == fault.NotFound {
				err = hint(err, "ingot node list shows which nodes there are")
			}
			if err != nil {
				return err
			}
			if err := a.print(cmd, t, func(w io.Writer) { vendordataTable(w, t) }); err != nil {
				return err
			}
			if t.Failed {
				return operationFailed("a deployment of %s would fail: [api] vendordata_dynamic_failure_fatal is set, and a target failed", node)
			}
			return nil
		}),
	}
	c.Flags().StringVar(&node, "node", "", "the node on whose behalf the targets are asked")
	c.Flags().BoolVar(&fresh, "fresh", false, "ask every target, also one whose last answer may still be used")
	return c
}

func vendordataTable(w io.Writer, t *metal.VendordataTest) {
	as := "as if it were deployed now"
	if t.Deployed {
		as = "as at its last deploy"
	}
	fmt.Fprintf(w, "Asked for instance %s, %s.\n", oneLine(t.Instance), as)
	if t.Static > 0 {
		fmt.Fprintf(w, "static: %s, from the server's own file.\n", size(int64(t.Static)))
	}
	if len(t.Targets) == 0 {
		fmt.Fprintln(w, "No targets are configured: [api] vendordata_providers needs DynamicJSON, and vendordata_dynamic_targets.")
		return
	}
	var rows [][]string
	for _, r := range t.Targets {
		rows = append(rows, vendordataRow(r))
	}
	table(w, []string{"TARGET", "URL", "ASKED", "TOOK", "STATUS", "SIZE", "RESULT", "USED UNTIL"}, rows)
	for _, r := range t.Targets {
		if r.Failed != "" {
			fmt.Fprintf(w, "%s: %s: the target %s.%s\n", oneLine(r.Name), r.Failed, oneLine(strings.TrimSuffix(r.Why, ".")), meansFor(t.Fatal))
		}
	}
}

func vendordataRow(r metal.VendordataTold) []string {
	status, result, until := "none", r.From, "each time"
	if r.Status != 0 {
		status = fmt.Sprint(r.Status)
	}
	if r.Failed != "" {
		result, until = "FAILED", ""
	} else if r.Until != nil {
		until = r.Until.Local().Format(time.DateTime)
	}
	return []string{oneLine(r.Name), oneLine(r.URL), r.Asked.Local().Format(time.DateTime), fmt.Sprintf("%d ms", r.TookMS), status, size(int64(r.Bytes)), result, until}
}

// meansFor is what a failed target means.
func meansFor(fatal bool) string {
	if fatal {
		return " This fails a deployment ([api] vendordata_dynamic_failure_fatal)."
	}
	return " The instance gets {} in its place."
}
