package metal

// DeployOS is the deploy interface that installs with OS definitions.
const DeployOS = "os-install"

// What goes with an installation and is stored nowhere has these names among the secret values of its operation. A secret OS
// parameter's own name follows OSSecretParameter; those of steps are users' own, and have no slash.
const (
	OSSecretParameter = "os_parameters_secret/" //nolint:gosec // G101: a name
	OSCredential      = "personalization/"      // user or password follows
)

// The keys of driver_internal_info that say how the machine runs for the first time, "run" once it runs by itself, and how far an
// installation says that it is. They are stored: never rename them.
const (
	ExecutionModeKey  = "execution_mode"
	DeployProgressKey = "deploy_progress"
)
