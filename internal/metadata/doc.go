// Package metadata answers instances that ask for their metadata: the OpenStack tree and the EC2 tree at 169.254.169.254, the
// same bytes that a config drive has.
//
// It knows who asks and serves that instance alone. Who it is, is told by the address that a request comes from: an address
// that the instance was given, or that one of our DHCP servers leased to its NIC; or, with service_metadata_proxy, by headers
// that a trusted proxy (Neutron's agents) has signed. A header alone never tells, an address that two instances have tells
// nothing, and what is not found and what is not allowed look the same. Only an instance whose node is active is served: else
// its machine may run a ramdisk, or be somebody else's by now.
//
// What is served is rendered by the room seed and kept by the store; all paths are seed's (Get). This room adds what changes
// while an instance runs: vendor_data2.json, which vendordata keeps fresh, and the password that the instance posts once.
//
// Instances is where instances are found: Stored is the database, and a boot host, which has none, has another. Each request
// asks it who is there now and of which generation; only what is unsealed and decoded is kept, for metadata_cache_expiration and
// no longer than the generation. So the end of an instance, a rebuild and an address that changes hands are seen by the next
// request.
//
// Its callers are instances, which are strangers: requests are bounded in number, in all and for each of them, in size and in
// time. It logs no header, no body and no answer. cmd/ingot makes it and gives it its listeners.
package metadata
