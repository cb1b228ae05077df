package metal

import "time"

// OSInstalledKey is the key in InternalInfo, as callers see it, that says how a node's system was installed. It is kept beside the node.
const OSInstalledKey = "os_install"

// OSInstalled is how a node's system is installed, and is again by a rebuild. Of parameters that are private or secret it has the names.
type OSInstalled struct {
	Definition string            `json:"definition,omitempty"` // by name; none: an image, a medium or a package alone
	Variant    string            `json:"variant,omitempty"`
	Digest     string            `json:"digest,omitempty"`  // of the definition's files, as they were then
	Changed    bool              `json:"changed,omitempty"` // the definition has other files now
	Mode       string            `json:"mode"`
	Safe       bool              `json:"safe_install"`
	Package    string            `json:"package,omitempty"` // URL
	Parameters map[string]string `json:"parameters,omitempty"`
	Private    []string          `json:"private,omitempty"`
	Again      []string          `json:"needed_again,omitempty"` // those that were secret: a rebuild needs them
	At         time.Time         `json:"at"`
}
