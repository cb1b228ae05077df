package config

// Policy is the section [oslo_policy].
type Policy struct {
	// PolicyFile is the YAML or JSON file of rules that replace the built-in ones. A path that is not absolute is in the
	// folder of the configuration file or, without one, in the data folder. The default need not be there.
	PolicyFile string `key:"policy_file"`
	// PolicyDirs are folders of further such files, those whose names end in .yaml, .yml or .json. They are read after
	// policy_file, in the order of their names: the last to name a rule wins.
	PolicyDirs []string `key:"policy_dirs"`
	// PolicyDefaultRule is the rule in place of one that another refers to and that is nowhere defined.
	PolicyDefaultRule string `key:"policy_default_rule"`
	// EnforceScope refuses tokens of a project where a rule is for the system, and the other way round.
	EnforceScope bool `key:"enforce_scope"`
	// EnforceNewDefaults must be true: this server has no rules from before scopes and roles. Write those you miss into
	// policy_file.
	EnforceNewDefaults bool `key:"enforce_new_defaults"`
}

// Services is the part of the section [DEFAULT] that lifts services.
type Services struct {
	// RBACServiceRoleElevatedAccess gives the role "service" in the project of rbac_service_project_name the rights of
	// a service of the whole system.
	RBACServiceRoleElevatedAccess bool `key:"rbac_service_role_elevated_access"`
	// RBACServiceProjectName is the name of that project.
	RBACServiceProjectName string `key:"rbac_service_project_name"`
}

// APIRights is the part of the section [api] that says who may do what.
type APIRights struct {
	// ProjectAdminCanManageOwnNodes lets administrators of a project enrol nodes, which it then owns, and delete them.
	ProjectAdminCanManageOwnNodes bool `key:"project_admin_can_manage_own_nodes"`
	// RamdiskEndpointsPublic serves lookup, heartbeat and continue_inspection on the API's listener too, beside the
	// agents' door. Rules of policy_file that are "!" refuse them there (403). It is ours.
	RamdiskEndpointsPublic bool `key:"ramdisk_endpoints_public"`
}
