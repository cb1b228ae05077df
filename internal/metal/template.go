package metal

import (
	"regexp"
	"time"
)

// DeployTemplate is a list of deploy steps under the name of a trait: an instance whose traits have that name is
// deployed with them.
type DeployTemplate struct {
	ID        int64
	UUID      string
	Name      string
	Steps     []Step
	Extra     map[string]any
	CreatedAt time.Time
	UpdatedAt time.Time // zero until the first update
}

// MaxTraits is how many traits a node may have. Source: rest-api reference §3.5.
const MaxTraits = 50

// traitForm is what a trait looks like: one of one's own, or a name in a name space of os-traits. The catalogue itself
// grows with every release of it and is not kept here.
var traitForm = regexp.MustCompile(`^(CUSTOM|COMPUTE|HW|MISC|OWNER|STORAGE)_[A-Z0-9_]+$`)

// IsTrait tells whether a text may be a trait.
func IsTrait(s string) bool { return len(s) <= 255 && traitForm.MatchString(s) }
