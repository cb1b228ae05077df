package ops

import (
	"ingot/internal/metal"
)

// byKey is a rescue by SSH key for the verb rescue, nothing for others.
func byKey(v metal.Verb) Rescue {
	if v != metal.VerbRescue {
		return Rescue{}
	}
	return Rescue{Keys: []string{"ssh-ed25519 AAAA"}}
}
