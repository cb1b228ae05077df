package cli

import (
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"ingot/internal/client"
	"ingot/internal/wire"
)

// nodeChanges is the flags of node set.
type nodeChanges struct {
	name, driver, resourceClass, description, owner, lessee, group string
	info, infoFile, properties, extra, instance, interfaces        []string
	instanceFile                                                   []string
	networkData, automatedClean, protected, retired                string
	maintenance, reason                                            string
	password                                                       string
	resetInterfaces                                                bool
}

func (a *app) nodeSet() *cobra.Command {
	var n nodeChanges
	c := &cobra.Command{
		Use:   "set NODE [FIELD=VALUE...]",
		Short: "Change a node",
		Long: `Change a node. All changes are made, or none.

A field can be given by flag, or as FIELD=VALUE with the field's name in the API; FIELD.KEY=VALUE changes one key
of an object. Values that read as JSON (numbers, true, false, objects, lists) are taken as such.`,
		Example: `  ingot node set rack1-u3 --name rack1-u4 --property cpu_arch=x86_64
  ingot node set rack1-u3 description="second from below" properties.root_device='{"serial": "S3X"}'
  ingot node set rack1-u3 --driver-info-file redfish_password=-
  ingot node set rack1-u3 --maintenance on --reason "fan broken"`,
		Args:              atLeast("NODE"),
		ValidArgsFunction: a.completeNodes,
		RunE: a.run(func(cmd *cobra.Command, c *client.Client, args []string) error {
			return a.set(cmd, c, args[0], args[1:], &n)
		}),
	}
	f := c.Flags()
	f.StringVar(&n.name, "name", "", "name")
	f.StringVar(&n.driver, "driver", "", "hardware type")
	f.BoolVar(&n.resetInterfaces, "reset-interfaces", false, "with --driver: take the new driver's default interfaces")
	f.StringArrayVar(&n.info, "driver-info", nil, "KEY=VALUE for the driver; repeatable")
	f.StringArrayVar(&n.infoFile, "driver-info-file", nil, "KEY=FILE for a value that is secret; - for standard input; repeatable")
	f.StringVar(&n.password, "bmc-password", "", "")
	f.StringArrayVar(&n.properties, "property", nil, "KEY=VALUE about the machine; repeatable")
	f.StringArrayVar(&n.extra, "extra", nil, "KEY=VALUE of your own; repeatable")
	f.StringArrayVar(&n.instance, "instance-info", nil, "KEY=VALUE about what to deploy; repeatable")
	f.StringArrayVar(&n.instanceFile, "instance-info-file", nil, "KEY=FILE for a value that is secret, such as image_pull_secret; - for standard input; repeatable")
	f.StringArrayVar(&n.interfaces, "interface", nil, "KIND=NAME, such as deploy=direct; repeatable")
	f.StringVar(&n.networkData, "network-data", "", "JSON or YAML file with static addressing for the ramdisk")
	f.StringVar(&n.resourceClass, "resource-class", "", "resource class")
	f.StringVar(&n.description, "description", "", "a remark")
	f.StringVar(&n.owner, "owner", "", "owner")
	f.StringVar(&n.lessee, "lessee", "", "lessee")
	f.StringVar(&n.group, "conductor-group", "", "which conductors may serve it")
	f.StringVar(&n.automatedClean, "automated-clean", "", "on or off: clean between tenants")
	f.StringVar(&n.protected, "protected", "", "on or off: refuse undeploy and delete")
	f.StringVar(&n.retired, "retired", "", "on or off: on its way out")
	f.StringVar(&n.maintenance, "maintenance", "", "on or off: leave the machine alone")
	f.StringVar(&n.reason, "reason", "", "why it is in maintenance")
	_ = f.MarkHidden("bmc-password") // exists to be refused with a hint
	return c
}

func (a *app) set(cmd *cobra.Command, c *client.Client, ident string, args []string, n *nodeChanges) error {
	if n.password != "" {
		return refuseSecret("a password", "--driver-info-file redfish_password=FILE")
	}
	if n.reason != "" && n.maintenance == "" {
		return usagef("--reason goes with --maintenance on")
	}
	changes, err := n.changes(cmd)
	if err != nil {
		return err
	}
	for _, s := range args {
		op, err := assignment(s)
		if err != nil {
			return err
		}
		changes = append(changes, op)
	}
	if len(changes) == 0 && n.maintenance == "" {
		return usage(cmd, usagef("nothing to set"))
	}
	if n.maintenance != "" {
		on, err := switchValue("maintenance", n.maintenance)
		if err != nil {
			return err
		}
		if !on && n.reason != "" {
			return usagef("--reason goes with --maintenance on")
		}
		if err := c.SetMaintenance(cmd.Context(), ident, on, n.reason); err != nil {
			return err
		}
	}
	return a.update(cmd, c, ident, changes, n.resetInterfaces)
}

// update applies changes, if any, and prints the node.
func (a *app) update(cmd *cobra.Command, c *client.Client, ident string, changes []wire.PatchOp, reset bool) error {
	var node *client.Node
	var err error
	if len(changes) > 0 {
		node, err = c.UpdateNode(cmd.Context(), ident, changes, reset)
	} else {
		node, err = c.Node(cmd.Context(), ident)
	}
	if err != nil {
		return err
	}
	return a.print(cmd, node.All, func(w io.Writer) {
		fmt.Fprintf(w, "changed node %s\n", node.Label())
	})
}

