package config

// Enrolment is what the section [DEFAULT] says of new nodes and port groups.
type Enrolment struct {
	// DefaultResourceClass is the resource class of new nodes that are given none.
	DefaultResourceClass string `key:"default_resource_class"`
	// DefaultConductorGroup is the conductor group of new nodes that are given none.
	DefaultConductorGroup string `key:"default_conductor_group"`
	// DefaultPortgroupMode is the bonding mode of new port groups that are given none.
	DefaultPortgroupMode string `key:"default_portgroup_mode"`
}

// EnrolmentAPI is what the section [api] says of nodes.
type EnrolmentAPI struct {
	// DisallowedEnrollmentBootModes are the boot modes that new nodes may not ask for in their capabilities.
	DisallowedEnrollmentBootModes []string `key:"disallowed_enrollment_boot_modes"`
	// NetworkDataSchema is a file with the JSON schema that network_data of nodes must fit. Empty means the
	// built-in one, which is that of Nova's network_data.json.
	NetworkDataSchema string `key:"network_data_schema" is:"path"`
}

// Deletion is what the section [conductor] says of nodes that are deleted.
type Deletion struct {
	// AllowDeletingAvailableNodes lets nodes be deleted that are available. Without it they must be managed first.
	AllowDeletingAvailableNodes bool `key:"allow_deleting_available_nodes"`
}
