package cli

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"ingot/internal/client"
	"ingot/internal/secret"
)

// bmcKeys is where each hardware type keeps what the --bmc flags say; a type that is not here is told
// with --driver-info.
var bmcKeys = map[string]struct{ address, username, password, fingerprint, system string }{
	"redfish": {"redfish_address", "redfish_username", "redfish_password", "redfish_certificate_fingerprint", "redfish_system_id"},
}

// newNode is the flags of node create.
type newNode struct {
	driver, name                                  string
	address, username, passwordFile, fingerprint  string
	system, password                              string
	pin                                           bool
	info, infoFile, properties, extra, interfaces []string
	macs                                          []string
	networkData, resourceClass, description       string
	owner, group, automatedClean                  string
}

func (a *app) nodeCreate() *cobra.Command {
	var n newNode
	c := &cobra.Command{
		Use:   "create --driver DRIVER",
		Short: "Enrol a machine",
		Long: `Enrol a machine: tell the server how to reach its BMC.

The BMC's password is read from a file or standard input. Its certificate must be trusted by the server, or be
pinned: --bmc-pin asks the BMC for it now, --bmc-fingerprint gives what you know it to be.`,
		Example: `  ingot node create --driver redfish --name rack1-u3 --bmc-address https://192.0.2.10 \
      --bmc-username admin --bmc-password-file - --bmc-pin --mac 52:54:00:12:34:56
  ingot node create --driver fake-hardware --name toy --property cpu_arch=x86_64`,
		Args: exactly(),
		RunE: a.run(func(cmd *cobra.Command, c *client.Client, _ []string) error { return a.create(cmd, c, &n) }),
	}
	f := c.Flags()
	f.StringVar(&n.driver, "driver", "", "hardware type: redfish, fake-hardware; see ingot driver list")
	f.StringVar(&n.name, "name", "", "name of the node")
	f.StringVar(&n.address, "bmc-address", "", "URL of the BMC")
	f.StringVar(&n.username, "bmc-username", "", "user at the BMC")
	f.StringVar(&n.passwordFile, "bmc-password-file", "", "file with the password of that user; - for standard input")
	f.StringVar(&n.password, "bmc-password", "", "")
	f.StringVar(&n.fingerprint, "bmc-fingerprint", "", "SHA-256 of the BMC's certificate, in hex")
	f.BoolVar(&n.pin, "bmc-pin", false, "ask the BMC for its certificate now and trust only that")
	f.StringVar(&n.system, "bmc-system-id", "", "which system, where one BMC has several: /redfish/v1/Systems/…")
	f.StringArrayVar(&n.info, "driver-info", nil, "KEY=VALUE for the driver; repeatable")
	f.StringArrayVar(&n.infoFile, "driver-info-file", nil, "KEY=FILE for a value that is secret; - for standard input; repeatable")
	f.StringArrayVar(&n.properties, "property", nil, "KEY=VALUE about the machine: cpu_arch, root_device; repeatable")
	f.StringArrayVar(&n.extra, "extra", nil, "KEY=VALUE of your own; repeatable")
	f.StringArrayVar(&n.interfaces, "interface", nil, "KIND=NAME, such as deploy=direct; repeatable")
	f.StringArrayVar(&n.macs, "mac", nil, "MAC address of a NIC: makes a port; repeatable")
	f.StringVar(&n.networkData, "network-data", "", "JSON or YAML file with static addressing for the ramdisk")
	f.StringVar(&n.resourceClass, "resource-class", "", "resource class")
	f.StringVar(&n.description, "description", "", "a remark")
	f.StringVar(&n.owner, "owner", "", "owner")
	f.StringVar(&n.group, "conductor-group", "", "which conductors may serve it")
	f.StringVar(&n.automatedClean, "automated-clean", "", "on or off: clean between tenants; default as the server is configured")
	_ = f.MarkHidden("bmc-password") // exists to be refused with a hint
	return c
}

