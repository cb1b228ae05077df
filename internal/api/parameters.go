package api

import (
	"net/url"
	"slices"
	"strings"

	"ingot/internal/fault"
	"ingot/internal/wire"
)

// parameter is a query parameter or, of actions, a key of the body: what one may be, and since when.
type parameter struct {
	name string
	on   string // only on paths that begin with one of these, separated by spaces; "" is every path
	kind string // "text" (the default), "uuid", "bool", "int", "list" (of text), "object", "objects" (a list of them), "any"
	min  int    // minor of the first microversion that has it; 0 is 1.1
	bad  bool   // an older request is refused as invalid (400), not as not acceptable (406)
	late bool   // the handler refuses older requests itself: upstream looks at other things first
	need bool   // an action without it is refused
	says string // what it is for, for docs/api.md
}

// parameters is every parameter there is. Of rows with one name the first that fits the path counts.
// Sources: rest-api reference, microversion table.
var parameters = []parameter{
	{name: "limit", kind: "int", says: "At most so many items; the server's max_limit is the default and the cap."},
	{name: "marker", on: "/v1/conductors", says: "The last conductor of the page before, by host name."},
	{name: "marker", kind: "uuid", says: "The last item of the page before, by UUID."},
	{name: "sort_key", says: "The field to sort by."},
	{name: "sort_dir", says: "asc or desc."},
	{name: "fields", on: "/v1/drivers", kind: "list", min: 77, says: "Only these fields, comma separated."},
	{name: "fields", on: "/v1/nodes/{node}/bios", kind: "list", min: 74, bad: true, says: "Only these fields, comma separated."},
	{name: "fields", kind: "list", min: 8, says: "Only these fields, comma separated."},
	{name: "detail", on: "/v1/drivers", kind: "bool", min: 30, says: "The full form."},
	{name: "detail", on: "/v1/nodes/{node}/bios", kind: "bool", min: 74, bad: true, says: "The full form."},
	{name: "detail", on: "/v1/volume", kind: "bool", says: "The full form."},
	{name: "detail", kind: "bool", min: 43, bad: true, says: "The full form."},
	{name: "type", on: "/v1/drivers", min: 30, says: "classic or dynamic; there are no classic ones."},

	{name: "bundle", need: true, says: "The tar file of an OS definition, plain or packed with gzip or zstd, in base64."},
	{name: "digest", need: true, says: "The digest of the files that are meant: sha256: and a hash."},

	// Filters of nodes.
	{name: "instance_uuid", kind: "uuid", says: "The node of this instance."},
	{name: "chassis_uuid", kind: "uuid", says: "Nodes of this chassis."},
	{name: "associated", kind: "bool", says: "Nodes with, or without, an instance."},
	{name: "maintenance", kind: "bool", says: "Nodes in maintenance, or not."},
	{name: "retired", kind: "bool", says: "Nodes that are retired, or not."},
	{name: "provision_state", on: "/v1/operations", says: "Operations of nodes in this state."},
	{name: "provision_state", min: 9, says: "Nodes in this state."},
	{name: "driver", min: 16, says: "Nodes of this hardware type."},
	{name: "resource_class", on: "/v1/allocations", says: "Allocations of this resource class."},
	{name: "resource_class", min: 21, says: "Nodes of this resource class."},
	{name: "fault", min: 42, says: "Nodes with this fault."},
	{name: "conductor_group", min: 46, says: "Nodes of this conductor group; empty for the default one."},
	{name: "conductor", min: 49, says: "Nodes that this conductor looks after."},
	{name: "owner", on: "/v1/allocations", min: 60, says: "Allocations of this owner."},
	{name: "owner", min: 50, says: "Nodes of this owner."},
	{name: "lessee", min: 65, says: "Nodes lent to this project."},
	{name: "project", on: "/v1/runbooks", kind: "bool", says: "Only runbooks of the caller's project."},
	{name: "project", says: "Nodes owned by or lent to this project."},
	{name: "description_contains", says: "Items whose description has this text."},
	{name: "shard", on: "/v1/portgroups", kind: "list", min: 106, says: "Port groups of nodes in any of these shards."},
	{name: "shard", kind: "list", min: 82, says: "Nodes, or ports of nodes, in any of these shards."},
	{name: "sharded", kind: "bool", min: 82, says: "Nodes that are in a shard, or not."},
	{name: "include_children", kind: "bool", min: 83, says: "Also nodes that have a parent."},
	{name: "parent_node", min: 83, says: "Children of this node."},
	{name: "instance_name", min: 104, says: "Nodes whose instance has this name."},
	{name: "os_definition", on: "/v1/nodes/{node}/states/provision", says: "With active and rebuild: the OS definition that installs, by name or UUID, and its variant behind a plus: NAME+VARIANT. Not in Ironic."},
	{name: "os_definition", says: "Nodes that are installed with this OS definition, by name or UUID. Not in Ironic."},
	{name: "reset_interfaces", kind: "bool", min: 45, says: "Together with a change of the driver: interfaces that the patch does not name become the driver's defaults."},

	// Filters of what hangs on nodes.
	{name: "node", on: "/v1/events", says: "Only events of this node, by name or UUID."},
	{name: "node", says: "Items of this node, by name (from 1.5) or UUID."},
	{name: "node_uuid", kind: "uuid", says: "The node, by UUID."},
	{name: "address", says: "The item with this MAC address."},
	{name: "portgroup", min: 24, says: "Ports of this port group."},
	{name: "conductor_groups", kind: "list", says: "Items of nodes in any of these conductor groups."},
	{name: "state", on: "/v1/allocations", says: "Allocations in this state: allocating, active or error."},
	{name: "phase", on: "/v1/inspection_rules", says: "Taken, and without effect."},

	// Keys of actions.
	{name: "target", on: "/v1/nodes/{node}/states/secure_boot", kind: "bool", need: true, says: "Whether Secure Boot shall be on."},
	{name: "target", on: "/v1/nodes/{node}/states/provision", need: true, says: "The verb: what shall become of the node."},
	{name: "target", need: true, says: "What shall be."},
	{name: "timeout", kind: "int", min: 27, says: "Seconds the change may take."},
	{name: "configdrive", kind: "any", says: "What the instance reads at first boot: a URL, base64 of a compressed ISO image, or (from 1.56) an object with meta_data, network_data, user_data and (from 1.59) vendor_data. With the verb rebuild from 1.35."},
	{name: "clean_steps", kind: "objects", says: "The steps of a manual cleaning."},
	{name: "deploy_steps", kind: "objects", min: 69, late: true, says: "Steps of this deployment, beside the templates'."},
	{name: "service_steps", kind: "objects", says: "The steps of a service; deploy.os_export and deploy.os_rename run scripts of the OS definition that the node is installed with, and are not in Ironic."},
	{name: "rescue_password", says: "The password of the rescue user, of at most 1024 bytes; in the body only. It is hashed at once and kept in memory only."},
	{name: "rescue_ssh_keys", kind: "list", says: "Public SSH keys of the rescue user, beside the password or instead of it. Not in Ironic."},
	{name: "rescue_callback_timeout", kind: "int", says: "Seconds the rescue ramdisk may take to call; 0 for no limit. As configured without it. Not in Ironic."},
	{name: "disable_ramdisk", kind: "bool", min: 70, late: true, says: "Run only steps that need no ramdisk; with the verb service from 1.108."},
	{name: "runbook", min: 92, late: true, says: "Run the steps of this runbook."},
	{name: "secrets", kind: "object", says: "Secret values that steps name; kept in memory only. Not in Ironic."},
	{name: "boot_roles", kind: "list", says: "With the verb active: the roles of the user for whom a service deploys, in place of its own. They are told to vendordata targets. Not in Ironic."},
	{name: "force_variant", kind: "bool", says: "With os_definition: take a variant that it does not list. Not in Ironic."},
	{name: "os_parameters", kind: "object", says: "Public OS parameters; null takes away what a rebuild would use. Of a service with a step os_export or os_rename they are for that run only. Not in Ironic."},
	{name: "os_parameters_private", kind: "object", says: "Private OS parameters: stored sealed, never shown; in the body only. Not in Ironic."},
	{name: "os_parameters_secret", kind: "object", says: "Secret OS parameters: kept in memory only; in the body only. Not in Ironic."},
	{name: "execution_mode", says: "run, install or self_install: the last boots, once, what boot_iso in instance_info names, or kernel and ramdisk where the boot interface is ipxe or http-ipxe. Not in Ironic."},
	{name: "safe_install", kind: "bool", says: "False is refused for an OS definition that is not trusted. Not in Ironic."},
	{name: "personalization_url", says: "A .tar.gz, .tgz or .tar.zst that is put over the installed system; null takes away the one that a rebuild would use. Not in Ironic."},
	{name: "personalization_user", says: "The user for that URL; kept in memory only; in the body only. Not in Ironic."},
	{name: "personalization_password", says: "The password for that URL; kept in memory only; in the body only. Not in Ironic."},
	{name: "os_import_url", says: "With active and rebuild: the folder of an export that the OS definition's script import puts on the disks, in the place of a new installation. Not in Ironic."},
	{name: "os_import_user", says: "The user for that URL; kept in memory only; in the body only. Not in Ironic."},
	{name: "os_import_password", says: "The password for that URL; kept in memory only; in the body only. Not in Ironic."},
	{name: "reason", says: "Why."},
	{name: "boot_device", need: true, says: "The device to boot from."},
	{name: "persistent", kind: "bool", says: "From now on, not only once."},
	{name: "traits", kind: "list", need: true, says: "All the traits the node shall have."},
	{name: "enabled", kind: "bool", need: true, says: "Whether the console can be reached."},
	{name: "state", on: "/v1/nodes/{node}/management/indicators", need: true, says: "on, off, blinking or unknown."},
	{name: "device_types", kind: "list", says: "Only virtual drives of these kinds: cdrom, disk, floppy."},
	{name: "method", says: "The vendor method to call."},

	// What agents say.
	{name: "addresses", kind: "list", says: "MAC addresses of the machine."},
	{name: "callback_url", need: true, says: "Where the agent listens."},
	{name: "agent_token", says: "The token of this boot."},
	{name: "agent_version", min: 36, bad: true, says: "The agent's version."},
	{name: "agent_verify_ca", min: 68, bad: true, says: "The certificate the agent listens with, as PEM."},
	{name: "agent_status", min: 72, bad: true, says: "start, end or error."},
	{name: "agent_status_message", min: 72, bad: true, says: "What the status means."},

	// Ours.
	{name: "rule", on: "/ingot/v1/policy/explain", need: true, says: "The rule to explain."},
	{name: "node", on: "/ingot/v1/policy/explain", says: "The node it is judged on, by name or UUID."},
	{name: "user", on: "/ingot/v1/policy/explain", says: "A user of the local identity file, whose rights are explained."},
	{name: "roles", on: "/ingot/v1/policy/explain", kind: "list", says: "Roles of a caller who is described."},
	{name: "project", on: "/ingot/v1/policy/explain", says: "The project of that caller."},
	{name: "system", on: "/ingot/v1/policy/explain", says: "all: that caller's roles are on the whole system."},
	{name: "path", says: "What the instance asks the metadata service for; /openstack/latest without it."},
	{name: "fresh", kind: "bool", says: "Ask every target, also one whose last answer may still be used."},
	{name: "after", says: "The place in the feed to go on from, as next gave it."},
	{name: "waiting_for", says: "Operations that wait for this event."},
	{name: "holder", says: "Operations that this conductor holds."},
}

