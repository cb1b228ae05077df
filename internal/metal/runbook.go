package metal

import "time"

// Runbook is a list of steps for cleaning or service, under a name: who may not give steps may be let use one.
type Runbook struct {
	ID             int64
	UUID           string
	Name           string
	Description    string
	Steps          []Step // in the order in which they run
	DisableRamdisk bool
	Public         bool     // everybody may see it, and nobody owns it
	Owner          string   // a project; "" for nobody's
	Traits         []string // sorted; a node must have one of them
	Extra          map[string]any
	CreatedAt      time.Time
	UpdatedAt      time.Time // zero until the first update
}