func (a *app) create(cmd *cobra.Command, c *client.Client, n *newNode) error {
	if n.driver == "" {
		return hint(usagef("--driver is missing"), "ingot driver list shows the hardware types of this server")
	}
	if n.password != "" {
		return refuseSecret("a password", "--bmc-password-file FILE")
	}
	info, err := a.driverInfo(cmd, n)
	if err != nil {
		return err
	}
	body, err := n.fields(cmd)
	if err != nil {
		return err
	}
	made, err := c.CreateNode(cmd.Context(), client.NewNode{Name: n.name, Driver: n.driver, DriverInfo: info, Fields: body})
	if err != nil {
		return unknownDriver(cmd.Context(), c, n.driver, err)
	}
	for _, mac := range n.macs {
		if _, err := c.CreatePort(cmd.Context(), map[string]any{"node_uuid": made.UUID, "address": mac}); err != nil {
			return takeBack(cmd.Context(), c, made, fmt.Errorf("port %s, so the node was not kept: %w", mac, err))
		}
	}
	return a.print(cmd, made.All, func(w io.Writer) {
		fmt.Fprintf(w, "created node %s (%s), state %s\n", made.Label(), made.UUID, made.ProvisionState)
		fmt.Fprintf(w, "next: ingot node manage %s --wait\n", made.Label())
	})
}

// takeBack deletes a node that was made halfway, even when the command is being interrupted: it would be in
// the way of the next try.
func takeBack(ctx context.Context, c *client.Client, made *client.Node, why error) error {
	if err := c.DeleteNode(context.WithoutCancel(ctx), made.UUID); err != nil {
		return hint(why, "it could not be taken back: ingot node delete %s", made.UUID)
	}
	return why
}

// driverInfo is what the --bmc and --driver-info flags say, and the pinned certificate.
func (a *app) driverInfo(cmd *cobra.Command, n *newNode) (secret.Map, error) {
	info := map[string]any{}
	for _, s := range n.info {
		k, v, err := pair(s)
		if err == nil {
			err = refuseSecret(k, "--driver-info-file "+k+"=FILE")
		}
		if err != nil {
			return secret.Map{}, err
		}
		info[k] = v
	}
	for _, s := range n.infoFile {
		k, name, err := pair(s)
		if err != nil {
			return secret.Map{}, err
		}
		v, err := readSecret(cmd, name, k)
		if err != nil {
			return secret.Map{}, err
		}
		info[k] = v.Expose()
	}
	if n.pin {
		if n.fingerprint != "" || n.address == "" {
			return secret.Map{}, usagef("--bmc-pin goes with --bmc-address and without --bmc-fingerprint")
		}
		var err error
		if n.fingerprint, err = a.pinned(cmd, n.address); err != nil {
			return secret.Map{}, err
		}
	}
	keys, known := bmcKeys[n.driver]
	if !known && n.address+n.username+n.passwordFile+n.fingerprint+n.system != "" {
		return secret.Map{}, hint(usagef("the --bmc flags do not know driver %q", n.driver),
			"use --driver-info and --driver-info-file; ingot driver show %s lists its keys", n.driver)
	}
	for k, v := range map[string]string{keys.address: n.address, keys.username: n.username,
		keys.fingerprint: n.fingerprint, keys.system: n.system} {
		if v != "" {
			info[k] = v
		}
	}
	if n.passwordFile != "" {
		v, err := readSecret(cmd, n.passwordFile, "BMC password")
		if err != nil {
			return secret.Map{}, err
		}
		info[keys.password] = v.Expose()
	}
	return secret.NewMap(info), nil
}

// fields is what the other flags say, by the names on the wire.
func (n *newNode) fields(cmd *cobra.Command) (map[string]any, error) {
	out := map[string]any{}
	for k, v := range map[string]string{"resource_class": n.resourceClass, "description": n.description,
		"owner": n.owner, "conductor_group": n.group} {
		if v != "" {
			out[k] = v
		}
	}
	for k, list := range map[string][]string{"properties": n.properties, "extra": n.extra} {
		m, err := pairs(list, guess)
		if err != nil {
			return nil, err
		}
		if len(m) > 0 {
			out[k] = m
		}
	}
	kinds, err := pairs(n.interfaces, asText)
	if err != nil {
		return nil, err
	}
	for kind, name := range kinds {
		out[kind+"_interface"] = name
	}
	if n.networkData != "" {
		if out["network_data"], err = readObject(cmd, n.networkData); err != nil {
			return nil, err
		}
	}
	if n.automatedClean != "" {
		if out["automated_clean"], err = switchValue("automated-clean", n.automatedClean); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// listed joins words for a sentence.
func listed(words []string) string { return strings.Join(words, ", ") }
