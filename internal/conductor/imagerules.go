package conductor

import (
	"ingot/internal/agentapi"
	"ingot/internal/image"
)

// agentRules are the rules as the agent is told them.
func agentRules(r image.Rules) agentapi.ImageRules {
	return agentapi.ImageRules{Permitted: r.Told(), Shallow: r.Shallow}
}

// ImageName is how messages call an image: the last part of its address.
func ImageName(i Image) string {
	if i.File != "" {
		return imageName(i.File)
	}
	return imageName(i.URL)
}
