// Package redfish drives machines through a BMC that speaks Redfish: power, boot device, virtual media,
// inventory, the console log, boot mode and Secure Boot.
//
// It is for the conductor, which takes *Driver by shape (Power, Booter, Media, Inspector, Console, BootModer, SecureBooter,
// Validator) from the one list in cmd/ingot; it never imports the conductor. It is also for "ingot bmc
// probe", which asks Probe what is at an address before any credential is sent there. It is not for other
// ways to reach a BMC, it keeps nothing on disk and decides nothing about a node's life.
//
// # Trust
//
// A BMC is a stranger until its certificate is verified: by the system's roots, by a CA given in
// driver_info, or by a pinned fingerprint. Nothing is sent to it before that. What it answers is a
// stranger's too: a reply is limited in size and depth, a call in its number of requests, links and
// redirects that lead to another host are refused, and text from it enters an error only shortened and
// with every secret of the call masked.
//
// # Failure
//
// Reads and repeatable writes are tried again, a few times, on 5xx and broken connections. Actions are
// checkable: look, act, look again; so a call may run twice, and an answer that got lost is found out by
// looking. A call that returns nil was seen to have worked, except SetPower, which returns when the BMC
// has accepted it. Errors are faults: Invalid where driver_info is wrong (address, password,
// certificate), Unavailable where trying later may help (unreachable, 5xx, busy), NotSupported where the
// BMC lacks the ability, Internal where it refuses or answers nonsense.
//
// One Driver is safe for use from many goroutines. Sessions are kept per BMC and credential and closed by
// Close; a BMC that forgot a session is logged in to again.
package redfish
