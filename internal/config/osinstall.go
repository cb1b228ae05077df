package config

import "time"

// OSInstall is the section [os_install]: installations with OS definitions.
type OSInstall struct {
	// StartupTimeout is how long a machine may take to call back that boots to be installed with an OS definition. 0 is for ever.
	StartupTimeout time.Duration `key:"startup_timeout" min:"0"`
	// Timeout is how long all of an installation may take from that call on: the image, the scripts and the package. Then the
	// scripts are ended, the machine is switched off and the deployment has failed. 0 is for ever.
	Timeout time.Duration `key:"timeout" min:"0"`
	// MaxExportBytes is how many bytes the dump of one disk may have that is exported or imported. 0 is no bound.
	MaxExportBytes int `key:"max_export_bytes" min:"0"`
}