// parameterOf is the row of a parameter on a path; without a row, one that says nothing.
func parameterOf(path, name string) parameter {
	for _, p := range parameters {
		if p.name == name && (p.on == "" || slices.ContainsFunc(strings.Fields(p.on), func(on string) bool { return strings.HasPrefix(path, on) })) {
			return p
		}
	}
	return parameter{name: name}
}

// tooNew is the refusal of a parameter that came with a later version than the request's; nil if it did not.
func (p parameter) tooNew(minor int) error {
	if minor >= p.min {
		return nil
	}
	if p.bad {
		return fault.New(fault.Invalid, "Parameter %s needs API version %s or newer.", p.name, wire.Version(p.min))
	}
	return wire.TooNew("Parameter "+p.name, p.min, minor)
}

// checkQuery refuses parameters that the route does not take, or that the request is too old for.
func (rt route) checkQuery(q url.Values, minor int) error {
	if err := unexpected(q, rt.takes); err != nil {
		return err
	}
	for name := range q {
		if p := parameterOf(rt.path, name); !p.late {
			if err := p.tooNew(minor); err != nil {
				return err
			}
		}
	}
	return nil
}

// late is the refusal of a parameter whose row leaves it to the handler.
func (c *call) late(name string) error { return parameterOf(c.route, name).tooNew(c.minor) }
