// Package origin says where an image comes from: it reads an instance's image_source, asks the registry or Glance that it names, and
// gives the address of the bytes, what opens them, and what they must be (digest, size, format).
//
// Find is asked before a machine is touched, so what cannot be deployed is refused then. Access gives what opens the bytes now: tokens
// of registries and of Keystone are short-lived, so they are got when they are used and kept nowhere. Credentials that the operator
// configured, or that stand in a node's driver_info, go only to hosts that the operator named for them: an instance's image_source is
// its user's choice, and so would be who is told them. An instance's own image_pull_secret goes to its own image's host.
//
// It fetches no images (source does) and keeps none (depot does). Registries are spoken to with oras-go, Keystone and Glance with
// gophercloud, all over source's client: its redirects, networks and certificates. Answers are bounded; what a manifest says is
// verified against its digest before it is believed.
//
// Failures: fault.Invalid for what the user must change, fault.NotFound, fault.Forbidden for images this server may not hand out and
// for refused networks, fault.Unavailable for a service that does not answer.
package origin