// changes is what the flags say, in the order a person would.
func (n *nodeChanges) changes(cmd *cobra.Command) ([]wire.PatchOp, error) {
	var out []wire.PatchOp
	for _, x := range []struct{ field, value string }{{"driver", n.driver}, {"name", n.name}, {"resource_class", n.resourceClass},
		{"description", n.description}, {"owner", n.owner}, {"lessee", n.lessee}, {"conductor_group", n.group}} {
		if x.value != "" {
			out = append(out, client.Set("/"+x.field, x.value))
		}
	}
	for _, x := range []struct {
		field string
		list  []string
		value func(string) any
	}{{"driver_info", n.info, asText}, {"properties", n.properties, guess}, {"extra", n.extra, guess}, {"instance_info", n.instance, guess}} {
		for _, s := range x.list {
			k, v, err := pair(s)
			if err != nil {
				return nil, err
			}
			op, err := nested(x.field, k, x.value(v))
			if err != nil {
				return nil, err
			}
			out = append(out, op)
		}
	}
	for _, x := range []struct {
		field string
		files []string
	}{{"driver_info", n.infoFile}, {"instance_info", n.instanceFile}} {
		for _, s := range x.files {
			k, name, err := pair(s)
			if err != nil {
				return nil, err
			}
			v, err := readSecret(cmd, name, k)
			if err != nil {
				return nil, err
			}
			out = append(out, client.Set("/"+x.field+"/"+k, v))
		}
	}
	for _, s := range n.interfaces {
		kind, name, err := pair(s)
		if err != nil {
			return nil, err
		}
		out = append(out, client.Set("/"+kind+"_interface", name))
	}
	if n.networkData != "" {
		data, err := readObject(cmd, n.networkData)
		if err != nil {
			return nil, err
		}
		out = append(out, client.Set("/network_data", data))
	}
	for _, x := range []struct{ field, flag, value string }{{"automated_clean", "automated-clean", n.automatedClean},
		{"protected", "protected", n.protected}, {"retired", "retired", n.retired}} {
		if x.value == "" {
			continue
		}
		on, err := switchValue(x.flag, x.value)
		if err != nil {
			return nil, err
		}
		out = append(out, client.Set("/"+x.field, on))
	}
	return out, nil
}

// token is what the API allows between the slashes of a patch path. Source: rest-api reference §1.9.
var token = regexp.MustCompile(`^[\w-]+$`)

// nested sets one key of an object field, unless its value should not have been on the command line.
func nested(field, key string, value any) (wire.PatchOp, error) {
	if !token.MatchString(key) {
		return wire.PatchOp{}, usagef("%q: keys that can be set one by one have letters, digits, _ and - only", key)
	}
	if flag, private := map[string]string{"driver_info": "--driver-info-file ", "instance_info": "--instance-info-file "}[field]; private {
		if err := refuseSecret(key, flag+key+"=FILE"); err != nil {
			return wire.PatchOp{}, err
		}
	}
	return client.Set("/"+field+"/"+key, value), nil
}

// assignment reads FIELD=VALUE and FIELD.KEY=VALUE.
func assignment(s string) (wire.PatchOp, error) {
	k, v, err := pair(s)
	if err != nil {
		return wire.PatchOp{}, err
	}
	field, key, deep := strings.Cut(k, ".")
	if !token.MatchString(field) {
		return wire.PatchOp{}, usagef("%q is not FIELD=VALUE or FIELD.KEY=VALUE", s)
	}
	value := guess(v)
	if field == "driver_info" && deep {
		value = v
	}
	if !deep {
		if field == "driver_info" {
			return wire.PatchOp{}, hint(usagef("driver_info is not set as a whole here"), "set one key: driver_info.KEY=VALUE, or --driver-info-file KEY=FILE")
		}
		return client.Set("/"+field, value), nil
	}
	return nested(field, key, value)
}

func (a *app) nodeUnset() *cobra.Command {
	return &cobra.Command{
		Use:   "unset NODE FIELD...",
		Short: "Take values away from a node",
		Example: `  ingot node unset rack1-u3 description
  ingot node unset rack1-u3 properties.root_device driver_info.redfish_certificate_fingerprint`,
		Args:              atLeast("NODE", "FIELD"),
		ValidArgsFunction: a.completeNodes,
		RunE: a.run(func(cmd *cobra.Command, c *client.Client, args []string) error {
			changes, err := removals(args[1:])
			if err != nil {
				return err
			}
			return a.update(cmd, c, args[0], changes, false)
		}),
	}
}

// removals reads FIELD and FIELD.KEY.
func removals(names []string) ([]wire.PatchOp, error) {
	var out []wire.PatchOp
	for _, name := range names {
		tokens := strings.Split(name, ".")
		for _, t := range tokens {
			if !token.MatchString(t) {
				return nil, usagef("%q is not FIELD or FIELD.KEY", name)
			}
		}
		out = append(out, client.Unset("/"+strings.Join(tokens, "/")))
	}
	return out, nil
}
