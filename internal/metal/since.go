package metal

// Minors of the microversions that changed what requests mean, beside the fields, parameters, endpoints, verbs and states whose tables
// have their own. Source: microversion table.
const (
	SinceNodeNames     = 5   // nodes have names, which identify them
	SinceEnroll        = 11  // new nodes are in enroll; before, available
	SinceUnsetChassis  = 25  // a node's chassis_uuid can be removed
	SinceSoftPower     = 27  // soft power changes, and a limit of time for changes
	SinceInspectLocks  = 39  // a node under inspection, and what hangs on it, is not changed
	SinceDriveObject   = 56  // a config drive may be given as an object
	SinceBackfill      = 58  // an allocation may be made for a node that is in use
	SinceVendorData    = 59  // that object may have vendor_data
	SinceLookupToken   = 62  // a lookup hands out the token of the boot
	SinceLinkTypes     = 64  // local_link_connection may have network_type
	SinceVIFPorts      = 67  // a VIF may name its port or port group
	SinceReportAnswer  = 84  // continue_inspection answers as a lookup does, and takes node_uuid
	SinceSuffixes      = 91  // ".json" at the end of a path is a part of it
	SinceNodeIdent     = 94  // a port may name its node
	SinceGroupNetworks = 102 // a port has the physical network of its port group
	SinceRunbookTraits = 112 // runbooks have traits, and names like other things
)
