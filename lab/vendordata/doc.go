// Package vendordata is a vendordata target: a server that answers what an instance reads in vendor_data2.json, from what it is
// told of the instance. It is an example of how a site's own could look, with faults to rehearse on, and the server that our tests
// ask. `ingot lab vendordata` runs it.
//
// It shares no code with internal/vendordata, which asks it: it imports nothing of ours.
//
// Every POST is a question about one instance. Below /cloud-init the answer is a JSON string, cloud-config that writes a
// file, as cloud-init takes it from a target of the name "cloud-init"; on any other path it is an object. Both have a
// number that no other answer has, so that it can be seen whether two readers have the same answer. Beside that, for
// people and tests, on the same port and without asking who it is:
//
//	GET /lab/requests    what was asked, headers and bodies included, the last thousand
//	GET /lab/faults      [{"name": "500", "times": 1}]
//	PUT /lab/faults      the same list; it replaces what was planted, [] clears
//	GET /lab/caching     {"cache_control": "max-age=60", "etag": true, "revision": 1}
//	PUT /lab/caching     the same; another revision is another ETag
package vendordata
