package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"ingot/internal/client"
	"ingot/internal/fault"
	"ingot/internal/metal"
)

// nodeLead is what a person looks for first in one node.
var nodeLead = []string{"name", "uuid", "driver", "provision_state", "target_provision_state", "power_state",
	"target_power_state", "last_error", "maintenance", "maintenance_reason", "fault", "reservation", "instance_uuid",
	"driver_info", "properties", "instance_info"}

func (a *app) node() *cobra.Command {
	return a.online(a.group("node", "Enrol machines, deploy to them, and see what they are doing",
		a.nodeCreate(), a.nodeList(), a.nodeShow(), a.nodeSet(), a.nodeUnset(), a.nodeDelete(),
		a.nodeManage(), a.nodeProvide(), a.nodeDeploy(), a.nodeUndeploy(), a.nodePower(), a.nodeBootMode(), a.nodeSecureBoot(),
		a.nodeInspect(), a.nodeInventory(), a.nodeAdopt(), a.nodeRebuild(), a.nodeClean(), a.nodeService(), a.nodeRescue(), a.nodeUnrescue(), a.nodeUnhold(), a.nodeAbort(), a.nodeTrait(), a.nodeVIF(),
		a.nodeValidate(), a.nodeSecurity(), a.nodeEvents(), a.nodeWhy(), a.nodeLogs(), a.nodeErasure(), a.nodeBaseline(), a.nodeMetadata()))
}

func (a *app) nodeList() *cobra.Command {
	var q client.NodeQuery
	var state, maintenance string
	var wide bool
	c := &cobra.Command{
		Use:   "list",
		Short: "List nodes",
		Example: `  ingot node list
  ingot node list --state active -o json
  ingot node list --driver redfish --fields uuid,name,resource_class`,
		Args: exactly(),
		RunE: a.run(func(cmd *cobra.Command, c *client.Client, _ []string) error {
			q.ProvisionState = metal.State(state)
			if maintenance != "" {
				on, err := switchValue("maintenance", maintenance)
				if err != nil {
					return err
				}
				q.Maintenance = &on
			}
			columns := []string{"uuid", "name", "driver", "power_state", "provision_state", "maintenance"}
			q.Detail = wide
			if len(q.Fields) > 0 {
				if wide {
					return usagef("--detail and --fields exclude each other")
				}
				columns = q.Fields
			} else if !wide {
				q.Fields = append(slices.Clone(columns), "target_provision_state", "target_power_state", "last_error")
			}
			nodes, err := c.Nodes(cmd.Context(), q)
			if err != nil {
				return err
			}
			all := make([]client.Object, len(nodes))
			for i := range nodes {
				all[i] = nodes[i].All
			}
			return a.print(cmd, all, func(w io.Writer) { nodeTable(w, columns, nodes) })
		}),
	}
	f := c.Flags()
	f.StringVar(&state, "state", "", "only nodes in this provision state")
	f.StringVar(&q.Driver, "driver", "", "only nodes of this hardware type")
	f.StringVar(&q.ResourceClass, "resource-class", "", "only nodes of this resource class")
	f.StringVar(&q.Owner, "owner", "", "only nodes of this owner")
	f.StringVar(&q.Lessee, "lessee", "", "only nodes leased by this project")
	f.StringVar(&q.OSDefinition, "os", "", "only nodes that are installed with this OS definition")
	f.StringVar(&maintenance, "maintenance", "", "on or off: only nodes that are or are not in maintenance")
	f.StringSliceVar(&q.Fields, "fields", nil, "which fields to fetch and show, separated by commas")
	f.BoolVar(&wide, "detail", false, "fetch every field; for -o json and yaml")
	f.StringVar(&q.SortKey, "sort", "", "field to sort by")
	f.BoolVar(&q.Descending, "descending", false, "sort the other way round")
	f.IntVar(&q.Limit, "limit", 0, "show at most this many; 0 shows all")
	return c
}

// nodeTable shows a pending target behind the state it is to replace.
func nodeTable(w io.Writer, columns []string, nodes []client.Node) {
	head := make([]string, len(columns))
	for i, c := range columns {
		head[i] = strings.ToUpper(strings.ReplaceAll(c, "_", " "))
	}
	rows := make([][]string, len(nodes))
	for i, n := range nodes {
		for _, c := range columns {
			cell := cellText(n.All[c])
			if to := n.All.Text("target_" + c); to != "" && to != cell {
				cell += " -> " + to
			}
			rows[i] = append(rows[i], cell)
		}
	}
	table(w, head, rows)
}

func (a *app) nodeShow() *cobra.Command {
	var all bool
	c := &cobra.Command{
		Use:   "show NODE",
		Short: "Show one node",
		Long:  "Show one node, by name or UUID. Passwords are masked by the server.",
		Example: `  ingot node show rack1-u3
  ingot node show rack1-u3 -o yaml`,
		Args:              exactly("NODE"),
		ValidArgsFunction: a.completeNodes,
		RunE: a.run(func(cmd *cobra.Command, c *client.Client, args []string) error {
			n, err := c.Node(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return a.print(cmd, n.All, func(w io.Writer) {
				fields(w, n.All, nodeLead, all)
				warnUncleaned(w, n)
				tellInstalled(w, n)
				warnVendordata(w, n)
			})
		}),
	}
	c.Flags().BoolVar(&all, "all", false, "show empty fields too")
	return c
}

func (a *app) nodeDelete() *cobra.Command {
	return &cobra.Command{
		Use:   "delete NODE...",
		Short: "Forget nodes and their ports; the machines are not touched",
		Example: `  ingot node delete rack1-u3
  ingot node delete rack1-u3 rack1-u4`,
		Args:              atLeast("NODE"),
		ValidArgsFunction: a.completeNodes,
		RunE: a.run(func(cmd *cobra.Command, c *client.Client, args []string) error {
			gone := []string{}
			for _, ident := range args {
				err := c.DeleteNode(cmd.Context(), ident)
				if fault.KindOf(err) == fault.Conflict {
					err = hint(err, "undeploy it first, or delete its allocation (ingot allocation list), or put it into maintenance: ingot node set %s --maintenance on", ident)
				}
				if err != nil {
					return fmt.Errorf("delete %s: %w", ident, err)
				}
				gone = append(gone, ident)
			}
			return a.print(cmd, map[string]any{"deleted": gone}, func(w io.Writer) {
				fmt.Fprintf(w, "deleted %s\n", strings.Join(gone, ", "))
			})
		}),
	}
}

func (a *app) nodeValidate() *cobra.Command {
	return &cobra.Command{
		Use:               "validate NODE",
		Short:             "Ask every interface of a node whether it could be worked on",
		Example:           `  ingot node validate rack1-u3`,
		Args:              exactly("NODE"),
		ValidArgsFunction: a.completeNodes,
		RunE: a.run(func(cmd *cobra.Command, c *client.Client, args []string) error {
			v, err := c.Validate(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return a.print(cmd, v, func(w io.Writer) {
				var rows [][]string
				for _, kind := range sortedKeys(v) {
					result := "not used"
					if r := v[kind].Result; r != nil && *r {
						result = "ok"
						if v[kind].Reason != "" {
							result = "warning"
						}
					} else if r != nil {
						result = "no"
					}
					rows = append(rows, []string{kind, result, v[kind].Reason})
				}
				table(w, []string{"INTERFACE", "RESULT", "REASON"}, rows)
			})
		}),
	}
}
