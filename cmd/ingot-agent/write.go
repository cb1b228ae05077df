package main

import (
	"context"

	"ingot/agent/server"
	"ingot/agent/steps"
	"ingot/internal/agentapi"
)

// writeImage is what this build writes images with.
func writeImage(context.Context, string, agentapi.ImageInfo, string, func(agentapi.Progress)) (steps.Written, error) {
	return steps.Written{}, server.Error("ImageWriteError", "this agent was built without an image writer")
}
