package cli

import (
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"ingot/internal/client"
	"ingot/internal/wire"
)

var portLead = []string{"uuid", "address", "node_uuid", "name", "pxe_enabled", "physical_network"}

func (a *app) port() *cobra.Command {
	return a.online(a.group("port", "The NICs of nodes",
		a.portCreate(), a.portList(), a.portShow(), a.portSet(), a.portDelete()))
}

// portFlags is what create and set share.
type portFlags struct {
	address, name, network, pxe, description string
	extra, link                              []string
}

func (p *portFlags) add(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&p.name, "name", "", "name")
	f.StringVar(&p.network, "physical-network", "", "which network it is plugged into")
	f.StringVar(&p.pxe, "pxe", "", "on or off: may be used to boot the ramdisk")
	f.StringVar(&p.description, "description", "", "a remark")
	f.StringArrayVar(&p.extra, "extra", nil, "KEY=VALUE of your own; repeatable")
	f.StringArrayVar(&p.link, "link", nil, "KEY=VALUE of local_link_connection: switch_id, port_id; repeatable")
}

// fields is what the flags say, by the names on the wire.
func (p *portFlags) fields() (map[string]any, error) {
	out := map[string]any{}
	for k, v := range map[string]string{"address": p.address, "name": p.name, "physical_network": p.network, "description": p.description} {
		if v != "" {
			out[k] = v
		}
	}
	if p.pxe != "" {
		on, err := switchValue("pxe", p.pxe)
		if err != nil {
			return nil, err
		}
		out["pxe_enabled"] = on
	}
	for k, x := range map[string]struct {
		list  []string
		value func(string) any
	}{"extra": {p.extra, guess}, "local_link_connection": {p.link, asText}} {
		m, err := pairs(x.list, x.value)
		if err != nil {
			return nil, err
		}
		if len(m) > 0 {
			out[k] = m
		}
	}
	return out, nil
}

func (a *app) portCreate() *cobra.Command {
	var p portFlags
	var node string
	c := &cobra.Command{
		Use:     "create MAC --node NODE",
		Short:   "Tell the server of a NIC",
		Example: `  ingot port create 52:54:00:12:34:56 --node rack1-u3`,
		Args:    exactly("MAC"),
		RunE: a.run(func(cmd *cobra.Command, c *client.Client, args []string) error {
			if node == "" {
				return usage(cmd, usagef("--node is missing"))
			}
			p.address = args[0]
			body, err := p.fields()
			if err != nil {
				return err
			}
			n, err := c.Node(cmd.Context(), node) // a name is not accepted where node_uuid is meant
			if err != nil {
				return err
			}
			body["node_uuid"] = n.UUID
			made, err := c.CreatePort(cmd.Context(), body)
			if err != nil {
				return err
			}
			return a.print(cmd, made.All, func(w io.Writer) {
				fmt.Fprintf(w, "created port %s (%s) of node %s\n", made.Address, made.UUID, n.Label())
			})
		}),
	}
	c.Flags().StringVar(&node, "node", "", "name or UUID of its node")
	_ = c.RegisterFlagCompletionFunc("node", a.completeNodes)
	p.add(c)
	return c
}

func (a *app) portList() *cobra.Command {
	var q client.PortQuery
	c := &cobra.Command{
		Use:   "list",
		Short: "List NICs",
		Example: `  ingot port list --node rack1-u3
  ingot port list --address 52:54:00:12:34:56 -o json`,
		Args: exactly(),
		RunE: a.run(func(cmd *cobra.Command, c *client.Client, _ []string) error {
			ports, err := c.Ports(cmd.Context(), q)
			if err != nil {
				return err
			}
			all := make([]client.Object, len(ports))
			rows := make([][]string, len(ports))
			for i, p := range ports {
				all[i] = p.All
				rows[i] = []string{p.UUID, p.Address, p.NodeUUID, strconv.FormatBool(p.PXEEnabled), p.Name}
			}
			return a.print(cmd, all, func(w io.Writer) { table(w, []string{"UUID", "ADDRESS", "NODE", "PXE", "NAME"}, rows) })
		}),
	}
	c.Flags().StringVar(&q.Node, "node", "", "only NICs of this node")
	c.Flags().StringVar(&q.Address, "address", "", "only the NIC with this MAC address")
	c.Flags().IntVar(&q.Limit, "limit", 0, "show at most this many; 0 shows all")
	_ = c.RegisterFlagCompletionFunc("node", a.completeNodes)
	return c
}

