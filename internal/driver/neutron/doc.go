// Package neutron connects the NICs of machines with networks of OpenStack's Neutron: the network interfaces "neutron" and
// "flat". On the operator's networks (provisioning, cleaning, …) it makes ports of its own; on the tenant's it binds and
// unbinds the ports that the node's user attached (VIFs). What a port looks like is in the lifecycle reference §27.
//
// A process can die between any two requests, so nothing depends on what was noted. A port of ours is found by its label,
// ingot:<role>:<node>, which is its name and its tag. Where Neutron tags ports as it makes them (extension
// tag-ports-during-bulk-creation) both are there at once; elsewhere the name is, and the tag follows. A VIF that is ours to
// unbind is one that is bound to the node.
//
// It speaks with the user of the section [neutron], whoever asked for the operation. A call that Neutron refuses is a fault
// with Neutron's own message; one that got no answer is tried again where that cannot do harm, and is fault.Unavailable.
// It does not move a packet and knows no switch: what binds ports, such as networking-generic-switch, is Neutron's. Smart
// NICs are refused. Its callers are the conductor, and cmd/ingot which makes it.
package neutron
