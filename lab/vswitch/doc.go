// Package vswitch is the lab's switch: a server of the HTTP API that docs/vswitch-api.md describes, over anything with
// the method of Fabric: the lab's bridges, or a struct for tests. It is small on purpose: a site's own could look like it.
//
// It is for the lab (package lab) and for tests of what speaks the API. It shares no code with the driver: an emulator that
// shares code shares mistakes. It imports nothing of ours.
//
// Beside the API, which is below /v1, the same server answers with the same token:
//
//	GET /lab/ports      every port as the API shows it
//	GET /lab/counters   {"GET": 12, "change": 3, "changes": 1}: requests, and ports that were changed by them
//	GET /lab/faults     [{"name": "stale", "times": 1}]
//	PUT /lab/faults     the same list; it replaces what was planted, [] clears
package vswitch