func (a *app) portShow() *cobra.Command {
	var all bool
	c := &cobra.Command{
		Use:     "show PORT",
		Short:   "Show one NIC, by UUID, name or MAC address",
		Example: `  ingot port show 52:54:00:12:34:56`,
		Args:    exactly("PORT"),
		RunE: a.run(func(cmd *cobra.Command, c *client.Client, args []string) error {
			p, err := findPort(cmd, c, args[0])
			if err != nil {
				return err
			}
			return a.print(cmd, p.All, func(w io.Writer) { fields(w, p.All, portLead, all) })
		}),
	}
	c.Flags().BoolVar(&all, "all", false, "show empty fields too")
	return c
}

func (a *app) portSet() *cobra.Command {
	var p portFlags
	c := &cobra.Command{
		Use:     "set PORT",
		Short:   "Change a NIC",
		Example: `  ingot port set 52:54:00:12:34:56 --pxe off --physical-network storage`,
		Args:    exactly("PORT"),
		RunE: a.run(func(cmd *cobra.Command, c *client.Client, args []string) error {
			body, err := p.fields()
			if err != nil {
				return err
			}
			var changes []wire.PatchOp
			for _, k := range sortedKeys(body) {
				m, object := body[k].(map[string]any)
				if !object {
					changes = append(changes, client.Set("/"+k, body[k]))
					continue
				}
				for _, sub := range sortedKeys(m) {
					op, err := nested(k, sub, m[sub])
					if err != nil {
						return err
					}
					changes = append(changes, op)
				}
			}
			if len(changes) == 0 {
				return usage(cmd, usagef("nothing to set"))
			}
			found, err := findPort(cmd, c, args[0])
			if err != nil {
				return err
			}
			changed, err := c.UpdatePort(cmd.Context(), found.UUID, changes)
			if err != nil {
				return err
			}
			return a.print(cmd, changed.All, func(w io.Writer) { fmt.Fprintf(w, "changed port %s\n", changed.Address) })
		}),
	}
	p.add(c)
	c.Flags().StringVar(&p.address, "address", "", "MAC address")
	return c
}

func (a *app) portDelete() *cobra.Command {
	return &cobra.Command{
		Use:     "delete PORT...",
		Short:   "Forget NICs",
		Example: `  ingot port delete 52:54:00:12:34:56`,
		Args:    atLeast("PORT"),
		RunE: a.run(func(cmd *cobra.Command, c *client.Client, args []string) error {
			gone := []string{}
			for _, ident := range args {
				p, err := findPort(cmd, c, ident)
				if err != nil {
					return err
				}
				if err := c.DeletePort(cmd.Context(), p.UUID); err != nil {
					return fmt.Errorf("delete %s: %w", ident, err)
				}
				gone = append(gone, ident)
			}
			return a.print(cmd, map[string]any{"deleted": gone}, func(w io.Writer) { fmt.Fprintf(w, "deleted %s\n", listed(gone)) })
		}),
	}
}

// findPort takes what people have at hand: a MAC address too, which the API only filters by.
func findPort(cmd *cobra.Command, c *client.Client, ident string) (*client.Port, error) {
	mac, ok := wire.ParseMAC(ident)
	if !ok {
		return c.Port(cmd.Context(), ident)
	}
	ports, err := c.Ports(cmd.Context(), client.PortQuery{Address: mac})
	if err != nil {
		return nil, err
	}
	if len(ports) == 0 {
		return nil, &failure{err: fmt.Errorf("no port has the address %s", mac), code: exitNotFound}
	}
	return &ports[0], nil
}
