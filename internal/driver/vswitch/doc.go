// Package vswitch moves the switch ports of machines between logical networks, over the HTTP API of docs/vswitch-api.md,
// which a site implements for its switches and the lab for its own. It fills conductor.Network by shape.
//
// A logical network has a name. A machine's NIC says in local_link_connection (switch_id, port_id) which port of which
// switch it is cabled to. On the network of a role of the operator's are the NICs that boot from the network, on those of
// a tenant the NICs with a VIF, whose id is the network's name; every other NIC is isolated. The NICs of a port group move
// together.
//
// Each call reads the ports first and makes of that the list of changes; each change names the revision it was made
// for; what the switch answers is not believed but read back; and when one change fails, those that were made are taken
// back, and the error names what could not be. Nothing is kept here: after a kill the next call reads what there is. A
// port that is in use carries the UUID of its node, and one of another node is never touched.
//
// What fails, and how: a switch that answers no more is fault.Unavailable; a port of another node, and one that somebody
// else changed at the same time, is fault.Conflict; a name that the switch does not know is fault.Invalid. Answers are
// bounded in size, depth and length of names. The bearer token is read for each request, so that it can be replaced, and
// is in no error and no log.
//
// Caller: cmd/ingot, which makes it a network interface.
package vswitch
