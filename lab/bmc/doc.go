// Package bmc is an emulated BMC: the Redfish service of one machine, over TLS, with the habits and the
// failures of real ones. The machine behind it is anything with the methods of Machine: the lab's QEMU
// process, or FakeMachine, which is a struct for tests.
//
// It is for the lab (package lab) and for tests of what speaks Redfish. It is not a model of one vendor,
// and it shares no code with the Redfish driver: an emulator that shares code shares mistakes. It
// imports nothing of ours.
//
// What it has: service root, sessions and basic authentication, one system (power, boot override and mode, Secure
// Boot with its databases of keys, BIOS attributes, boot order, NICs, the host's serial log), one manager with a virtual CD
// drive, a host interface and its protocols, one chassis with sensors, the versions of firmware and proofs of it, and the
// presence messages of IPMI. Every
// resource has an ETag, and a PATCH with If-Match is refused when the resource has changed.
//
// Besides Redfish the same server answers, with the BMC's user and password:
//
//	GET    /lab/counters   {"Reset.On": 1, "InsertMedia": 1, "login": 2, "GET": 31, …}
//	GET    /lab/faults     [{"name": "slow", "delay_ms": 2000}]
//	PUT    /lab/faults     the same list; it replaces what was planted, [] clears
//	DELETE /lab/sessions   every session ends now, as after a restart of a BMC
//
//	PUT    /lab/inband     {"bios": {"NumLock": "Off"}, "boot_order": ["Boot0001"], "firmware": {"bios": "9.9"}}: what a tenant
//	                       changes on the machine itself, behind the BMC's back
//
// Faults and counters never touch these. See fault.go for the faults and counter.go for the names.
//
// The shapes follow DMTF's DSP0266 (protocol) and DSP2046 (resources); the log service is as OpenBMC has
// it (bmcweb, docs/Redfish.md: /redfish/v1/Systems/system/LogServices/HostLogger).
package bmc
